// SPDX-License-Identifier: Apache-2.0
/* Page hashes and the digest: the same in every implementation, and as the specification says. */
#include <errno.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/page.h"
#include "tests/test.h"

static const char *const implementations[] = {"plain", "avx2", "avx512"};

enum { IMPLEMENTATIONS = sizeof(implementations) / sizeof(implementations[0]) };

_Alignas(64) static uint8_t page[PF_PAGE_SIZE];

/* Calls `check` with each implementation that this CPU has. */
static void each_implementation(void (*check)(void))
{
	for (int i = 0; i < IMPLEMENTATIONS; i++) {
		int rc = pf_page_select(implementations[i]);

		if (rc == -ENOTSUP) {
			print_message("this CPU has no %s\n", implementations[i]);
			continue;
		}
		assert_int_equal(rc, 0);
		assert_string_equal(pf_page_implementation(), implementations[i]);
		check();
	}
}

/* The expected numbers are python3-xxhash's. */
static void check_vectors(void)
{
	for (unsigned i = 0; i < sizeof(page); i++)
		page[i] = (uint8_t)(i * 7 + 3);
	assert_true(pf_page_hash(page) == 0xd7428746842be37e);
	assert_true(pf_checksum(page, sizeof(page)) == 0xd7428746842be37e);
	memset(page, 0, sizeof(page));
	page[4095] = 1;
	assert_true(pf_page_hash(page) == 0xae1b0b159552488e);
}

static void known_vectors(void **state)
{
	(void)state;
	each_implementation(check_vectors);
}

/* A single bit anywhere is seen. */
static void check_zero(void)
{
	memset(page, 0, sizeof(page));
	assert_true(pf_page_is_zero(page));
	assert_true(pf_page_hash(page) == 0);
	for (unsigned i = 0; i < sizeof(page); i++) {
		page[i] = (uint8_t)(1 << i % 8);
		assert_false(pf_page_is_zero(page));
		assert_false(pf_page_hash(page) == 0);
		page[i] = 0;
	}
}

static void zero_pages(void **state)
{
	(void)state;
	each_implementation(check_zero);
}

static void implementations_agree(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (int round = 0; round < 100; round++) {
		uint64_t expected;

		for (unsigned i = 0; i < sizeof(page); i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			page[i] = (uint8_t)(seed >> 56);
		}
		pf_page_select("plain");
		expected = pf_page_hash(page);
		for (int i = 1; i < IMPLEMENTATIONS; i++)
			if (pf_page_select(implementations[i]) == 0)
				assert_true(pf_page_hash(page) == expected);
	}
}

static void unknown_implementation(void **state)
{
	(void)state;
	assert_int_equal(pf_page_select("mmx"), -ENOTSUP);
}

static void digest_vector(void **state)
{
	pf_digest term = pf_digest_term(1, 2, 3);

	(void)state;
	assert_true((uint64_t)(term >> 64) == 0xd0d66ae2837a0117);
	assert_true((uint64_t)term == 0x026f21f9c50dcf1f);
	assert_true(pf_digest_term(1, 2, 0) == 0);
}

/* Kept up to date by subtracting and adding, in any order, it is that of a fresh sum. */
static void digest_incremental(void **state)
{
	enum { PAGES = 64, WRITES = 10000 };
	uint64_t hashes[2][PAGES] = {0}, seed = 7;
	pf_digest kept = 0, fresh = 0;

	(void)state;
	for (int i = 0; i < WRITES; i++) {
		uint32_t object;
		uint64_t number, hash;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		object = seed >> 63;
		number = seed >> 33 & (PAGES - 1);
		hash = (seed >> 40) % 5 ? seed : 0;
		kept -= pf_digest_term(object, number, hashes[object][number]);
		kept += pf_digest_term(object, number, hash);
		hashes[object][number] = hash;
	}
	for (uint32_t object = 0; object < 2; object++)
		for (uint64_t number = 0; number < PAGES; number++)
			fresh += pf_digest_term(object, number, hashes[object][number]);
	assert_true(kept == fresh);
	assert_false(kept == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_vectors),	 cmocka_unit_test(zero_pages),
		cmocka_unit_test(implementations_agree), cmocka_unit_test(unknown_implementation),
		cmocka_unit_test(digest_vector),	 cmocka_unit_test(digest_incremental),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
