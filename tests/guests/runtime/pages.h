/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pages that a payload stamps and checks: page 0 .. working - 1 are the working set, which is
 * written again and again; the rest, up to `populated`, are stamped once at the start, as step 0.
 * For each page of the working set a table holds the step of its last write, so a stale page and a
 * stale table entry both show as a difference. Pages are counted from the last region's first page
 * on, then the next lower region's: so in a guest with memory above 4 GiB the working set is there,
 * the table and the payload's state below.
 */
#ifndef XM_TESTS_GUESTS_PAGES_H
#define XM_TESTS_GUESTS_PAGES_H

#include "faults.h"
#include "memory.h"
#include "tsc.h"

#include <stdint.h>

struct pages {
	struct memory memory;
	uint64_t working;
	uint64_t populated;
	uint64_t *steps; /* the table */
	uint64_t seed;
	struct faults *faults;
};

/*
 * Takes all of `memory`. Sizes are in MiB, UINT64_MAX for all that there is; what does not fit is
 * clamped, with a line on the console. The working set is made a multiple of `multiple` pages, and
 * counts as populated.
 */
void pages_init(struct pages *pages, const struct memory *memory, uint64_t working_mib,
		uint64_t populate_mib, uint64_t multiple, uint64_t seed, struct faults *faults);

/* Stamps all pages as of step 0. */
void pages_populate(struct pages *pages);

/* Compares one page with what it must hold; a difference is a fault, told precisely. */
void pages_check(const struct pages *pages, uint64_t index);

/* All of them, reading the TSC at each. Nobody may write meanwhile. Returns how many. */
uint64_t pages_check_all(const struct pages *pages, struct gap *gap);

#endif
