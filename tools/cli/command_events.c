/* SPDX-License-Identifier: Apache-2.0 */
/* events: what happened on this host, and with --follow what happens. */
#include <errno.h>
#include <poll.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "tools/cli/cli.h"
#include "tools/cli/http.h"
#include "tools/cli/reconnect.h"

#define LONG_POLL_MS 60000

static void print_event(struct cli *cli, const json_t *event)
{
	if (cli->json) {
		cli_print_json(event);
		return;
	}
	cli_print_line(stdout, "%-24s  %-16s  %-10s  %s", cli_text(event, "at"),
		       cli_text(event, "domain"), cli_text(event, "what"), cli_text(event, "text"));
}

static int fetch(struct cli *cli, uint64_t after, uint64_t wait_ms, json_t **ret_answer,
		 struct xm_error *err)
{
	cleanup_free char *path = xm_format("/v1/events?after=%llu&wait_ms=%llu",
					    (unsigned long long)after, (unsigned long long)wait_ms);

	if (!path)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	return cli_call(cli, "GET", path, NULL, wait_ms, ret_answer, err);
}

/* Prints an answer's events; returns the number of the last. */
static uint64_t print_events(struct cli *cli, const json_t *answer, uint64_t after)
{
	const json_t *event;
	size_t index;

	json_array_foreach(json_object_get(answer, "events"), index, event)
	{
		uint64_t sequence = cli_count(event, "sequence");

		print_event(cli, event);
		if (sequence > after)
			after = sequence;
	}
	return after;
}

/* Long polls without end. A daemon that restarts is waited for; it counts its events anew. */
static int follow(struct cli *cli, uint64_t after, struct xm_error *err)
{
	struct reconnect reconnect = {0};

	while (fflush(stdout) == 0) {
		json_t *answer = NULL;
		int rc = fetch(cli, after, LONG_POLL_MS, &answer, err);

		if (!rc) {
			reconnect_found(&reconnect);
			after = print_events(cli, answer, after);
			json_decref(answer);
			continue;
		}
		if (!api_lost(rc))
			return rc;
		if (reconnect_is_news(&reconnect) && !cli->quiet)
			fputs("the daemon went away; waiting for the next\n", stderr);
		if (!reconnect_lost(&reconnect))
			return rc;
		after = 0;
		poll(NULL, 0, (int)reconnect.rest_ms);
	}
	return xm_fail_errno(err, XM_KIND_STORAGE, -errno, "cannot write the output");
}

int command_events(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	json_t *answer = NULL;
	uint64_t after;
	int rc = fetch(cli, 0, 0, &answer, err);

	if (rc)
		return rc;
	after = print_events(cli, answer, 0);
	json_decref(answer);
	return cli_option(args, "follow") ? follow(cli, after, err) : 0;
}
