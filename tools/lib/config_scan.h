/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the statements of an xl.cfg text: libxlutil answers questions about settings that one knows,
 * but cannot list those that are there, nor say in which line one stands. It is the parser; this only
 * walks over text that it has accepted, minding strings, lists and comments.
 */
#ifndef XM_TOOLS_CONFIG_SCAN_H
#define XM_TOOLS_CONFIG_SCAN_H

#include <stdbool.h>
#include <stddef.h>

struct xt_statement {
	const char *key; /* points into the text, not NUL-terminated */
	size_t key_length;
	const char *end; /* after the value: a newline, ';', '#' or the end of the text */
	unsigned line;	 /* of the key, from 1 */
};

struct xt_scan {
	const char *at;
	unsigned line;
};

/* Starts at a text's begin. */
static inline struct xt_scan xt_scan_begin(const char *text)
{
	return (struct xt_scan){.at = text, .line = 1};
}

/* The next statement; false at the end. */
bool xt_scan_next(struct xt_scan *scan, struct xt_statement *ret_statement);

bool xt_statement_is(const struct xt_statement *statement, const char *key);

/* The last statement that sets `key` (which is the one that counts), or false. */
bool xt_scan_find(const char *text, const char *key, struct xt_statement *ret_statement);

#endif
