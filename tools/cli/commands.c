/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands: what exists, what it takes and what is said about it. */
#include "tools/cli/cli.h"

#include <string.h>

const struct cli_option cli_global_options[] = {
	{"run-dir", 0, "DIR", "the daemon's run directory (XMIGRATE_RUN_DIR, or /run/xmigrate)"},
	{"socket", 0, "PATH", "the daemon's socket (api.sock in the run directory)"},
	{"json", 0, NULL, "print JSON, as the daemon's API gives it"},
	{"quiet", 'q', NULL, "print no progress and no summary"},
	{"verbose", 'v', NULL, "print more"},
	{"help", 'h', NULL, "print this"},
	{NULL, 0, NULL, NULL},
};

static const struct cli_option no_options[] = {{NULL, 0, NULL, NULL}};

static const struct cli_option create_options[] = {
	{"paused", 'p', NULL, "leave it paused"},
	{"console", 'c', NULL, "attach to its console, before it runs its first instruction"},
	{NULL, 0, NULL, NULL},
};

static const struct cli_option list_options[] = {
	{"long", 'l', NULL, "print all that is known of each"},
	{"names", 0, NULL, "print the names only, one a line"},
	{NULL, 0, NULL, NULL},
};

static const struct cli_option shutdown_options[] = {
	{"wait", 'w', NULL, "return when it has ended"},
	{"timeout", 0, "S", "wait at most so long (60 seconds); implies --wait"},
	{NULL, 0, NULL, NULL},
};

static const struct cli_option save_options[] = {
	{"continue", 'c', NULL, "leave the domain running after the save"},
	{"paused", 'p', NULL, "leave the domain paused after the save"},
	{"zstd", 0, "[LEVEL]", "compress (level 1 to 19; 1)"},
	{"detach", 0, NULL, "return when it has begun"},
	{NULL, 0, NULL, NULL},
};

static const struct cli_option restore_options[] = {
	{"paused", 'p', NULL, "leave it paused"},
	{"name", 0, "NAME", "under another name, and with a new UUID"},
	{"detach", 0, NULL, "return when it has begun"},
	{NULL, 0, NULL, NULL},
};

static const struct cli_option migrate_options[] = {
	{"live", 0, NULL, "move it while it runs (so it is without this option, too)"},
	{"no-live", 0, NULL, "pause it first: one round, and a pause as long as the move"},
	{"max-downtime", 0, "MS", "the longest pause allowed (300; units: 0.3s, 300ms)"},
	{"bandwidth", 0, "RATE", "send at most so much (100MB/s, 10Gbit/s; 0: no limit)"},
	{"channels", 0, "N", "parallel connections, 1 to 16 (1)"},
	{"max-rounds", 0, "N", "rounds of copying before it is given up (30)"},
	{"max-bytes", 0, "SIZE", "bytes to send before it is given up (0: 4 x its memory)"},
	{"zstd", 0, "[LEVEL]", "compress pages (level 1 to 19; 1)"},
	{"congestion", 0, "NAME", "TCP congestion control (cubic, bbr ...; the system's)"},
	{"detach", 0, NULL, "return when it has begun"},
	{NULL, 0, NULL, NULL},
};

static const struct cli_option operations_options[] = {
	{"follow", 'f', NULL, "show the operation's progress until it has finished"},
	{NULL, 0, NULL, NULL},
};

static const struct cli_option limits_options[] = {
	{"max-downtime", 0, "MS", "the longest pause allowed (units: 0.3s, 300ms)"},
	{"bandwidth", 0, "RATE", "send at most so much (100MB/s, 10Gbit/s; 0: no limit)"},
	{"max-rounds", 0, "N", "rounds of copying before it is given up"},
	{"max-bytes", 0, "SIZE", "bytes to send before it is given up (0: 4 x its memory)"},
	{NULL, 0, NULL, NULL},
};

static const struct cli_option resolve_options[] = {
	{"keep", 0, NULL, "the domain stays here: run it again"},
	{"discard", 0, NULL, "the domain runs at the target: destroy this copy"},
	{NULL, 0, NULL, NULL},
};

static const struct cli_option events_options[] = {
	{"follow", 'f', NULL, "go on with what happens from now on"},
	{NULL, 0, NULL, NULL},
};

static const struct cli_option input_options[] = {
	{"no-newline", 'n', NULL, "do not end the text with a newline"},
	{NULL, 0, NULL, NULL},
};

static const struct cli_option report_options[] = {
	{"after", 0, "N", "wait for a report numbered above N"},
	{"timeout", 0, "S", "wait at most so long (10 seconds, 60 at most)"},
	{NULL, 0, NULL, NULL},
};

static const struct cli_option help_options[] = {
	{"synopsis", 0, NULL, "print each command's synopsis, one a line"},
	{NULL, 0, NULL, NULL},
};

const struct cli_command cli_commands[] = {
	{"create", "FILE [KEY=VALUE ...]", 1, 256, "start a domain from a configuration file",
	 "KEY=VALUE replaces a value of the file: memory=512, name=web2. See xmigrate.cfg(5).",
	 create_options, command_create},
	{"list", "[DOMAIN ...]", 0, 256, "list the domains of this host", NULL, list_options,
	 command_list},
	{"info", "DOMAIN", 1, 1, "print all that is known of a domain", NULL, no_options,
	 command_info},
	{"console", "DOMAIN", 1, 1, "attach to a domain's console", "Ctrl-] leaves it.", no_options,
	 command_console},
	{"pause", "DOMAIN", 1, 1, "stop a domain's processors", NULL, no_options, command_pause},
	{"unpause", "DOMAIN", 1, 1, "let a paused domain run on", NULL, no_options,
	 command_unpause},
	{"shutdown", "DOMAIN", 1, 1, "ask a domain to end", NULL, shutdown_options,
	 command_shutdown},
	{"destroy", "DOMAIN", 1, 1, "end a domain at once", NULL, no_options, command_destroy},
	{"save", "DOMAIN FILE", 2, 2, "write a domain to a file of this host",
	 "The domain runs while it is written, and is destroyed at the end, unless -c or -p is "
	 "given.",
	 save_options, command_save},
	{"restore", "FILE", 1, 1, "start a domain from a file that save wrote", NULL,
	 restore_options, command_restore},
	{"migrate", "DOMAIN HOST[:PORT]", 2, 2, "move a domain to another host",
	 "The first Ctrl-C cancels the move and waits until the domain runs here undisturbed; "
	 "the\nsecond returns and leaves the operation to the daemon. 'xmigrate --live DOMAIN "
	 "HOST' is\nthe same as 'xmigrate migrate --live DOMAIN HOST'.",
	 migrate_options, command_migrate},
	{"operations", "[ID]", 0, 1, "list migrations, saves and restores, or print one", NULL,
	 operations_options, command_operations},
	{"limits", "DOMAIN|ID", 1, 1, "change the limits of an operation while it runs", NULL,
	 limits_options, command_limits},
	{"cancel", "DOMAIN|ID", 1, 1, "cancel an operation: the domain runs on here", NULL,
	 no_options, command_cancel},
	{"resolve", "DOMAIN", 1, 1, "settle who owns a domain after a broken switchover",
	 "Without an option, the target is asked. --keep and --discard are for the operator who "
	 "knows;\n--keep on both hosts, or a --keep while the target runs it, makes two copies "
	 "of the domain.",
	 resolve_options, command_resolve},
	{"events", "", 0, 0, "print what happened on this host", NULL, events_options,
	 command_events},
	{"input", "DOMAIN TEXT", 2, 2, "type a line into a domain's console", NULL, input_options,
	 command_input},
	{"report", "DOMAIN", 1, 1, "print a payload's last report", NULL, report_options,
	 command_report},
	{"version", "", 0, 0, "print the versions of this program and of the daemon", NULL,
	 no_options, command_version},
	{"help", "[COMMAND]", 0, 1, "explain a command, or list them", NULL, help_options,
	 command_help},
	{NULL, NULL, 0, 0, NULL, NULL, NULL, NULL},
};

const struct cli_command *cli_find_command(const char *name)
{
	for (const struct cli_command *command = cli_commands; command->name; command++)
		if (strcmp(command->name, name) == 0)
			return command;
	return NULL;
}
