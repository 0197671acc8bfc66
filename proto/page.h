/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages as the stream sees them: zero or not, a 64-bit hash, and the digest of all of memory.
 *
 * The hash of a page is XXH3-64 of its 4096 bytes, with 0 replaced by 1, and 0 for a page of zeros
 * (or one that never existed). The digest of memory is
 *
 *	sum over all pages of XXH3-128(object, page, hash), modulo 2^128, hash 0 contributing 0
 *
 * where object, page and hash are hashed as three little-endian 64-bit words. A sum can be kept up
 * to date by subtracting a page's old term and adding its new one, so the digest of all of memory
 * costs nothing at the end. It proves a transfer against accident, not against a forger.
 *
 * Threads: no state; the CPU's best implementation is chosen once (AVX-512, AVX2, plain).
 */
#ifndef XM_PROTO_PAGE_H
#define XM_PROTO_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#define PF_PAGE_SIZE 4096u

typedef unsigned __int128 pf_digest; /* mod 2^128 by itself */

bool pf_page_is_zero(const void *page);

/* The page's hash; 0 exactly when the page is zero. `page` is 64-byte aligned. */
uint64_t pf_page_hash(const void *page);

/* What one page adds to the digest; 0 for hash 0. */
pf_digest pf_digest_term(uint32_t object, uint64_t page, uint64_t hash);

/* "avx512", "avx2" or "plain": which implementation runs. */
const char *pf_page_implementation(void);

/* For tests and benchmarks: selects one by that name; -ENOTSUP if this CPU has it not. */
int pf_page_select(const char *implementation);

#endif
