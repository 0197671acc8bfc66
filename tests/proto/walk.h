/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a stream frame by frame with the functions of proto/, as a transport and an engine would,
 * but without knowing what came before: the order of frames, rounds, seals and totals are not
 * looked at.
 */
#ifndef XM_TESTS_PROTO_WALK_H
#define XM_TESTS_PROTO_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct xm_error;

/*
 * 0, or -errno with kind DATA. With `trusting`, checksums that are wrong are overlooked: a fuzzer
 * would never get past them.
 */
int walk_stream(const uint8_t *stream, size_t size, bool trusting, struct xm_error *err);

/* Decodes one body of that type; what was accepted must survive being encoded and decoded again. */
int walk_body(unsigned type, const uint8_t *body, size_t size, uint32_t payload_size,
	      struct xm_error *err);

#endif
