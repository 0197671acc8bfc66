/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands share: calls, signals, and the ways things are printed. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "tools/cli/cli.h"
#include "tools/cli/http.h"

static int connect_api(struct cli *cli, struct xm_error *err)
{
	int rc;

	if (cli->api)
		return 0;
	rc = api_open(cli->socket_path, &cli->api, err);
	if (!rc)
		api_watch(cli->api, cli->signal_fd);
	return rc;
}

int cli_call(struct cli *cli, const char *method, const char *path, json_t *body, uint64_t wait_ms,
	     json_t **ret_answer, struct xm_error *err)
{
	int rc = connect_api(cli, err);

	return rc ? rc : api_call(cli->api, method, path, body, wait_ms, ret_answer, err);
}

/* The daemon says what is unknown; here is said where to look. */
static void add_hint(struct xm_error *err)
{
	size_t used = strlen(err->text);

	if (err->kind == XM_KIND_NOT_FOUND && !strstr(err->text, "xmigrate list"))
		snprintf(err->text + used, sizeof(err->text) - used,
			 " ('xmigrate list' shows the domains of this host)");
}

int cli_call_domain(struct cli *cli, const char *method, const char *domain, const char *rest,
		    json_t *body, uint64_t wait_ms, json_t **ret_answer, struct xm_error *err)
{
	cleanup_free char *name = NULL;
	cleanup_free char *path = NULL;
	int rc = connect_api(cli, err);

	if (!rc) {
		name = api_escape(cli->api, domain);
		path = name ? xm_format("/v1/domains/%s%s", name, rest) : NULL;
		if (!path)
			rc = xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	}
	if (!rc)
		rc = api_call(cli->api, method, path, body, wait_ms, ret_answer, err);
	if (rc == -EREMOTEIO)
		add_hint(err);
	json_decref(body);
	return rc;
}

int cli_catch_signals(struct cli *cli, struct xm_error *err)
{
	sigset_t set;
	int fd;

	if (cli->signal_fd >= 0)
		return 0;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return xm_fail_errno(err, XM_KIND_INTERNAL, -errno, "cannot block signals");
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot make a signalfd");
	cli->signal_fd = fd;
	if (cli->api)
		api_watch(cli->api, fd);
	return 0;
}

void cli_print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
	fputc('\n', stdout);
}

void cli_print_clean(FILE *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		/* C0, DEL, and C1 as UTF-8 writes it (0xc2 0x80 to 0xc2 0x9f). */
		if (c < 0x20 || c == 0x7f) {
			fprintf(out, "\\x%02x", c);
		} else if (c == 0xc2 && ((unsigned char)text[1] & 0xe0) == 0x80) {
			fprintf(out, "\\x%02x", (unsigned char)text[1]);
			text++;
		} else {
			fputc(c, out);
		}
	}
}

void cli_print_line(FILE *out, const char *fmt, ...)
{
	char *text = NULL;
	va_list args;
	int length;

	va_start(args, fmt);
	length = vasprintf(&text, fmt, args);
	va_end(args);
	if (length >= 0) {
		cli_print_clean(out, text);
		free(text);
	}
	fputc('\n', out);
}

int cli_absolute_path(const char *path, char **ret_path, struct xm_error *err)
{
	char folder[PATH_MAX];
	char *absolute;

	if (path[0] == '/')
		absolute = strdup(path);
	else if (!getcwd(folder, sizeof(folder)))
		return xm_fail_errno(err, XM_KIND_STORAGE, -errno,
				     "cannot find this folder's path");
	else
		absolute = xm_format("%s/%s", folder, path);
	if (!absolute)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	*ret_path = absolute;
	return 0;
}

const char *cli_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && text[0] ? text : "-";
}

uint64_t cli_count(const json_t *object, const char *key)
{
	double number = cli_number(object, key);
	const json_t *value = json_object_get(object, key);

	if (json_is_integer(value))
		return json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
	return number > 0 && number < 1e18 ? (uint64_t)number : 0;
}

double cli_number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}
