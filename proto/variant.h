/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions that are built once for each instruction set. variant.c includes nothing else of
 * xmigrate, so that no inline function compiled for AVX can end up in a plain caller.
 */
#ifndef XM_PROTO_VARIANT_H
#define XM_PROTO_VARIANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pf_variant {
	const char *name;
	uint64_t (*checksum)(const void *data, size_t size); /* XXH3-64 */
	bool (*page_is_zero)(const void *page);
	uint64_t (*page_hash)(const void *page);
};

extern const struct pf_variant pf_variant_plain;
extern const struct pf_variant pf_variant_avx2;
extern const struct pf_variant pf_variant_avx512;

/* The one in use. */
const struct pf_variant *pf_variant(void);

#endif
