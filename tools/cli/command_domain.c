/* SPDX-License-Identifier: Apache-2.0 */
/* One request each: pause, unpause, shutdown, destroy, input, report, resolve. */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/file.h"
#include "tools/cli/cli.h"
#include "tools/cli/units.h"

#define SHUTDOWN_TIMEOUT_NS (60 * XM_NS_PER_S)
#define SHUTDOWN_NS_MAX	    (7 * 86400 * XM_NS_PER_S)
#define REPORT_TIMEOUT_NS   (10 * XM_NS_PER_S)
#define REPORT_NS_MAX	    (60 * XM_NS_PER_S)
#define WAIT_MS_MAX	    60000u /* the daemon waits no longer in one request */

int command_pause(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	return cli_call_domain(cli, "POST", args->words[0], "/pause", NULL, 0, NULL, err);
}

int command_unpause(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	return cli_call_domain(cli, "POST", args->words[0], "/unpause", NULL, 0, NULL, err);
}

int command_destroy(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	return cli_call_domain(cli, "DELETE", args->words[0], "", NULL, 0, NULL, err);
}

/* The value of --timeout in milliseconds. */
static int read_timeout(const struct cli_arguments *args, uint64_t default_ns, uint64_t max_ns,
			uint64_t *ret_ms, struct xm_error *err)
{
	const char *text = cli_option(args, "timeout");
	uint64_t ns = default_ns;
	int rc = text ? units_parse_duration(text, XM_NS_PER_S, &ns, err) : 0;

	if (rc)
		return rc;
	if (ns > max_ns)
		return xm_fail(err, XM_KIND_USAGE, -ERANGE,
			       "a timeout of %s is too long: %llu seconds are the most", text,
			       (unsigned long long)(max_ns / XM_NS_PER_S));
	*ret_ms = (ns + XM_NS_PER_MS - 1) / XM_NS_PER_MS;
	return 0;
}

static int ask_shutdown(struct cli *cli, const char *domain, uint64_t wait_ms, struct xm_error *err)
{
	return cli_call_domain(cli, "POST", domain, "/shutdown",
			       json_pack("{s:I}", "wait_ms", (json_int_t)wait_ms), wait_ms, NULL,
			       err);
}

/*
 * Asks, and waits for the end. The daemon waits for a bounded time, so for a longer one it is asked
 * again; a refusal before that time has passed has another cause, and is final.
 */
static int shutdown_and_wait(struct cli *cli, const char *domain, uint64_t ms, struct xm_error *err)
{
	bool asked = false;

	for (;; asked = true) {
		uint64_t asked_at_ns = xm_now_ns();
		uint64_t wait_ms = ms < WAIT_MS_MAX ? ms : WAIT_MS_MAX;
		int rc = ask_shutdown(cli, domain, wait_ms, err);

		if (rc && asked && err->kind == XM_KIND_NOT_FOUND)
			return 0; /* it ended between two requests */
		ms -= wait_ms;
		if (!rc || ms == 0 || err->kind != XM_KIND_CONFLICT ||
		    xm_now_ns() - asked_at_ns < wait_ms * XM_NS_PER_MS)
			return rc;
	}
}

int command_shutdown(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	uint64_t ms;
	int rc;

	if (!cli_option(args, "wait") && !cli_option(args, "timeout"))
		return ask_shutdown(cli, args->words[0], 0, err);
	rc = read_timeout(args, SHUTDOWN_TIMEOUT_NS, SHUTDOWN_NS_MAX, &ms, err);
	return rc ? rc : shutdown_and_wait(cli, args->words[0], ms, err);
}

int command_input(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	const char *end = cli_option(args, "no-newline") ? "" : "\n";
	cleanup_free char *text = xm_format("%s%s", args->words[1], end);
	json_t *body = text ? json_pack("{s:s}", "text", text) : NULL;

	if (!body)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "the text is not valid UTF-8");
	return cli_call_domain(cli, "POST", args->words[0], "/input", body, 0, NULL, err);
}

/* What --after and --timeout say. Without them the last report is printed at once. */
static int read_report_options(const struct cli_arguments *args, uint64_t *ret_after,
			       uint64_t *ret_wait_ms, struct xm_error *err)
{
	const char *after = cli_option(args, "after");
	int rc = 0;

	*ret_after = 0;
	*ret_wait_ms = 0;
	if (after)
		rc = units_parse_count(after, "a report", 0, INT64_MAX, ret_after, err);
	if (!rc && (after || cli_option(args, "timeout")))
		rc = read_timeout(args, REPORT_TIMEOUT_NS, REPORT_NS_MAX, ret_wait_ms, err);
	return rc;
}

int command_report(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	cleanup_free char *query = NULL;
	json_t *report = NULL;
	uint64_t wait_ms;
	uint64_t after;
	int rc = read_report_options(args, &after, &wait_ms, err);

	if (rc)
		return rc;
	query = xm_format("/report?after=%llu&wait_ms=%llu", (unsigned long long)after,
			  (unsigned long long)wait_ms);
	if (!query)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	rc = cli_call_domain(cli, "GET", args->words[0], query, NULL, wait_ms, &report, err);
	if (rc)
		return rc;
	if (cli_count(report, "sequence") == 0)
		rc = xm_fail(err, XM_KIND_CONFLICT, -ETIMEDOUT,
			     "'%s' has made no report: give it time, or look at its console",
			     args->words[0]);
	else if (cli_count(report, "sequence") <= after)
		rc = xm_fail(err, XM_KIND_CONFLICT, -ETIMEDOUT,
			     "'%s' has made no report above number %llu: give it time, or look "
			     "at its console",
			     args->words[0], (unsigned long long)after);
	else if (cli->json)
		cli_print_json(report);
	else
		cli_print_line(stdout, "%s", cli_text(report, "line"));
	json_decref(report);
	return rc;
}

int command_resolve(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	bool keep = cli_option(args, "keep");
	bool discard = cli_option(args, "discard");
	const char *action = keep ? "keep" : discard ? "discard" : "ask";
	json_t *answer = NULL;
	int rc;

	if (keep && discard)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "--keep and --discard exclude each other: see 'xmigrate help "
			       "resolve'");
	rc = cli_call_domain(cli, "POST", args->words[0], "/resolve",
			     json_pack("{s:s}", "action", action), 0, &answer, err);
	if (rc)
		return rc;
	if (cli->json)
		cli_print_json(answer);
	if (strcmp(cli_text(answer, "outcome"), "unknown") == 0) {
		rc = xm_fail(err, XM_KIND_UNRESOLVED, -EAGAIN,
			     "who owns '%s' is still not known: %s", args->words[0],
			     cli_text(answer, "text"));
	} else if (!cli->json && !cli->quiet) {
		cli_print_line(stdout, "%s: %s", cli_text(answer, "outcome"),
			       cli_text(answer, "text"));
	}
	json_decref(answer);
	return rc;
}
