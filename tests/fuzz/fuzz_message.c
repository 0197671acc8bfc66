// SPDX-License-Identifier: Apache-2.0
/*
 * One message: a byte for the type, four (little-endian) for the size of the payload that PAGES
 * come with, then the body.
 */
#include "common/error.h"
#include "tests/fuzz/fuzz.h"
#include "tests/proto/walk.h"

enum { PREFIX = 5 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct xm_error err;
	uint32_t payload_size = 0;

	if (size < PREFIX)
		return 0;
	for (int i = 0; i < 4; i++)
		payload_size |= (uint32_t)data[1 + i] << 8 * i;
	walk_body(data[0], data + PREFIX, size - PREFIX, payload_size, &err);
	return 0;
}
