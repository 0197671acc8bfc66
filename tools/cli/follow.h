/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waits for an operation's end, showing its progress, by long polls: the daemon answers when
 * something changed.
 *
 * A daemon that goes away, or answers that it cannot now, is waited for, because operations live
 * in the domains' own processes and the next daemon knows them (reconnect.h).
 * SIGINT (Ctrl-C) acts as `on_interrupt` says; SIGTERM and SIGHUP leave the operation to
 * the daemon.
 */
#ifndef XM_TOOLS_CLI_FOLLOW_H
#define XM_TOOLS_CLI_FOLLOW_H

#include <jansson.h>

struct cli;
struct xm_error;

enum follow_interrupt {
	FOLLOW_CANCEL, /* the first cancels and waits for the end, the second leaves */
	FOLLOW_LEAVE,  /* the first leaves */
};

/*
 * `*ret_operation` is the finished OPERATION, a new reference, failed or not. Fails when the
 * end could not be learned. cli_catch_signals() comes first.
 */
int follow_operation(struct cli *cli, const char *id, enum follow_interrupt on_interrupt,
		     json_t **ret_operation, struct xm_error *err);

/*
 * Prints the end of an operation: with --json the OPERATION, otherwise one line that sums it up.
 * A failed operation is returned as its error.
 */
int follow_report(struct cli *cli, const json_t *operation, struct xm_error *err);

#endif
