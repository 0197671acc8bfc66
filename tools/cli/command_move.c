/* SPDX-License-Identifier: Apache-2.0 */
/* migrate, save and restore: begin an operation and follow it to its end. */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "tools/cli/cli.h"
#include "tools/cli/follow.h"
#include "tools/cli/limits.h"

#define DEFAULT_PORT 4411
#define CHANNELS_MAX 16

/* Says what was begun (--detach), or follows it. Consumes `operation`. */
static int finish(struct cli *cli, const struct cli_arguments *args, json_t *operation,
		  struct xm_error *err)
{
	json_t *end = NULL;
	int rc = 0;

	if (!cli_option(args, "detach")) {
		rc = follow_operation(cli, cli_text(operation, "id"), FOLLOW_CANCEL, &end, err);
		if (!rc)
			rc = follow_report(cli, end, err);
	} else if (cli->json) {
		cli_print_json(operation);
	} else {
		cli_print_line(stdout, "%s", cli_text(operation, "id"));
	}
	json_decref(end);
	json_decref(operation);
	return rc;
}

/* An interrupt before the daemon answered leaves open whether it began. */
static int explain_interrupt(int rc, struct xm_error *err)
{
	if (rc == -EINTR)
		xm_context(err, "'xmigrate operations' shows whether it began");
	return rc;
}

/* POST on a domain, then finish(). Consumes `body`. */
static int begin_domain(struct cli *cli, const struct cli_arguments *args, const char *rest,
			json_t *body, struct xm_error *err)
{
	json_t *operation = NULL;
	int rc = cli_catch_signals(cli, err);

	if (rc) {
		json_decref(body);
		return rc;
	}
	rc = cli_call_domain(cli, "POST", args->words[0], rest, body, 0, &operation, err);
	if (rc)
		return explain_interrupt(rc, err);
	return finish(cli, args, operation, err);
}

/* HOST[:PORT] as the API's host:port; an IPv6 address may stand bare or in brackets. */
static char *peer_address(const char *host)
{
	const char *colon = strchr(host, ':');
	const char *bracket = strrchr(host, ']');

	if (host[0] == '[' && bracket)
		return bracket[1] ? strdup(host) : xm_format("%s:%d", host, DEFAULT_PORT);
	if (!colon)
		return xm_format("%s:%d", host, DEFAULT_PORT);
	if (strchr(colon + 1, ':'))
		return xm_format("[%s]:%d", host, DEFAULT_PORT);
	return strdup(host);
}

static int migrate_request(const struct cli_arguments *args, json_t *body, struct xm_error *err)
{
	cleanup_free char *peer = peer_address(args->words[1]);
	const char *congestion = cli_option(args, "congestion");
	bool live = !cli_option(args, "no-live");
	int rc;

	if (!live && cli_option(args, "live"))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "--live and --no-live exclude each other: see 'xmigrate help "
			       "migrate'");
	if (!peer || json_object_set_new(body, "to", json_string(peer)) < 0 ||
	    json_object_set_new(body, "live", json_boolean(live)) < 0)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "the host's name is not valid UTF-8");
	if (congestion && json_object_set_new(body, "congestion", json_string(congestion)) < 0)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "the congestion control's name is not valid UTF-8");
	rc = limits_add_count(body, args, "channels", "channels", CHANNELS_MAX, err);
	if (!rc)
		rc = limits_add(body, args, err);
	return rc ? rc : limits_add_zstd(body, args, err);
}

int command_migrate(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	json_t *body = json_object();
	int rc = migrate_request(args, body, err);

	if (rc) {
		json_decref(body);
		return rc;
	}
	return begin_domain(cli, args, "/migrate", body, err);
}

static int save_request(const struct cli_arguments *args, json_t *body, struct xm_error *err)
{
	bool running = cli_option(args, "continue");
	bool paused = cli_option(args, "paused");
	const char *leave = running ? "running" : paused ? "paused" : "destroy";
	cleanup_free char *path = NULL;
	int rc;

	if (running && paused)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "-c and -p exclude each other: see 'xmigrate help save'");
	rc = cli_absolute_path(args->words[1], &path, err);
	if (rc)
		return rc;
	if (json_object_set_new(body, "path", json_string(path)) < 0 ||
	    json_object_set_new(body, "leave", json_string(leave)) < 0)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "the file's name is not valid UTF-8");
	return limits_add_zstd(body, args, err);
}

int command_save(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	json_t *body = json_object();
	int rc = save_request(args, body, err);

	if (rc) {
		json_decref(body);
		return rc;
	}
	return begin_domain(cli, args, "/save", body, err);
}

static int restore_request(const struct cli_arguments *args, json_t **ret_body,
			   struct xm_error *err)
{
	const char *name = cli_option(args, "name");
	cleanup_free char *path = NULL;
	json_t *body = NULL;
	int rc = cli_absolute_path(args->words[0], &path, err);

	if (rc)
		return rc;
	body = json_pack("{s:s, s:b}", "path", path, "paused", cli_option(args, "paused") != NULL);
	if (!body || (name && json_object_set_new(body, "name", json_string(name)) < 0)) {
		json_decref(body);
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "a name is not valid UTF-8");
	}
	*ret_body = body;
	return 0;
}

int command_restore(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	json_t *operation = NULL;
	json_t *body = NULL;
	int rc = restore_request(args, &body, err);

	if (rc)
		return rc;
	rc = cli_catch_signals(cli, err);
	if (!rc)
		rc = cli_call(cli, "POST", "/v1/restore", body, 0, &operation, err);
	json_decref(body);
	if (rc)
		return explain_interrupt(rc, err);
	return finish(cli, args, operation, err);
}
