/* SPDX-License-Identifier: Apache-2.0 */
/* What every program of xmigrate does first. */
#ifndef XM_TOOLS_PROGRAM_H
#define XM_TOOLS_PROGRAM_H

#include "common/log.h"

struct xm_error;

/*
 * Log lines go to stderr as "TIME level: text", at `threshold` and above; SIGPIPE is ignored (writes say -EPIPE);
 * fault points are armed from the environment. Before any thread starts.
 */
int xt_program_start(enum xm_log_level threshold, struct xm_error *err);

/* From now on stderr, and with it the log, is appended to this file. */
int xt_program_log_to(const char *path, struct xm_error *err);

#endif
