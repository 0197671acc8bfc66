/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xmigrate, the operator's command.
 *
 * A command is one row of the table in commands.c: its words, its options and the function
 * that does it. Parsing, usage texts, `xmigrate help` and the man page's synopsis all come
 * from that row. A command prints its result on stdout and returns 0, or fails with one
 * sentence, which main() prints on stderr as "xmigrate: ..." and turns into the exit code.
 */
#ifndef XM_TOOLS_CLI_H
#define XM_TOOLS_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct api;
struct xm_error;

/* What the global options said, and the connection to the daemon. */
struct cli {
	const char *run_dir;
	char *socket_path; /* owned */
	bool json;
	bool quiet;
	bool verbose;
	struct api *api;
	int signal_fd; /* cli_catch_signals(), or -1 */
};

struct cli_option {
	const char *name;
	char letter;	      /* 0: none */
	const char *argument; /* NULL: takes none; "[LEVEL]": optional, as --zstd[=LEVEL] */
	const char *help;
};

#define CLI_OPTIONS_MAX 12

/* A command line, taken apart by cli_parse(). */
struct cli_arguments {
	const struct cli_command *command;
	const char *values[CLI_OPTIONS_MAX]; /* as the command's options; NULL: not given */
	char **words;
	int words_count;
};

struct cli_command {
	const char *name;
	const char *words; /* "DOMAIN FILE" */
	int words_min;
	int words_max;
	const char *summary;
	const char *more; /* for `help COMMAND`; may be NULL */
	const struct cli_option *options;
	int (*run)(struct cli *cli, const struct cli_arguments *args, struct xm_error *err);
};

/* The tables: each ends with a row whose name is NULL. */
extern const struct cli_option cli_global_options[];
extern const struct cli_command cli_commands[];

/* NULL when there is no such command. */
const struct cli_command *cli_find_command(const char *name);

/*
 * Options before the command. `*ret_first` is the index of the command's name, or `argc`; for
 * `xmigrate --live ...` it is the index of that --live, which begins migrate's arguments.
 */
int cli_parse_globals(struct cli *cli, int argc, char **argv, int *ret_first, struct xm_error *err);

/* `argv[0]` is the command's name. Global options may stand here as well. */
int cli_parse(struct cli *cli, const struct cli_command *command, int argc, char **argv,
	      struct cli_arguments *ret_args, struct xm_error *err);

/* The value of an option of this command: NULL if it was not given, "" if it has none. */
const char *cli_option(const struct cli_arguments *args, const char *name);

/* "create [-p|--paused] FILE [KEY=VALUE ...]" */
void cli_print_synopsis(FILE *out, const struct cli_command *command);
void cli_print_usage(FILE *out, const struct cli_command *command);
void cli_print_overview(FILE *out);

/* One request; opens the connection if that is still to be done. See api_call(). */
int cli_call(struct cli *cli, const char *method, const char *path, json_t *body, uint64_t wait_ms,
	     json_t **ret_answer, struct xm_error *err);

/* One request about a domain: /v1/domains/NAME and `rest` ("/pause", or ""). Consumes `body`. */
int cli_call_domain(struct cli *cli, const char *method, const char *domain, const char *rest,
		    json_t *body, uint64_t wait_ms, json_t **ret_answer, struct xm_error *err);

/*
 * From here on SIGINT, SIGTERM and SIGHUP are read from `cli->signal_fd`, and end a call in flight
 * (api_watch()).
 */
int cli_catch_signals(struct cli *cli, struct xm_error *err);

/* One JSON value, on one line. */
void cli_print_json(const json_t *value);

/* Prints text that others wrote: what could steer a terminal is shown as \xNN. */
void cli_print_clean(FILE *out, const char *text);

/* A line of such text; the newline is added. */
void cli_print_line(FILE *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A path that means the same in the daemon's folder. The caller frees. */
int cli_absolute_path(const char *path, char **ret_path, struct xm_error *err);

/* Members of an answer; what is missing or of another type reads as "-" or 0. */
const char *cli_text(const json_t *object, const char *key);
uint64_t cli_count(const json_t *object, const char *key);
double cli_number(const json_t *object, const char *key);

/* The commands (command_*.c), in the table's order. */
typedef int cli_run(struct cli *cli, const struct cli_arguments *args, struct xm_error *err);
cli_run command_create, command_list, command_info, command_console, command_pause, command_unpause,
	command_shutdown, command_destroy, command_save, command_restore, command_migrate,
	command_operations, command_limits, command_cancel, command_resolve, command_events,
	command_input, command_report, command_version, command_help;

#endif
