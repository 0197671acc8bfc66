// SPDX-License-Identifier: Apache-2.0
#include "proto/page.h"

#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "proto/variant.h"

/*
 * NULL until the first use. Two threads that come first at the same time choose the same; relaxed
 * order does, because what it points to is constant.
 */
static _Atomic(const struct pf_variant *) chosen;

static const struct pf_variant *choose(void)
{
	if (__builtin_cpu_supports("avx512f"))
		return &pf_variant_avx512;
	if (__builtin_cpu_supports("avx2"))
		return &pf_variant_avx2;
	return &pf_variant_plain;
}

const struct pf_variant *pf_variant(void)
{
	const struct pf_variant *variant = atomic_load_explicit(&chosen, memory_order_relaxed);

	if (__builtin_expect(!variant, false)) {
		variant = choose();
		atomic_store_explicit(&chosen, variant, memory_order_relaxed);
	}
	return variant;
}

bool pf_page_is_zero(const void *page)
{
	return pf_variant()->page_is_zero(page);
}

uint64_t pf_page_hash(const void *page)
{
	return pf_variant()->page_hash(page);
}

const char *pf_page_implementation(void)
{
	return pf_variant()->name;
}

int pf_page_select(const char *implementation)
{
	const struct pf_variant *variant = NULL;

	if (strcmp(implementation, "plain") == 0)
		variant = &pf_variant_plain;
	else if (strcmp(implementation, "avx2") == 0 && __builtin_cpu_supports("avx2"))
		variant = &pf_variant_avx2;
	else if (strcmp(implementation, "avx512") == 0 && __builtin_cpu_supports("avx512f"))
		variant = &pf_variant_avx512;
	if (!variant)
		return -ENOTSUP;
	atomic_store_explicit(&chosen, variant, memory_order_relaxed);
	return 0;
}

pf_digest pf_digest_term(uint32_t object, uint64_t page, uint64_t hash)
{
	const uint64_t words[3] = {htole64(object), htole64(page), htole64(hash)};
	XXH128_hash_t term;

	if (hash == 0)
		return 0;
	term = XXH3_128bits(words, sizeof(words));
	return (pf_digest)term.high64 << 64 | term.low64;
}
