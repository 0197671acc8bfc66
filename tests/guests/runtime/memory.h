/* SPDX-License-Identifier: Apache-2.0 */
/* What the compiler expects of a C library, and the guest's free memory. */
#ifndef XM_TESTS_GUESTS_MEMORY_H
#define XM_TESTS_GUESTS_MEMORY_H

#include "contract.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *left, const void *right, size_t size);
size_t strlen(const char *text);
bool text_equal(const char *left, const char *right);

/*
 * The memory that is the payload's own, as runs of whole pages, in order of address at first.
 * memory_take() takes zeroed bytes from its front for good; what is left then is numbered as pages
 * 0 .. memory_pages() - 1.
 */
struct memory_run {
	uint64_t gfn;
	uint64_t pages;
};

struct memory {
	unsigned count;
	struct memory_run runs[CONTRACT_REGIONS_MAX];
};

void memory_init(struct memory *memory, const struct start_info *start);

/* Whole pages, contiguous, below 4 GiB. NULL when the first run has not that many. */
void *memory_take(struct memory *memory, uint64_t bytes);

/* Puts the last run first: page 0 is then above 4 GiB in a guest that has memory there. */
void memory_reverse(struct memory *memory);

uint64_t memory_pages(const struct memory *memory);

/* The page number (gfn) of page `index`, which is below memory_pages(). */
uint64_t memory_gfn(const struct memory *memory, uint64_t index);

/* Identity mapping: the address of a page. */
static inline uint64_t *memory_page(uint64_t gfn)
{
	return (uint64_t *)(gfn << 12);
}

#endif
