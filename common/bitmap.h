/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bitmaps of pages: arrays of 64-bit words, bit n of the map is bit n % 64 of word n / 64,
 * which is also how KVM lays out its dirty log on a little-endian host.
 *
 * Plain functions are for a bitmap that one thread owns. The `_atomic` ones may be called
 * by several threads at once on the same map; they order memory so that what was written
 * before a bit was set is seen by whoever takes that bit.
 */
#ifndef XM_COMMON_BITMAP_H
#define XM_COMMON_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XM_BITMAP_WORD_BITS 64u

static inline size_t xm_bitmap_words(uint64_t bits)
{
	return (size_t)((bits + XM_BITMAP_WORD_BITS - 1) / XM_BITMAP_WORD_BITS);
}

static inline bool xm_bitmap_test(const uint64_t *map, uint64_t bit)
{
	return map[bit / 64] >> (bit % 64) & 1;
}

static inline void xm_bitmap_set(uint64_t *map, uint64_t bit)
{
	map[bit / 64] |= 1ull << (bit % 64);
}

static inline void xm_bitmap_clear(uint64_t *map, uint64_t bit)
{
	map[bit / 64] &= ~(1ull << (bit % 64));
}

static inline void xm_bitmap_set_atomic(uint64_t *map, uint64_t bit)
{
	__atomic_fetch_or(&map[bit / 64], 1ull << (bit % 64), __ATOMIC_RELEASE);
}

/* ORs a whole word in; skips the locked operation where nothing would change. */
static inline void xm_bitmap_or_word_atomic(uint64_t *map, size_t word, uint64_t bits)
{
	if (bits & ~__atomic_load_n(&map[word], __ATOMIC_RELAXED))
		__atomic_fetch_or(&map[word], bits, __ATOMIC_RELEASE);
}

/* Takes a whole word out, leaving 0. */
static inline uint64_t xm_bitmap_take_word_atomic(uint64_t *map, size_t word)
{
	if (__atomic_load_n(&map[word], __ATOMIC_RELAXED) == 0)
		return 0;
	return __atomic_exchange_n(&map[word], 0, __ATOMIC_ACQ_REL);
}

/* Sets bits [first, first + count). */
void xm_bitmap_set_range(uint64_t *map, uint64_t first, uint64_t count);

/* How many of the first `bits` bits are set. */
uint64_t xm_bitmap_count(const uint64_t *map, uint64_t bits);

/* The first set bit in [from, bits), or `bits` if there is none. */
uint64_t xm_bitmap_next_set(const uint64_t *map, uint64_t bits, uint64_t from);

/* The first clear bit in [from, bits), or `bits` if there is none. */
uint64_t xm_bitmap_next_clear(const uint64_t *map, uint64_t bits, uint64_t from);

#endif
