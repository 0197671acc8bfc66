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
#define REPORT_TIMEOUT_NS   (10 * XM_NS_PER_S)
#define TIMEOUT_NS_MAX	    (7 * 86400 * XM_NS_PER_S)

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
static int read_timeout(const struct cli_arguments *args, uint64_t default_ns, uint64_t *ret_ms,
			struct xm_error *err)
{
	const char *text = cli_option(args, "timeout");
	uint64_t ns = default_ns;
	int rc = text ? units_parse_duration(text, XM_NS_PER_S, &ns, err) : 0;

	if (rc)
		return rc;
	if (ns > TIMEOUT_NS_MAX)
		return xm_fail(err, XM_KIND_USAGE, -ERANGE, "a timeout of %s is longer than a week",
			       text);
	*ret_ms = (ns + XM_NS_PER_MS - 1) / XM_NS_PER_MS;
	return 0;
}

int command_shutdown(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	bool wait = cli_option(args, "wait") || cli_option(args, "timeout");
	uint64_t ms = 0;
	int rc = wait ? read_timeout(args, SHUTDOWN_TIMEOUT_NS, &ms, err) : 0;

	if (rc)
		return rc;
	return cli_call_domain(cli, "POST", args->words[0], "/shutdown",
			       json_pack("{s:I}", "wait_ms", (json_int_t)ms), ms, NULL, err);
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

int command_report(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	const char *after_text = cli_option(args, "after");
	cleanup_free char *query = NULL;
	uint64_t after = 0;
	uint64_t ms = 0;
	json_t *report = NULL;
	int rc = 0;

	if (after_text)
		rc = units_parse_count(after_text, "a report", 0, INT64_MAX, &after, err);
	if (!rc && (after_text || cli_option(args, "timeout")))
		rc = read_timeout(args, REPORT_TIMEOUT_NS, &ms, err);
	if (rc)
		return rc;
	query = xm_format("/report?after=%llu&wait_ms=%llu", (unsigned long long)after,
			  (unsigned long long)ms);
	if (!query)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	rc = cli_call_domain(cli, "GET", args->words[0], query, NULL, ms, &report, err);
	if (rc)
		return rc;
	if (cli->json) {
		cli_print_json(report);
	} else {
		cli_print_clean(stdout, cli_text(report, "line"));
		putchar('\n');
	}
	json_decref(report);
	return 0;
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
		printf("%s: ", cli_text(answer, "outcome"));
		cli_print_clean(stdout, cli_text(answer, "text"));
		putchar('\n');
	}
	json_decref(answer);
	return rc;
}
