/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines. Libraries say what happened through xm_log(); the program decides where
 * that goes with xm_log_set_sink() (none: lines at WARNING and above go to stderr).
 * Nothing here may be called with guest-controlled text as the format.
 *
 * Threads: any thread may log. The sink is set once, before threads start.
 */
#ifndef XM_COMMON_LOG_H
#define XM_COMMON_LOG_H

enum xm_log_level {
	XM_LOG_ERROR,	/* somebody must act */
	XM_LOG_WARNING, /* something is not as it should be; work goes on */
	XM_LOG_INFO,	/* a step an operator wants to see afterwards */
	XM_LOG_DEBUG,	/* for developers */
};

typedef void xm_log_sink(void *opaque, enum xm_log_level level, const char *line);

void xm_log_set_sink(xm_log_sink *sink, void *opaque, enum xm_log_level threshold);

void xm_log(enum xm_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "error", "warning", "info", "debug". */
const char *xm_log_level_name(enum xm_log_level level);

#endif
