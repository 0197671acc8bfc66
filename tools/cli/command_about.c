/* SPDX-License-Identifier: Apache-2.0 */
/* version and help. */
#include <errno.h>

#include "common/error.h"
#include "tools/cli/cli.h"
#include "tools/cli/http.h"
#include "tools/cli/units.h"

static void print_daemon(const json_t *daemon)
{
	const json_t *host = json_object_get(daemon, "host");
	const json_t *address;
	char memory[UNITS_TEXT_MAX];
	char free_memory[UNITS_TEXT_MAX];
	size_t index;

	cli_print_line(stdout, "xmigrated %s, API %llu, stream %s", cli_text(daemon, "version"),
		       (unsigned long long)cli_count(daemon, "api"), cli_text(daemon, "stream"));
	cli_print_line(stdout, "host %s: %llu CPUs, %s of memory, %s of it free",
		       cli_text(host, "name"), (unsigned long long)cli_count(host, "cpus"),
		       units_show_size(memory, cli_count(host, "memory_bytes")),
		       units_show_size(free_memory, cli_count(host, "memory_free_bytes")));
	json_array_foreach(json_object_get(daemon, "listen"), index, address)
		cli_print_line(stdout, "takes migrations on %s", json_string_value(address));
}

/* A daemon that does not run is an answer here, not a failure. */
int command_version(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	json_t *daemon = NULL;
	int rc = cli_call(cli, "GET", "/v1/version", NULL, 0, &daemon, err);

	(void)args;
	if (rc && !api_lost(rc))
		return rc;
	if (cli->json) {
		json_t *both = json_pack("{s:s, s:o?}", "client", XM_VERSION, "daemon", daemon);

		cli_print_json(both);
		json_decref(both);
		return 0;
	}
	printf("xmigrate %s\n", XM_VERSION);
	if (daemon)
		print_daemon(daemon);
	else
		printf("xmigrated: not running at %s\n", cli->socket_path);
	json_decref(daemon);
	return 0;
}

int command_help(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	const struct cli_command *command;

	(void)cli;
	if (cli_option(args, "synopsis")) {
		for (command = cli_commands; command->name; command++)
			cli_print_synopsis(stdout, command);
		return 0;
	}
	if (args->words_count == 0) {
		cli_print_overview(stdout);
		return 0;
	}
	command = cli_find_command(args->words[0]);
	if (!command)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "unknown command '%s': 'xmigrate help' lists the commands",
			       args->words[0]);
	cli_print_usage(stdout, command);
	return 0;
}
