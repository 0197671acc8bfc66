/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines, taken apart by getopt_long() as the tables say, and the usage texts. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "tools/cli/cli.h"

/* getopt_long() values: letters are themselves, long options count from here. */
enum {
	GLOBAL_BASE = 256,
	COMMAND_BASE = 512,
	EXTRA_LIVE = 1024,
	EXTRA_VERSION,
};

enum { GETOPT_ROWS = 32 };

/* The two tables that getopt_long() wants. */
struct getopt_tables {
	char letters[2 * GETOPT_ROWS + 3];
	struct option rows[GETOPT_ROWS];
	int count;
};

static int has_argument(const struct cli_option *option)
{
	if (!option->argument)
		return no_argument;
	return option->argument[0] == '[' ? optional_argument : required_argument;
}

static void add_row(struct getopt_tables *tables, const char *name, int has_arg, int value)
{
	tables->rows[tables->count++] = (struct option){name, has_arg, NULL, value};
}

static void add_options(struct getopt_tables *tables, const struct cli_option *options, int base)
{
	for (int i = 0; options[i].name; i++) {
		size_t used = strlen(tables->letters);

		add_row(tables, options[i].name, has_argument(&options[i]), base + i);
		if (options[i].letter)
			tables->letters[used++] = options[i].letter;
		if (options[i].letter && options[i].argument)
			tables->letters[used++] = ':';
		tables->letters[used] = '\0';
	}
}

/* The option that a value of getopt_long() means, of the table that begins at `base`, or -1. */
static int option_index(const struct cli_option *options, int base, int value)
{
	for (int i = 0; options[i].name; i++)
		if (value == base + i || (options[i].letter && value == options[i].letter))
			return i;
	return -1;
}

static int fail_option(const char *program, char **argv, int value, struct xm_error *err)
{
	const char *word = argv[optind - 1];
	char letter[3] = {'-', (char)optopt, '\0'};
	const char *shown = optopt && optopt < GLOBAL_BASE ? letter : word;

	if (value == ':')
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "option %s needs a value: see 'xmigrate help%s'", shown, program);
	if (optopt >= GLOBAL_BASE)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "option %s takes no value: see 'xmigrate help%s'", word, program);
	return xm_fail(err, XM_KIND_USAGE, -EINVAL, "unknown option %s: see 'xmigrate help%s'",
		       shown, program);
}

/* Acts on a global option. Returns 1 when --help was asked for. */
static int take_global(struct cli *cli, int index, const char *value)
{
	const char *name = cli_global_options[index].name;

	if (strcmp(name, "run-dir") == 0) {
		cli->run_dir = value;
	} else if (strcmp(name, "socket") == 0) {
		free(cli->socket_path);
		cli->socket_path = strdup(value);
	} else if (strcmp(name, "json") == 0) {
		cli->json = true;
	} else if (strcmp(name, "quiet") == 0) {
		cli->quiet = true;
	} else if (strcmp(name, "verbose") == 0) {
		cli->verbose = true;
	} else {
		return 1;
	}
	return 0;
}

int cli_parse_globals(struct cli *cli, int argc, char **argv, int *ret_first, struct xm_error *err)
{
	struct getopt_tables tables = {.letters = "+:"};
	int value;

	add_options(&tables, cli_global_options, GLOBAL_BASE);
	add_row(&tables, "live", no_argument, EXTRA_LIVE);
	add_row(&tables, "version", no_argument, EXTRA_VERSION);
	opterr = 0;
	optind = 0;
	while ((value = getopt_long(argc, argv, tables.letters, tables.rows, NULL)) != -1) {
		int index = option_index(cli_global_options, GLOBAL_BASE, value);

		if (value == EXTRA_LIVE) {
			*ret_first = optind - 1;
			return 0;
		}
		if (value == EXTRA_VERSION) {
			printf("xmigrate %s\n", XM_VERSION);
			*ret_first = 0;
			return 0;
		}
		if (index < 0)
			return fail_option("", argv, value, err);
		if (take_global(cli, index, optarg)) {
			cli_print_overview(stdout);
			*ret_first = 0;
			return 0;
		}
	}
	*ret_first = optind;
	return 0;
}

static int check_words(const struct cli_arguments *args, struct xm_error *err)
{
	const struct cli_command *command = args->command;

	if (args->words_count < command->words_min)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "%s needs %s: see 'xmigrate help %s'",
			       command->name, command->words, command->name);
	if (args->words_count > command->words_max)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "%s does not take '%s': see 'xmigrate help %s'", command->name,
			       args->words[command->words_max], command->name);
	for (int i = 0; i < args->words_count; i++)
		if (args->words[i][0] == '\0' && strcmp(command->name, "input") != 0)
			return xm_fail(err, XM_KIND_USAGE, -EINVAL,
				       "%s was given an empty word: see 'xmigrate help %s'",
				       command->name, command->name);
	return 0;
}

int cli_parse(struct cli *cli, const struct cli_command *command, int argc, char **argv,
	      struct cli_arguments *ret_args, struct xm_error *err)
{
	struct cli_arguments args = {.command = command};
	struct getopt_tables tables = {.letters = ":"};
	char program[32];
	int value;

	snprintf(program, sizeof(program), " %s", command->name);
	add_options(&tables, cli_global_options, GLOBAL_BASE);
	add_options(&tables, command->options, COMMAND_BASE);
	optind = 0;
	while ((value = getopt_long(argc, argv, tables.letters, tables.rows, NULL)) != -1) {
		int own = option_index(command->options, COMMAND_BASE, value);
		int global = option_index(cli_global_options, GLOBAL_BASE, value);

		if (own >= 0) {
			args.values[own] = optarg ? optarg : "";
		} else if (global < 0) {
			return fail_option(program, argv, value, err);
		} else if (take_global(cli, global, optarg)) {
			args.command = NULL;
			*ret_args = args;
			cli_print_usage(stdout, command);
			return 0;
		}
	}
	args.words = argv + optind;
	args.words_count = argc - optind;
	*ret_args = args;
	return check_words(&args, err);
}

const char *cli_option(const struct cli_arguments *args, const char *name)
{
	const struct cli_option *options = args->command->options;

	for (int i = 0; options[i].name; i++)
		if (strcmp(options[i].name, name) == 0)
			return args->values[i];
	return NULL;
}

/* "--zstd[=LEVEL]", "--name NAME" */
static void option_text(char *buffer, size_t size, const struct cli_option *option)
{
	int shape = has_argument(option);

	if (shape == no_argument)
		snprintf(buffer, size, "--%s", option->name);
	else if (shape == required_argument)
		snprintf(buffer, size, "--%s %s", option->name, option->argument);
	else
		snprintf(buffer, size, "--%s[=%s", option->name, option->argument + 1);
}

void cli_print_synopsis(FILE *out, const struct cli_command *command)
{
	char text[64];

	fputs(command->name, out);
	for (const struct cli_option *option = command->options; option->name; option++) {
		option_text(text, sizeof(text), option);
		if (option->letter)
			fprintf(out, " [-%c|%s]", option->letter, text);
		else
			fprintf(out, " [%s]", text);
	}
	fprintf(out, "%s%s\n", command->words[0] ? " " : "", command->words);
}

static void print_options(FILE *out, const struct cli_option *options)
{
	char text[64];

	for (; options->name; options++) {
		option_text(text, sizeof(text), options);
		if (options->letter)
			fprintf(out, "  -%c, %-20s %s\n", options->letter, text, options->help);
		else
			fprintf(out, "      %-20s %s\n", text, options->help);
	}
}

void cli_print_usage(FILE *out, const struct cli_command *command)
{
	fprintf(out, "Usage: xmigrate %s [OPTIONS] %s\n\n%s: %s.\n", command->name, command->words,
		command->name, command->summary);
	if (command->more)
		fprintf(out, "%s\n", command->more);
	if (command->options[0].name) {
		fputs("\nOptions:\n", out);
		print_options(out, command->options);
	}
	fputs("\nGlobal options:\n", out);
	print_options(out, cli_global_options);
}

void cli_print_overview(FILE *out)
{
	fputs("Usage: xmigrate [OPTIONS] COMMAND ...\n"
	      "       xmigrate --live DOMAIN HOST[:PORT]\n\nCommands:\n",
	      out);
	for (const struct cli_command *command = cli_commands; command->name; command++)
		fprintf(out, "  %-12s %s\n", command->name, command->summary);
	fputs("\nOptions:\n", out);
	print_options(out, cli_global_options);
	fputs("\n'xmigrate help COMMAND' explains a command; xmigrate(1) explains all.\n", out);
}
