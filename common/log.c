/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>

static void to_stderr(void *opaque, enum xm_log_level level, const char *line)
{
	(void)opaque;
	fprintf(stderr, "%s: %s\n", xm_log_level_name(level), line);
}

/* Written once by xm_log_set_sink() before threads start, read by all. */
static struct {
	xm_log_sink *sink;
	void *opaque;
	enum xm_log_level threshold;
} config = {to_stderr, 0, XM_LOG_WARNING};

void xm_log_set_sink(xm_log_sink *sink, void *opaque, enum xm_log_level threshold)
{
	config.sink = sink ? sink : to_stderr;
	config.opaque = opaque;
	config.threshold = threshold;
}

void xm_log(enum xm_log_level level, const char *fmt, ...)
{
	char line[2048];
	va_list args;

	if (level > config.threshold)
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	config.sink(config.opaque, level, line);
}

const char *xm_log_level_name(enum xm_log_level level)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};

	return (unsigned)level < 4 ? names[level] : "error";
}
