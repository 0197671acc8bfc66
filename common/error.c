/* SPDX-License-Identifier: Apache-2.0 */
#include "common/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_names[] = {
	[XM_KIND_NONE] = "none",
	[XM_KIND_INTERNAL] = "internal",
	[XM_KIND_USAGE] = "usage",
	[XM_KIND_CONFIG] = "config",
	[XM_KIND_NOT_FOUND] = "not-found",
	[XM_KIND_CONFLICT] = "conflict",
	[XM_KIND_HOST] = "host",
	[XM_KIND_NETWORK] = "network",
	[XM_KIND_REFUSED] = "refused",
	[XM_KIND_DATA] = "data",
	[XM_KIND_CANCELLED] = "cancelled",
	[XM_KIND_STORAGE] = "storage",
	[XM_KIND_UNRESOLVED] = "unresolved",
};

enum { KINDS = sizeof(kind_names) / sizeof(kind_names[0]) };

static void record(struct xm_error *err, enum xm_kind kind, int code, const char *fmt, va_list args)
{
	err->kind = kind;
	err->code = code;
	vsnprintf(err->text, sizeof(err->text), fmt, args);
}

int xm_fail(struct xm_error *err, enum xm_kind kind, int code, const char *fmt, ...)
{
	if (err) {
		va_list args;

		va_start(args, fmt);
		record(err, kind, code, fmt, args);
		va_end(args);
	}
	return code;
}

int xm_fail_errno(struct xm_error *err, enum xm_kind kind, int code, const char *fmt, ...)
{
	if (err) {
		char reason[128];
		va_list args;
		size_t used;

		va_start(args, fmt);
		record(err, kind, code, fmt, args);
		va_end(args);
		used = strlen(err->text);
		snprintf(err->text + used, sizeof(err->text) - used, ": %s",
			 strerror_r(-code, reason, sizeof(reason)));
	}
	return code;
}

int xm_context(struct xm_error *err, const char *fmt, ...)
{
	char sentence[XM_ERROR_TEXT_MAX];
	va_list args;
	size_t used;

	if (!err)
		return 0;
	memcpy(sentence, err->text, sizeof(sentence));
	va_start(args, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", sentence);
	return err->code;
}

const char *xm_kind_name(enum xm_kind kind)
{
	if ((unsigned)kind >= KINDS)
		return kind_names[XM_KIND_INTERNAL];
	return kind_names[kind];
}

enum xm_kind xm_kind_from_name(const char *name)
{
	for (int kind = 0; kind < KINDS; kind++)
		if (strcmp(kind_names[kind], name) == 0)
			return kind;
	return XM_KIND_INTERNAL;
}
