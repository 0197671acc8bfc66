/* SPDX-License-Identifier: Apache-2.0 */
/* create: the configuration file, with the command line's KEY=VALUE appended to it. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "tools/cli/cli.h"
#include "tools/cli/console.h"

/* The API takes a body of 1 MiB; quoting as JSON needs room. */
#define CONFIG_SIZE_MAX (512u << 10)

static bool is_number(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	if (text[0] == '0' && text[1] == 'x')
		return text[2] && text[2 + strspn(text + 2, "0123456789abcdefABCDEF")] == '\0';
	return digits > 0 && text[digits] == '\0';
}

/* The quote to put around a value: none for what is quoted, a list or a number already. */
static const char *quote_for(const char *value)
{
	if (is_number(value) || strchr("[\"'", value[0]))
		return value[0] ? "" : "\"";
	return strchr(value, '"') ? "'" : "\"";
}

/* Makes a line of xl.cfg out of KEY=VALUE, so that a shell need not see two kinds of quotes. */
static int config_line(const char *word, char **ret_line, struct xm_error *err)
{
	size_t key = strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_");
	const char *value = word + key + 1;
	const char *quote;

	if (key == 0 || word[key] != '=' || !islower((unsigned char)word[0]))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "'%s' is not KEY=VALUE, as in memory=512: see xmigrate.cfg(5)",
			       word);
	quote = quote_for(value);
	if (strchr(value, '\n') || (quote[0] && strchr(value, quote[0])))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "the value of '%s' cannot be quoted: write it into the file", word);
	*ret_line = xm_format("%.*s=%s%s%s\n", (int)key, word, quote, value, quote);
	if (!*ret_line)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	return 0;
}

static int append(char **text, const char *more, struct xm_error *err)
{
	char *longer = xm_format("%s%s", *text, more);

	if (!longer)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	free(*text);
	*text = longer;
	return 0;
}

static int read_config(const struct cli_arguments *args, char **ret_text, struct xm_error *err)
{
	cleanup_free char *text = NULL;
	size_t size;
	int rc = xm_file_read(args->words[0], CONFIG_SIZE_MAX, &text, &size, err);

	if (rc)
		return rc;
	if (memchr(text, '\0', size))
		return xm_fail(err, XM_KIND_CONFIG, -EINVAL,
			       "%s is not a configuration file: it holds a NUL byte",
			       args->words[0]);
	/* A last line without its newline must not swallow the first KEY=VALUE. */
	if (args->words_count > 1 && size > 0 && text[size - 1] != '\n')
		rc = append(&text, "\n", err);
	for (int i = 1; !rc && i < args->words_count; i++) {
		cleanup_free char *line = NULL;

		rc = config_line(args->words[i], &line, err);
		if (!rc)
			rc = append(&text, line, err);
	}
	if (!rc)
		*ret_text = xm_steal(&text);
	return rc;
}

static int make_request(const struct cli_arguments *args, bool paused, json_t **ret_body,
			struct xm_error *err)
{
	cleanup_free char *text = NULL;
	char path[PATH_MAX];
	json_t *body = NULL;
	int rc = read_config(args, &text, err);

	if (rc)
		return rc;
	if (!realpath(args->words[0], path))
		return xm_fail_errno(err, XM_KIND_STORAGE, -errno, "cannot find the path of %s",
				     args->words[0]);
	body = json_pack("{s:s, s:s, s:b}", "config", text, "config_path", path, "paused", paused);
	if (!body)
		return xm_fail(err, XM_KIND_CONFIG, -EINVAL,
			       "%s is not a configuration file: it is not UTF-8 text",
			       args->words[0]);
	*ret_body = body;
	return 0;
}

/* Attaches first and lets it run then, so that the console shows its first words. */
static int start_on_console(struct cli *cli, const json_t *domain, bool paused,
			    struct xm_error *err)
{
	const char *name = cli_text(domain, "name");
	struct console *console;
	int rc = console_open(cli_text(domain, "console"), name, &console, err);

	if (!rc && !paused)
		rc = cli_call_domain(cli, "POST", name, "/unpause", NULL, 0, NULL, err);
	if (!rc)
		rc = console_run(console, err);
	console_close(console);
	return rc;
}

int command_create(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	bool paused = cli_option(args, "paused");
	bool console = cli_option(args, "console");
	json_t *domain = NULL;
	json_t *body = NULL;
	int rc = make_request(args, paused || console, &body, err);

	if (rc)
		return rc;
	rc = cli_call(cli, "POST", "/v1/domains", body, 0, &domain, err);
	json_decref(body);
	if (rc)
		return rc;
	if (cli->json)
		cli_print_json(domain);
	else if (!cli->quiet && !console)
		cli_print_line(stdout, "created '%s', id %llu, %s", cli_text(domain, "name"),
			       (unsigned long long)cli_count(domain, "id"),
			       cli_text(domain, "state"));
	if (console)
		rc = start_on_console(cli, domain, paused, err);
	json_decref(domain);
	return rc;
}
