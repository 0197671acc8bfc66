/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "common/file.h"
#include "tools/cli/cli.h"
#include "tools/cli/http.h"

#define DEFAULT_RUN_DIR "/run/xmigrate"

static int set_socket_path(struct cli *cli, struct xm_error *err)
{
	const char *run_dir = cli->run_dir ? cli->run_dir : getenv("XMIGRATE_RUN_DIR");

	if (cli->socket_path)
		return 0;
	cli->socket_path =
		xm_format("%s/api.sock", run_dir && run_dir[0] ? run_dir : DEFAULT_RUN_DIR);
	if (!cli->socket_path)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	return 0;
}

static int find_command(const char *name, const struct cli_command **ret_command,
			struct xm_error *err)
{
	/* `xmigrate --live DOMAIN HOST`: the option begins the arguments of migrate. */
	const struct cli_command *command =
		cli_find_command(name[0] == '-' && name[1] ? "migrate" : name);

	if (!command)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "unknown command '%s': 'xmigrate help' lists the commands", name);
	*ret_command = command;
	return 0;
}

static int run(struct cli *cli, int argc, char **argv, struct xm_error *err)
{
	const struct cli_command *command = NULL;
	struct cli_arguments args;
	int first;
	int rc = cli_parse_globals(cli, argc, argv, &first, err);

	if (rc || first == 0)
		return rc;
	if (first == argc)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "a command is missing: 'xmigrate help' lists the commands");
	rc = find_command(argv[first], &command, err);
	if (rc)
		return rc;
	/* getopt takes element 0 for the program's name. */
	if (argv[first][0] == '-')
		first--;
	rc = cli_parse(cli, command, argc - first, argv + first, &args, err);
	if (rc || !args.command)
		return rc;
	rc = set_socket_path(cli, err);
	return rc ? rc : command->run(cli, &args, err);
}

/* A result that could not be written is a failure: `xmigrate list > full.disk`. */
static int finish_output(struct xm_error *err)
{
	if (fflush(stdout) != 0)
		return xm_fail_errno(err, XM_KIND_STORAGE, -errno, "cannot write the output");
	return 0;
}

int main(int argc, char **argv)
{
	struct xm_error err = XM_ERROR_INIT;
	struct cli cli = {.signal_fd = -1};
	int rc = run(&cli, argc, argv, &err);

	if (!rc)
		rc = finish_output(&err);
	else
		fflush(stdout);
	api_close(cli.api);
	free(cli.socket_path);
	if (!rc)
		return 0;
	fputs("xmigrate: ", stderr);
	cli_print_clean(stderr, err.text);
	fputc('\n', stderr);
	return err.kind != XM_KIND_NONE ? (int)err.kind : XM_KIND_INTERNAL;
}
