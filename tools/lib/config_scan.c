/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/lib/config_scan.h"

#include <string.h>

static void skip_comment(struct xt_scan *scan)
{
	while (*scan->at && *scan->at != '\n')
		scan->at++;
}

static void skip_string(struct xt_scan *scan)
{
	char quote = *scan->at++;

	while (*scan->at && *scan->at != quote) {
		if (*scan->at == '\\' && scan->at[1])
			scan->at++;
		if (*scan->at == '\n')
			scan->line++;
		scan->at++;
	}
	if (*scan->at)
		scan->at++;
}

/* Between statements there is white space, comments and ';'. */
static void skip_to_key(struct xt_scan *scan)
{
	for (;;) {
		if (*scan->at == '#')
			skip_comment(scan);
		if (!*scan->at || !strchr(" \t\r\n;", *scan->at))
			return;
		if (*scan->at == '\n')
			scan->line++;
		scan->at++;
	}
}

/* A value ends with its line, unless a list is open. */
static void skip_value(struct xt_scan *scan)
{
	unsigned depth = 0;

	while (*scan->at) {
		switch (*scan->at) {
		case '\'':
		case '"':
			skip_string(scan);
			continue;
		case '#':
			if (depth == 0)
				return;
			skip_comment(scan);
			continue;
		case '[':
			depth++;
			break;
		case ']':
			depth -= depth > 0;
			break;
		case ';':
			if (depth == 0)
				return;
			break;
		case '\n':
			if (depth == 0)
				return;
			scan->line++;
			break;
		default:
			break;
		}
		scan->at++;
	}
}

bool xt_scan_next(struct xt_scan *scan, struct xt_statement *ret_statement)
{
	struct xt_statement statement;

	skip_to_key(scan);
	if (!*scan->at)
		return false;
	statement.key = scan->at;
	statement.line = scan->line;
	scan->at += strcspn(scan->at, " \t\r\n;#=+[]'\"");
	statement.key_length = (size_t)(scan->at - statement.key);
	skip_value(scan);
	statement.end = scan->at;
	*ret_statement = statement;
	return true;
}

bool xt_statement_is(const struct xt_statement *statement, const char *key)
{
	return strlen(key) == statement->key_length &&
	       memcmp(key, statement->key, statement->key_length) == 0;
}

bool xt_scan_find(const char *text, const char *key, struct xt_statement *ret_statement)
{
	struct xt_scan scan = xt_scan_begin(text);
	struct xt_statement statement;
	bool found = false;

	while (xt_scan_next(&scan, &statement)) {
		if (!xt_statement_is(&statement, key))
			continue;
		*ret_statement = statement;
		found = true;
	}
	return found;
}
