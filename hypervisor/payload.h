/* SPDX-License-Identifier: Apache-2.0 */
/* A payload's file, taken apart; apart from hypervisor.h so that the parser can be tested alone. */
#ifndef XM_HYPERVISOR_PAYLOAD_H
#define XM_HYPERVISOR_PAYLOAD_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

struct xm_error;

struct hv_payload {
	const uint8_t *file; /* the caller's */
	uint64_t entry;
	unsigned header_count;
	Elf64_Phdr headers[64]; /* each checked: inside the file, and inside the payload's memory */
};

/* `path` is for the error's sentence. Kind CONFIG for a file that is not a payload. */
int hv_payload_parse(const char *path, const void *file, size_t size,
		     struct hv_payload *ret_payload, struct xm_error *err);

#endif
