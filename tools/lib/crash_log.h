/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The logs of domains that came to a bad end: RUN_DIR/crashed/NAME.log. A domain's folder goes away with its claim,
 * and what was said in it is wanted most when that happens unasked. The newest XT_CRASH_LOGS_KEPT stay.
 *
 * Threads: any, of any process.
 */
#ifndef XM_TOOLS_CRASH_LOG_H
#define XM_TOOLS_CRASH_LOG_H

struct xm_error;

#define XT_CRASH_LOGS_KEPT 16u

/*
 * Moves the domain's vmm.log there, in place of an earlier one of that name; who has it open goes on
 * writing to it. *ret_path is the caller's. Kind STORAGE when it cannot be moved.
 */
int xt_crash_log_keep(const char *run_dir, const char *name, char **ret_path, struct xm_error *err);

#endif
