// SPDX-License-Identifier: Apache-2.0
#include "proto/variant.h"

/* XXH3 takes the widest vectors that the compiler flags of this build allow. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#define PASTE_(a, b) a##b
#define PASTE(a, b)  PASTE_(a, b)
#define TEXT_(a)     #a
#define TEXT(a)	     TEXT_(a)

#define PAGE_SIZE 4096

/* 64 bytes at any address: one AVX-512 register, two of AVX2, four of SSE2. */
typedef uint64_t vector __attribute__((vector_size(64), aligned(1), may_alias));

enum { BLOCK = 8 }; /* vectors that are tested together */

static bool block_is_zero(const vector *block)
{
	vector any = block[0];

	for (int i = 1; i < BLOCK; i++)
		any |= block[i];
	return (any[0] | any[1] | any[2] | any[3] | any[4] | any[5] | any[6] | any[7]) == 0;
}

/* Most pages that are not zero say so in their first word, nearly all in their first block. */
static bool page_is_zero(const void *page)
{
	const vector *vectors = page;

	if (vectors[0][0] != 0)
		return false;
	for (size_t i = 0; i < PAGE_SIZE / sizeof(vector); i += BLOCK)
		if (!block_is_zero(&vectors[i]))
			return false;
	return true;
}

static uint64_t checksum(const void *data, size_t size)
{
	return XXH3_64bits(data, size);
}

static uint64_t page_hash(const void *page)
{
	uint64_t hash;

	if (page_is_zero(page))
		return 0;
	hash = XXH3_64bits(page, PAGE_SIZE);
	return hash ? hash : 1;
}

const struct pf_variant PASTE(pf_variant_, PF_VARIANT) = {
	.name = TEXT(PF_VARIANT),
	.checksum = checksum,
	.page_is_zero = page_is_zero,
	.page_hash = page_hash,
};
