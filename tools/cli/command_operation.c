/* SPDX-License-Identifier: Apache-2.0 */
/* operations, limits and cancel: what runs, and how to steer it. */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "tools/cli/cli.h"
#include "tools/cli/follow.h"
#include "tools/cli/limits.h"
#include "tools/cli/units.h"

#define ID_DIGITS 32

static bool is_id(const char *text)
{
	return strlen(text) == ID_DIGITS && strspn(text, "0123456789abcdef") == ID_DIGITS;
}

static int operation_path(const char *id, char **ret_path, struct xm_error *err)
{
	*ret_path = xm_format("/v1/operations/%s", id);
	return *ret_path ? 0 : xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
}

/* DOMAIN|ID: the path of the operation with that id, or of the one that the domain is in. */
static int find_operation(struct cli *cli, const char *word, char **ret_path, struct xm_error *err)
{
	const char *id;
	json_t *domain = NULL;
	int rc;

	if (is_id(word))
		return operation_path(word, ret_path, err);
	rc = cli_call_domain(cli, "GET", word, "", NULL, 0, &domain, err);
	if (rc)
		return rc;
	id = json_string_value(json_object_get(domain, "operation"));
	if (!id || !is_id(id))
		rc = xm_fail(err, XM_KIND_CONFLICT, -EALREADY,
			     "no operation runs on '%s': 'xmigrate operations' lists all", word);
	else
		rc = operation_path(id, ret_path, err);
	json_decref(domain);
	return rc;
}

static void print_row(const json_t *operation)
{
	const json_t *progress = json_object_get(operation, "progress");
	const json_t *error = json_object_get(operation, "error");
	char sent[UNITS_TEXT_MAX];

	cli_print_line(
		stdout, "%-32s  %-8s  %-20s  %-13s  %5llu  %10s  %s", cli_text(operation, "id"),
		cli_text(operation, "kind"), cli_text(operation, "domain"),
		cli_text(operation, "state"), (unsigned long long)cli_count(progress, "round"),
		units_show_size(sent, cli_count(progress, "wire_bytes")),
		json_is_object(error) ? cli_text(error, "kind") : cli_text(operation, "peer"));
}

static int list_operations(struct cli *cli, struct xm_error *err)
{
	const json_t *operation;
	json_t *list = NULL;
	size_t index;
	int rc = cli_call(cli, "GET", "/v1/operations", NULL, 0, &list, err);

	if (rc)
		return rc;
	if (cli->json) {
		cli_print_json(list);
	} else {
		printf("%-32s  %-8s  %-20s  %-13s  %5s  %10s  %s\n", "ID", "Kind", "Domain",
		       "State", "Round", "Bytes", "Peer or error");
		json_array_foreach(json_object_get(list, "operations"), index, operation)
			print_row(operation);
	}
	json_decref(list);
	return 0;
}

/* Members that are numbers or texts, one a line; the API's keys are their names. */
static void print_members(const char *prefix, const json_t *object)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		if (json_is_object(value)) {
			cleanup_free char *deeper = xm_format("%s%s.", prefix, key);

			print_members(deeper ? deeper : "", value);
			continue;
		}
		printf("%s%s: ", prefix, key);
		if (json_is_string(value))
			cli_print_clean(stdout, json_string_value(value));
		else
			json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
		putchar('\n');
	}
}

static int show_operation(struct cli *cli, const char *id, struct xm_error *err)
{
	cleanup_free char *path = NULL;
	json_t *operation = NULL;
	int rc = operation_path(id, &path, err);

	if (!rc)
		rc = cli_call(cli, "GET", path, NULL, 0, &operation, err);
	if (rc)
		return rc;
	if (cli->json)
		cli_print_json(operation);
	else
		print_members("", operation);
	json_decref(operation);
	return 0;
}

static int check_id(const char *word, struct xm_error *err)
{
	if (is_id(word))
		return 0;
	return xm_fail(err, XM_KIND_USAGE, -EINVAL,
		       "'%s' is not an operation's id (32 hex digits): 'xmigrate operations' lists "
		       "them",
		       word);
}

int command_operations(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	const char *id = args->words_count ? args->words[0] : NULL;
	json_t *operation = NULL;
	int rc;

	if (!id && cli_option(args, "follow"))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "--follow needs an ID: 'xmigrate operations' lists them");
	if (!id)
		return list_operations(cli, err);
	rc = check_id(id, err);
	if (rc)
		return rc;
	if (!cli_option(args, "follow"))
		return show_operation(cli, id, err);
	rc = cli_catch_signals(cli, err);
	if (!rc)
		rc = follow_operation(cli, id, FOLLOW_LEAVE, &operation, err);
	if (rc)
		return rc;
	rc = follow_report(cli, operation, err);
	json_decref(operation);
	return rc;
}

int command_limits(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	cleanup_free char *path = NULL;
	json_t *operation = NULL;
	json_t *body = json_object();
	int rc = limits_add(body, args, err);

	if (!rc && json_object_size(body) == 0)
		rc = xm_fail(err, XM_KIND_USAGE, -EINVAL,
			     "no limit was given: see 'xmigrate help limits'");
	if (!rc)
		rc = find_operation(cli, args->words[0], &path, err);
	if (!rc)
		rc = cli_call(cli, "PATCH", path, body, 0, &operation, err);
	if (!rc && cli->json)
		cli_print_json(operation);
	json_decref(operation);
	json_decref(body);
	return rc;
}

int command_cancel(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	cleanup_free char *path = NULL;
	int rc = find_operation(cli, args->words[0], &path, err);

	return rc ? rc : cli_call(cli, "DELETE", path, NULL, 0, NULL, err);
}
