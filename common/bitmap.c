/* SPDX-License-Identifier: Apache-2.0 */
#include "common/bitmap.h"

void xm_bitmap_set_range(uint64_t *map, uint64_t first, uint64_t count)
{
	uint64_t end = first + count;

	while (first < end && first % 64)
		xm_bitmap_set(map, first++);
	for (; first + 64 <= end; first += 64)
		map[first / 64] = ~0ull;
	while (first < end)
		xm_bitmap_set(map, first++);
}

uint64_t xm_bitmap_count(const uint64_t *map, uint64_t bits)
{
	uint64_t count = 0;

	for (uint64_t word = 0; word < bits / 64; word++)
		count += (uint64_t)__builtin_popcountll(map[word]);
	if (bits % 64)
		count += (uint64_t)__builtin_popcountll(map[bits / 64] & ((1ull << bits % 64) - 1));
	return count;
}

/* Shared by both searches: `flip` turns looking for a clear bit into looking for a set one. */
static uint64_t next(const uint64_t *map, uint64_t bits, uint64_t from, uint64_t flip)
{
	while (from < bits) {
		uint64_t rest = (map[from / 64] ^ flip) >> (from % 64);

		if (rest) {
			from += (uint64_t)__builtin_ctzll(rest);
			return from < bits ? from : bits;
		}
		from = (from / 64 + 1) * 64;
	}
	return bits;
}

uint64_t xm_bitmap_next_set(const uint64_t *map, uint64_t bits, uint64_t from)
{
	return next(map, bits, from, 0);
}

uint64_t xm_bitmap_next_clear(const uint64_t *map, uint64_t bits, uint64_t from)
{
	return next(map, bits, from, ~0ull);
}
