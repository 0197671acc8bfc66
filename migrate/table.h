/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the other end has: a hash for each page of the row, and from them the digest of all of memory.
 *
 * Both ends keep such a table. The source enters a page when it stages it, the target when it has applied it.
 * Equal digests then prove that every page that was staged arrived, and none twice or in the wrong order.
 *
 * The digest is a sum, kept up to date by each worker in a partial sum of its own; the parts are added up
 * at a seal. The table takes 8 bytes a page, of memory that costs nothing while it is zero.
 *
 * Threads: different pages may be entered at once; each page belongs to one worker at a time.
 */
#ifndef XM_MIGRATE_TABLE_H
#define XM_MIGRATE_TABLE_H

#include <stdint.h>

#include "migrate/layout.h"
#include "proto/page.h"

struct mig_table {
	uint64_t *hashes; /* by page of the row; 0: zero, or never sent */
	uint64_t pages;
};

int mig_table_init(struct mig_table *table, const struct mig_layout *layout, struct xm_error *err);
void mig_table_finish(struct mig_table *table);
uint64_t mig_table_bytes(const struct mig_table *table);

/* Enters a page's hash and changes the partial digest by the difference. */
static inline void mig_table_enter(struct mig_table *table, uint64_t row_page, uint32_t object,
				   uint64_t page, uint64_t hash, pf_digest *digest)
{
	uint64_t old = table->hashes[row_page];

	if (old == hash)
		return;
	*digest += pf_digest_term(object, page, hash) - pf_digest_term(object, page, old);
	table->hashes[row_page] = hash;
}

#endif
