/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/cli/follow.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/file.h"
#include "tools/cli/cli.h"
#include "tools/cli/http.h"
#include "tools/cli/progress.h"
#include "tools/cli/reconnect.h"

#define LONG_POLL_MS  10000
#define PLAIN_POLL_MS 1000 /* a plain line each second, even when nothing changes */
#define REDRAW_MS_MIN 50   /* an eye follows no more, and each answer costs the host something */

struct follower {
	struct cli *cli;
	const char *id;
	enum follow_interrupt on_interrupt;
	struct progress progress;
	uint64_t sequence; /* of the last answer */
	struct reconnect reconnect;
	bool cancelled; /* a cancel was asked for */
};

static int leave(struct follower *follower, struct xm_error *err)
{
	progress_end(&follower->progress);
	return xm_fail(
		err, XM_KIND_CANCELLED, -ECANCELED,
		"left operation %s running: 'xmigrate operations --follow %s' shows it again",
		follower->id, follower->id);
}

/* Asks for the cancel. That it comes too late, or finds no daemon, is said and is no end. */
static int cancel(struct follower *follower, struct xm_error *err)
{
	cleanup_free char *path = xm_format("/v1/operations/%s", follower->id);
	struct xm_error why = XM_ERROR_INIT;
	int rc;

	if (!path)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	progress_say(&follower->progress, "cancelling; Ctrl-C again leaves it to the daemon");
	follower->cancelled = true;
	rc = cli_call(follower->cli, "DELETE", path, NULL, 0, NULL, &why);
	if (rc == -EINTR)
		return 0; /* the second Ctrl-C: it is read next */
	if (rc)
		progress_say(&follower->progress, "not cancelled: %s", why.text);
	return 0;
}

/* Acts on a signal that is waiting in the descriptor. */
static int take_signal(struct follower *follower, struct xm_error *err)
{
	struct signalfd_siginfo info;
	int rc = xm_read_full(follower->cli->signal_fd, &info, sizeof(info));

	if (rc)
		return xm_fail_errno(err, XM_KIND_INTERNAL, rc, "cannot read a signal");
	if (info.ssi_signo == SIGINT && follower->on_interrupt == FOLLOW_CANCEL &&
	    !follower->cancelled)
		return cancel(follower, err);
	return leave(follower, err);
}

/* Waits so long, or until a signal comes, which is acted on. */
static int rest(struct follower *follower, unsigned ms, struct xm_error *err)
{
	struct pollfd signal = {.fd = follower->cli->signal_fd, .events = POLLIN};

	if (poll(&signal, 1, (int)ms) > 0)
		return take_signal(follower, err);
	return 0;
}

/*
 * Whether asking again may help: there is no daemon, or there is one that stops, starts, or has lost
 * the domain's process. The operation's own failure is a part of the OPERATION, never of this.
 */
static bool may_pass(int rc, const struct xm_error *err)
{
	return api_lost(rc) ||
	       (rc == -EREMOTEIO && (err->kind == XM_KIND_NETWORK || err->kind == XM_KIND_HOST));
}

/* No answer for now: waits a little, or gives it up. */
static int wait_for_daemon(struct follower *follower, struct xm_error *err)
{
	if (reconnect_is_news(&follower->reconnect))
		progress_say(
			&follower->progress,
			"no answer from the daemon; the operation goes on without it, waiting");
	if (!reconnect_lost(&follower->reconnect))
		return xm_context(err, "operation %s may still run", follower->id);
	/* The next daemon's count may begin anew. */
	follower->sequence = 0;
	return rest(follower, follower->reconnect.rest_ms, err);
}

/* One long poll. `*ret_operation` stays NULL when there was no answer and no failure. */
static int ask(struct follower *follower, json_t **ret_operation, struct xm_error *err)
{
	unsigned wait_ms = follower->progress.terminal ? LONG_POLL_MS : PLAIN_POLL_MS;
	cleanup_free char *path = xm_format("/v1/operations/%s?after=%llu&wait_ms=%u", follower->id,
					    (unsigned long long)follower->sequence, wait_ms);
	int rc;

	if (!path)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	rc = cli_call(follower->cli, "GET", path, NULL, wait_ms, ret_operation, err);
	if (rc == -EINTR)
		return take_signal(follower, err);
	if (may_pass(rc, err))
		return wait_for_daemon(follower, err);
	return rc;
}

int follow_operation(struct cli *cli, const char *id, enum follow_interrupt on_interrupt,
		     json_t **ret_operation, struct xm_error *err)
{
	struct follower follower = {.cli = cli, .id = id, .on_interrupt = on_interrupt};
	json_t *operation = NULL;
	int rc = 0;

	progress_init(&follower.progress, cli->quiet || cli->json);
	while (!rc) {
		uint64_t asked_at_ns = xm_now_ns();
		uint64_t took_ms;

		rc = ask(&follower, &operation, err);
		if (rc || !operation)
			continue;
		reconnect_found(&follower.reconnect);
		follower.sequence = cli_count(operation, "sequence");
		progress_show(&follower.progress, operation);
		if (json_is_true(json_object_get(operation, "finished")))
			break;
		json_decref(operation);
		operation = NULL;
		took_ms = (xm_now_ns() - asked_at_ns) / XM_NS_PER_MS;
		if (took_ms < REDRAW_MS_MIN)
			rc = rest(&follower, REDRAW_MS_MIN - (unsigned)took_ms, err);
	}
	progress_end(&follower.progress);
	if (!rc)
		*ret_operation = operation;
	return rc;
}
