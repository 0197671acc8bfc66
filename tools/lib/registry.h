/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which domains are on this host: names, UUIDs and memory, claimed in RUN_DIR (docs/vmm-control.md, Folders).
 *
 * A claim belongs to the process that made it and holds the flock of domains/NAME/lock while it lives; a
 * claim whose lock is free is stale, whatever killed its owner. Claims are made, looked at and
 * cleared away under RUN_DIR/lock, so that nobody sees half a claim.
 *
 * Threads: a registry is constant and may be used by any thread; a claim by one thread at a time.
 */
#ifndef XM_TOOLS_REGISTRY_H
#define XM_TOOLS_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tools/lib/ident.h"

struct xm_error;
struct xt_claim;

struct xt_registry {
	const char *run_dir;
	const char *meminfo; /* NULL: /proc/meminfo; tests have their own */
};

/* domain.json: what a domain says about itself to those who cannot ask it. */
struct xt_domain_record {
	char name[XT_NAME_SIZE];
	uint8_t uuid[XT_ID_BYTES];
	uint64_t memory_bytes;
	uint64_t huge_page_bytes; /* 0: ordinary memory */
	unsigned vcpus;
	uint64_t epoch;
	char session[XT_HEX_SIZE]; /* of a domain that is still arriving; "" otherwise */
	pid_t pid;
	char created_at[XT_TIME_SIZE];
};

struct xt_host_memory {
	uint64_t total_bytes;	  /* less what is set aside for huge pages */
	uint64_t available_bytes; /* free, or would be if asked for */
	uint64_t reserved_bytes;  /* sum of the live claims of this RUN_DIR */
};

/* Makes RUN_DIR and its folders, if they are not there. */
int xt_registry_init(const struct xt_registry *registry, struct xm_error *err);

/*
 * Claims record's name, UUID and memory, and writes config.cfg and domain.json. Stale claims that are
 * in the way are cleared; one of a domain that is still arriving, which ends soon if its source has given it up, is
 * waited for, at most XT_ARRIVING_WAIT_MS. Kind CONFLICT when name or UUID is taken by a living domain; kind
 * HOST when the memory does not fit: all claims and the new one must fit into the host's memory less a
 * sixteenth, which is left to the host, and the new one into what is available now. (Huge pages are
 * counted by the kernel, not here.)
 */
#define XT_ARRIVING_WAIT_MS 5000u
int xt_claim_make(const struct xt_registry *registry, const struct xt_domain_record *record,
		  const char *config, struct xt_claim **ret_claim, struct xm_error *err);

/* Replaces domain.json. Name, UUID and memory must be those claimed. */
int xt_claim_update(struct xt_claim *claim, const struct xt_domain_record *record,
		    struct xm_error *err);

/* RUN_DIR/domains/NAME. */
const char *xt_claim_folder(const struct xt_claim *claim);

/* Removes the claim with all that is in its folder. NULL is fine. */
void xt_claim_release(struct xt_claim *claim);

/* The records of living domains, by name; the caller frees the array. */
int xt_registry_list(const struct xt_registry *registry, struct xt_domain_record **ret_records,
		     size_t *ret_count, struct xm_error *err);

/*
 * Clears stale claims away. `on_stale` (may be NULL) is told of each, before it is gone, with what domain.json
 * said (all but the name zero if it cannot be read).
 */
int xt_registry_sweep(const struct xt_registry *registry,
		      void (*on_stale)(void *opaque, const struct xt_domain_record *record),
		      void *opaque, struct xm_error *err);

int xt_registry_memory(const struct xt_registry *registry, struct xt_host_memory *ret_memory,
		       struct xm_error *err);

#endif
