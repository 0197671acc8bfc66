/* SPDX-License-Identifier: Apache-2.0 */
/* The end of an operation in one line, and in one error. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "tools/cli/cli.h"
#include "tools/cli/follow.h"
#include "tools/cli/units.h"

/* The parts of the pause, in the order in which they happen. */
static const struct {
	const char *key;
	const char *name;
} pause_parts[] = {
	{"kick_ms", "kick"},	    {"quiesce_ms", "quiesce"},	 {"state_ms", "state"},
	{"pages_ms", "last pages"}, {"transfer_ms", "transfer"}, {"load_ms", "load"},
	{"commit_ms", "commit"},    {"resume_ms", "resume"},	 {"probe_ms", "probe"},
};

static void print_pause_parts(const json_t *pause)
{
	char text[UNITS_TEXT_MAX];
	const char *separator = "pause: ";

	for (size_t i = 0; i < sizeof(pause_parts) / sizeof(pause_parts[0]); i++) {
		if (!json_is_number(json_object_get(pause, pause_parts[i].key)))
			continue;
		printf("%s%s %s", separator, pause_parts[i].name,
		       units_show_ms(text, cli_number(pause, pause_parts[i].key)));
		separator = ", ";
	}
	if (separator[0] == ',')
		putchar('\n');
}

/* "moved 'web1' to host2:4411" */
static void print_beginning(const json_t *operation)
{
	static const struct {
		const char *kind;
		const char *verb;
		const char *preposition;
	} beginnings[] = {
		{"migrate", "moved", "to"},
		{"save", "saved", "to"},
		{"restore", "restored", "from"},
		{"incoming", "received", "from"},
	};
	const char *kind = cli_text(operation, "kind");
	size_t i = 0;

	while (i < 3 && strcmp(beginnings[i].kind, kind) != 0)
		i++;
	printf("%s '", beginnings[i].verb);
	cli_print_clean(stdout, cli_text(operation, "domain"));
	printf("' %s ", beginnings[i].preposition);
	cli_print_clean(stdout, cli_text(operation, "peer"));
}

static void print_summary(struct cli *cli, const json_t *operation)
{
	const json_t *progress = json_object_get(operation, "progress");
	const json_t *result = json_object_get(operation, "result");
	const json_t *pause = json_object_get(result, "pause");
	const char *kind = cli_text(operation, "kind");
	bool read = strcmp(kind, "restore") == 0;
	bool received = strcmp(kind, "incoming") == 0;
	char text[UNITS_TEXT_MAX];

	print_beginning(operation);
	printf(" in %s", units_show_ms(text, cli_number(result, "total_ms")));
	if (!read)
		printf(": pause %s, %llu round%s",
		       units_show_ms(text, cli_number(pause, "total_ms")),
		       (unsigned long long)cli_count(progress, "round"),
		       cli_count(progress, "round") == 1 ? "" : "s");
	printf("%s %s %s", read ? ":" : ",",
	       units_show_size(text, cli_count(progress, "wire_bytes")),
	       read	  ? "read"
	       : received ? "received"
			  : "sent");
	if (json_is_string(json_object_get(result, "digest")))
		printf(", digest %s", cli_text(result, "digest"));
	if (json_is_integer(json_object_get(result, "audit_pages")))
		printf(", audit %s", cli_count(result, "audit_pages") ? "FAILED" : "ok");
	putchar('\n');
	if (cli->verbose)
		print_pause_parts(pause);
}

/* The operation's error as ours. A cancelled one says what everybody wants to know then. */
static int fail_operation(const json_t *operation, const json_t *error, struct xm_error *err)
{
	const char *kind = cli_text(operation, "kind");
	bool leaves = strcmp(kind, "migrate") == 0 || strcmp(kind, "save") == 0;
	bool aborted = strcmp(cli_text(operation, "state"), "aborted") == 0;
	int rc = xm_fail(err, xm_kind_from_name(cli_text(error, "kind")), -EREMOTEIO, "%s",
			 cli_text(error, "text"));

	if (err->kind == XM_KIND_CANCELLED && leaves && aborted)
		xm_context(err, "cancelled, '%s' goes on here", cli_text(operation, "domain"));
	return rc;
}

int follow_report(struct cli *cli, const json_t *operation, struct xm_error *err)
{
	const json_t *error = json_object_get(operation, "error");
	uint64_t bad_pages = cli_count(json_object_get(operation, "result"), "audit_pages");

	if (cli->json)
		cli_print_json(operation);
	if (json_is_object(error))
		return fail_operation(operation, error, err);
	if (!cli->json && !cli->quiet)
		print_summary(cli, operation);
	if (bad_pages)
		return xm_fail(
			err, XM_KIND_DATA, -EBADMSG,
			"the audit found %llu pages of '%s' that were not sent as they were: "
			"do not trust this copy, and report this defect",
			(unsigned long long)bad_pages, cli_text(operation, "domain"));
	return 0;
}
