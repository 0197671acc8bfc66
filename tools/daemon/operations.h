/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations that have finished: the last XD_OPERATIONS_KEPT, as their VMMs said them. Each lies in
 * RUN_DIR/finished/ID.json as well, for the next daemon. Those that go on are asked for from their VMM.
 *
 * Threads: any.
 */
#ifndef XM_TOOLS_DAEMON_OPERATIONS_H
#define XM_TOOLS_DAEMON_OPERATIONS_H

#include <jansson.h>
#include <stdbool.h>

#include "common/error.h"

#define XD_OPERATIONS_KEPT 64

struct xd_operations;

/* Reads what lies in RUN_DIR/finished. What is not an operation there is passed over. */
int xd_operations_create(const char *run_dir, struct xd_operations **ret_operations,
			 struct xm_error *err);

/* Is it an OPERATION, well enough formed to be kept, whose id is `id` (NULL: any)? */
bool xd_operation_is(const json_t *operation, const char *id);
bool xd_operation_finished(const json_t *operation);

/* Has it finished, and is its domain's process about to end, with the name still taken? */
bool xd_operation_ends_domain(const json_t *operation);

/* As it is shown: one that ends its domain is not said to be finished before the domain's name is free. */
void xd_operation_hold_back(json_t *operation);

/* Keeps a finished operation, in place of the oldest, or of what was known of it. Takes a copy. */
void xd_operations_keep(struct xd_operations *operations, const json_t *operation);

/* A copy, or NULL. Looks into the folder as well: a VMM that died a moment ago may have left it. */
json_t *xd_operations_find(struct xd_operations *operations, const char *id);

/* Copies of all, the oldest first. */
json_t *xd_operations_list(struct xd_operations *operations);

void xd_operations_destroy(struct xd_operations *operations);

#endif
