/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All of a domain's memory as one row of pages: region after region, without the gaps between their
 * addresses. A page's place in the row indexes the engine's bitmaps and its hash table; on the wire a page
 * is named by (object, page of the object).
 *
 * A block is 512 pages (2 MiB) of the row. Regions are multiples of 2 MiB, so a block never spans
 * two of them, and a block's bits are 8 whole words of a bitmap.
 */
#ifndef XM_MIGRATE_LAYOUT_H
#define XM_MIGRATE_LAYOUT_H

#include <stdint.h>

#include "hypervisor/hypervisor.h"

#define MIG_BLOCK_PAGES 512u
#define MIG_BLOCK_WORDS (MIG_BLOCK_PAGES / 64)

struct xm_error;

struct mig_span {
	uint64_t first; /* of the region's first page in the row */
	uint64_t pages;
	uint8_t *host;
};

struct mig_layout {
	unsigned count;
	uint64_t pages; /* of the row */
	struct mig_span spans[HV_REGIONS_MAX];
};

void mig_layout_init(struct mig_layout *layout, const struct hv_domain *domain);

/* The region in which a page of the row lies. */
unsigned mig_layout_region(const struct mig_layout *layout, uint64_t row_page);

static inline uint64_t mig_layout_blocks(const struct mig_layout *layout)
{
	return layout->pages / MIG_BLOCK_PAGES;
}

/* A bitmap with a bit for each page of the row, in memory that costs nothing until it is written. */
int mig_bitmap_create(const struct mig_layout *layout, uint64_t **ret_map, struct xm_error *err);
void mig_bitmap_destroy(const struct mig_layout *layout, uint64_t *map);
uint64_t mig_bitmap_bytes(const struct mig_layout *layout);

#endif
