/* SPDX-License-Identifier: Apache-2.0 */
/* What payloads' pages hold and in which order they are written, checked without a guest. */
#include "tests/guests/pattern.h"
#include "tests/test.h"

#include <string.h>

#define SEED 7u

static const uint64_t page_counts[] = {1, 2, 3, 10, 255, 256, 257, 1000, 4096};

#define COUNTS (sizeof(page_counts) / sizeof(page_counts[0]))

static void mix_is_undone_by_unmix(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 1000; i++) {
		uint64_t value = i * PATTERN_WORD_INCREMENT;

		assert_true(pattern_unmix(pattern_mix(value)) == value);
	}
	assert_true(pattern_inverse(PATTERN_STEP_FACTOR) * PATTERN_STEP_FACTOR == 1);
}

static void filled_page_is_right(void **state)
{
	uint64_t page[PATTERN_WORDS];

	(void)state;
	pattern_fill(page, 0x1234, 99, SEED);
	assert_int_equal(pattern_check(page, 0x1234, 99, SEED), PATTERN_WORDS);
}

static void other_step_page_and_seed_are_found(void **state)
{
	uint64_t page[PATTERN_WORDS];

	(void)state;
	pattern_fill(page, 0x1234, 99, SEED);
	assert_int_equal(pattern_check(page, 0x1234, 98, SEED), 0);
	assert_int_equal(pattern_check(page, 0x1235, 99, SEED), 0);
	assert_int_equal(pattern_check(page, 0x1234, 99, SEED + 1), 0);
}

static void every_single_changed_bit_is_found(void **state)
{
	uint64_t page[PATTERN_WORDS];

	(void)state;
	pattern_fill(page, 5, 6, SEED);
	for (unsigned bit = 0; bit < PATTERN_PAGE_SIZE * 8; bit++) {
		page[bit / 64] ^= 1ull << bit % 64;
		assert_int_equal(pattern_check(page, 5, 6, SEED), bit / 64);
		page[bit / 64] ^= 1ull << bit % 64;
	}
}

static void torn_page_is_found_where_it_is_torn(void **state)
{
	uint64_t page[PATTERN_WORDS];
	uint64_t older[PATTERN_WORDS];

	(void)state;
	pattern_fill(page, 5, 6, SEED);
	pattern_fill(older, 5, 5, SEED);
	memcpy(page + 300, older + 300, 8 * 8);
	assert_int_equal(pattern_check(page, 5, 6, SEED), 300);
}

static void stale_page_names_its_step(void **state)
{
	uint64_t page[PATTERN_WORDS];

	(void)state;
	pattern_fill(page, 0xabcdef, 123456789, SEED);
	assert_true(pattern_step_of(page[0], 0, 0xabcdef, SEED) == 123456789);
	assert_true(pattern_step_of(page[511], 511, 0xabcdef, SEED) == 123456789);
	assert_true(pattern_step_of(0, 0, 0xabcdef, SEED) >> 48 != 0);
}

/* Each pass writes every page once. */
static void check_passes_cover_all(enum pattern_kind kind, uint64_t pages)
{
	struct pattern_order order;
	uint8_t *seen = calloc(pages, 1);

	assert_non_null(seen);
	pattern_order_init(&order, kind, pages, SEED);
	for (uint64_t n = 1; n <= 3 * pages; n++) {
		uint64_t page = pattern_order_page(&order, n);

		assert_true(page < pages);
		assert_int_equal(seen[page], (n - 1) / pages);
		seen[page]++;
	}
	free(seen);
}

static void uniform_and_sequential_cover_all_pages_in_each_pass(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNTS; i++) {
		check_passes_cover_all(PATTERN_UNIFORM, page_counts[i]);
		check_passes_cover_all(PATTERN_SEQUENTIAL, page_counts[i]);
	}
}

static void uniform_is_neither_sequential_nor_the_same_in_each_pass(void **state)
{
	struct pattern_order order;
	unsigned followers = 0;
	unsigned repeats = 0;

	(void)state;
	pattern_order_init(&order, PATTERN_UNIFORM, 4096, SEED);
	for (uint64_t n = 1; n < 4096; n++) {
		uint64_t page = pattern_order_page(&order, n);

		followers += pattern_order_page(&order, n + 1) == page + 1;
		repeats += pattern_order_page(&order, n + 4096) == page;
	}
	assert_true(followers < 64);
	assert_true(repeats < 64);
}

static int descending(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left;
	uint32_t b = *(const uint32_t *)right;

	return (a < b) - (a > b);
}

static void zipf_halves_from_octave_to_octave(void **state)
{
	enum { PAGES = 1023, DRAWS = 200000 };
	uint32_t hits[PAGES] = {0};
	struct pattern_order order;
	unsigned first_octaves = 0;

	(void)state;
	pattern_order_init(&order, PATTERN_ZIPF, PAGES, SEED);
	for (uint64_t n = 1; n <= DRAWS; n++)
		hits[pattern_order_page(&order, n)]++;
	qsort(hits, PAGES, sizeof(hits[0]), descending);
	for (unsigned rank = 0; rank < 31; rank++)
		first_octaves += hits[rank];
	/* 10 bits make 11 octaves; the first five, 31 pages, get 5/11 of the writes and a little
	 * more. */
	assert_in_range(first_octaves, DRAWS * 43 / 100, DRAWS * 58 / 100);
	assert_true(hits[PAGES - 1] > 0);
	assert_true(hits[0] > 20 * hits[PAGES / 2]);
}

static void hot_cold_gives_nine_tenths_to_a_tenth(void **state)
{
	enum { PAGES = 1000, DRAWS = 100000 };
	struct pattern_order order;
	unsigned hot = 0;

	(void)state;
	pattern_order_init(&order, PATTERN_HOT_COLD, PAGES, SEED);
	for (uint64_t n = 1; n <= DRAWS; n++) {
		uint64_t page = pattern_order_page(&order, n);

		assert_true(page < PAGES);
		hot += page < PAGES / 10;
	}
	assert_in_range(hot, DRAWS * 89 / 100, DRAWS * 91 / 100);
}

static void all_orders_stay_inside_small_working_sets(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNTS; i++) {
		for (int kind = PATTERN_UNIFORM; kind <= PATTERN_HOT_COLD; kind++) {
			struct pattern_order order;

			pattern_order_init(&order, (enum pattern_kind)kind, page_counts[i], SEED);
			for (uint64_t n = 1; n <= 10000; n++)
				assert_true(pattern_order_page(&order, n) < page_counts[i]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mix_is_undone_by_unmix),
		cmocka_unit_test(filled_page_is_right),
		cmocka_unit_test(other_step_page_and_seed_are_found),
		cmocka_unit_test(every_single_changed_bit_is_found),
		cmocka_unit_test(torn_page_is_found_where_it_is_torn),
		cmocka_unit_test(stale_page_names_its_step),
		cmocka_unit_test(uniform_and_sequential_cover_all_pages_in_each_pass),
		cmocka_unit_test(uniform_is_neither_sequential_nor_the_same_in_each_pass),
		cmocka_unit_test(zipf_halves_from_octave_to_octave),
		cmocka_unit_test(hot_cold_gives_nine_tenths_to_a_tenth),
		cmocka_unit_test(all_orders_stay_inside_small_working_sets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
