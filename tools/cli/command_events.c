/* SPDX-License-Identifier: Apache-2.0 */
/* events: what happened on this host, and with --follow what happens. */
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "tools/cli/cli.h"

#define LONG_POLL_MS 60000

static void print_event(struct cli *cli, const json_t *event)
{
	if (cli->json) {
		cli_print_json(event);
		return;
	}
	printf("%-24s  %-16s  %-10s  ", cli_text(event, "at"), cli_text(event, "domain"),
	       cli_text(event, "what"));
	cli_print_clean(stdout, cli_text(event, "text"));
	putchar('\n');
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

int command_events(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	bool follow = cli_option(args, "follow");
	uint64_t wait_ms = 0;
	uint64_t after = 0;
	const json_t *event;
	json_t *answer = NULL;
	size_t index;

	do {
		int rc = fetch(cli, after, wait_ms, &answer, err);

		if (rc)
			return rc;
		json_array_foreach(json_object_get(answer, "events"), index, event)
		{
			uint64_t sequence = cli_count(event, "sequence");

			print_event(cli, event);
			if (sequence > after)
				after = sequence;
		}
		json_decref(answer);
		wait_ms = LONG_POLL_MS;
		if (fflush(stdout) != 0)
			return xm_fail_errno(err, XM_KIND_STORAGE, -errno,
					     "cannot write the output");
	} while (follow);
	return 0;
}
