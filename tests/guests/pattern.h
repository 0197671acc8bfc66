/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a payload's pages hold and in which order they are written: the part of the payloads that
 * needs no guest, shared with tests on the host (test_pattern.c).
 *
 * Content: all 512 words of a page are a function of (page number, step, seed). Word 0 is a mix of
 * the three, each further word is the one before plus a constant. So a page that is stale (older
 * step), misplaced (other page number) or torn (two steps in one page) differs from what is
 * expected, and since the mix can be undone, word 0 tells which step a stale page is from.
 *
 * Order: which page of the working set is written at step n, for n = 1, 2, 3, ...
 */
#ifndef XM_TESTS_GUESTS_PATTERN_H
#define XM_TESTS_GUESTS_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATTERN_PAGE_SIZE 4096u
#define PATTERN_WORDS	  512u

/* Odd constants without structure; the word increment is the golden ratio's. */
#define PATTERN_WORD_INCREMENT 0x9e3779b97f4a7c15ull
#define PATTERN_PAGE_FACTOR    0xd1342543de82ef95ull
#define PATTERN_STEP_FACTOR    0xaf251af3b0f025b5ull

/* A bijective mix of 64 bits (the finaliser of splitmix64), and its inverse. */
static inline uint64_t pattern_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/* The inverse of an odd number modulo 2^64, by Newton's iteration: each round doubles the bits. */
static inline uint64_t pattern_inverse(uint64_t odd)
{
	uint64_t inverse = odd;

	for (int round = 0; round < 5; round++)
		inverse *= 2 - odd * inverse;
	return inverse;
}

static inline uint64_t pattern_unshift(uint64_t y, unsigned shift)
{
	uint64_t x = y;

	for (unsigned known = shift; known < 64; known += shift)
		x = y ^ (x >> shift);
	return x;
}

static inline uint64_t pattern_unmix(uint64_t x)
{
	x = pattern_unshift(x, 31) * pattern_inverse(0x94d049bb133111ebull);
	x = pattern_unshift(x, 27) * pattern_inverse(0xbf58476d1ce4e5b9ull);
	return pattern_unshift(x, 30);
}

/* ------------------------------------------------------------------------- content */

/* Word 0 of page `gfn` as written at `step`. */
static inline uint64_t pattern_first_word(uint64_t gfn, uint64_t step, uint64_t seed)
{
	return pattern_mix(seed + gfn * PATTERN_PAGE_FACTOR + step * PATTERN_STEP_FACTOR);
}

static inline uint64_t pattern_word(uint64_t first_word, unsigned index)
{
	return first_word + index * PATTERN_WORD_INCREMENT;
}

static inline void pattern_fill(uint64_t *page, uint64_t gfn, uint64_t step, uint64_t seed)
{
	uint64_t value = pattern_first_word(gfn, step, seed);

	for (unsigned word = 0; word < PATTERN_WORDS; word++, value += PATTERN_WORD_INCREMENT)
		page[word] = value;
}

/* Index of the first word that is not as expected, PATTERN_WORDS if all are. */
static inline unsigned pattern_check(const uint64_t *page, uint64_t gfn, uint64_t step,
				     uint64_t seed)
{
	uint64_t value = pattern_first_word(gfn, step, seed);
	unsigned word = 0;

	while (word < PATTERN_WORDS && page[word] == value) {
		word++;
		value += PATTERN_WORD_INCREMENT;
	}
	return word;
}

/* The step at which the page's word at `index` was written, if the word is of this page and seed
 * at all; any other word gives a number beyond all steps, nearly certainly. */
static inline uint64_t pattern_step_of(uint64_t value, unsigned index, uint64_t gfn, uint64_t seed)
{
	uint64_t sum = pattern_unmix(value - index * PATTERN_WORD_INCREMENT);

	return (sum - seed - gfn * PATTERN_PAGE_FACTOR) * pattern_inverse(PATTERN_STEP_FACTOR);
}

/* --------------------------------------------------------------------------- order */

enum pattern_kind {
	PATTERN_UNIFORM,    /* a new permutation of all pages in each pass */
	PATTERN_SEQUENTIAL, /* from the first page to the last, again and again */
	PATTERN_ZIPF,	    /* rank r with probability about 1/r: each doubling of r is as likely */
	PATTERN_HOT_COLD,   /* nine writes of ten go to the first tenth of the pages */
};

struct pattern_order {
	enum pattern_kind kind;
	uint64_t pages; /* of the working set, at least 1 */
	uint64_t seed;
	unsigned bits; /* the smallest number with 2^bits >= pages */
};

static inline void pattern_order_init(struct pattern_order *order, enum pattern_kind kind,
				      uint64_t pages, uint64_t seed)
{
	order->kind = kind;
	order->pages = pages;
	order->seed = seed;
	order->bits = 0;
	while ((1ull << order->bits) < pages)
		order->bits++;
}

/* A permutation of [0, pages), chosen by `key`: bijections of `bits` bits (multiplication by an odd
 * number, xor with the upper half), walked on until the result is below `pages`. */
static inline uint64_t pattern_permute(const struct pattern_order *order, uint64_t key, uint64_t x)
{
	uint64_t mask = (1ull << order->bits) - 1;
	unsigned half = order->bits / 2 + 1;

	do {
		x = (x + key) & mask;
		x = (x * (PATTERN_PAGE_FACTOR ^ (key << 3))) & mask;
		x ^= x >> half;
		x = (x * (PATTERN_STEP_FACTOR ^ (key >> 29 << 1))) & mask;
		x ^= x >> half;
		x = (x + (key >> 32)) & mask;
	} while (x >= order->pages);
	return x;
}

/* A number below `limit` from 32 random bits; limit is at most 2^32. */
static inline uint64_t pattern_scale(uint32_t random, uint64_t limit)
{
	return (random * limit) >> 32;
}

static inline uint64_t pattern_zipf_rank(const struct pattern_order *order, uint64_t random)
{
	/* Octave o holds the ranks 2^o - 1 .. 2^(o+1) - 2. */
	uint64_t octave = pattern_scale((uint32_t)random, order->bits + 1ull);
	uint64_t within = (random >> 32) & ((1ull << octave) - 1);

	return ((1ull << octave) - 1 + within) % order->pages;
}

static inline uint64_t pattern_hot_cold(const struct pattern_order *order, uint64_t random)
{
	uint64_t hot = order->pages / 10 ? order->pages / 10 : 1;

	if (order->pages == hot || pattern_scale((uint32_t)random, 10) < 9)
		return (random >> 32) % hot;
	return hot + (random >> 32) % (order->pages - hot);
}

/* Which page of the working set, 0 .. pages - 1, is written at step `n` (from 1). */
static inline uint64_t pattern_order_page(const struct pattern_order *order, uint64_t n)
{
	uint64_t pass = (n - 1) / order->pages;
	uint64_t place = (n - 1) % order->pages;

	switch (order->kind) {
	case PATTERN_SEQUENTIAL:
		return place;
	case PATTERN_ZIPF:
		return pattern_permute(order, order->seed,
				       pattern_zipf_rank(order, pattern_mix(n ^ order->seed)));
	case PATTERN_HOT_COLD:
		return pattern_hot_cold(order, pattern_mix(n ^ order->seed));
	case PATTERN_UNIFORM:
		break;
	}
	return pattern_permute(order, pattern_mix(order->seed + pass), place);
}

#endif
