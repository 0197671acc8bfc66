/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Domains' numbers: small, never used twice in the life of a run directory, and the same for the next daemon.
 * They lie in RUN_DIR/ids.json, which only the daemon writes.
 *
 * Threads: the caller holds a lock.
 */
#ifndef XM_TOOLS_DAEMON_IDS_H
#define XM_TOOLS_DAEMON_IDS_H

#include <jansson.h>
#include <stdint.h>

#include "common/error.h"
#include "tools/lib/registry.h"

struct xd_ids {
	char *path;
	uint64_t next;
	json_t *by_name; /* name -> number */
};

/* Reads the file. One that is damaged is an error: numbers would come twice. */
int xd_ids_init(struct xd_ids *ids, const char *run_dir, struct xm_error *err);
void xd_ids_finish(struct xd_ids *ids);

/* The number of a domain, given now if it has none. On failure to write it holds for this daemon only. */
uint64_t xd_ids_take(struct xd_ids *ids, const char *name, struct xm_error *err);

/* The domain is gone. */
void xd_ids_drop(struct xd_ids *ids, const char *name);

/* Drops all domains but these: others ended while no daemon looked. */
void xd_ids_keep_only(struct xd_ids *ids, const struct xt_domain_record *records, size_t count);

#endif
