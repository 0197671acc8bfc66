// SPDX-License-Identifier: Apache-2.0
/*
 * Whole streams: headers, framing, messages and runs. Each input is read as it is, and once more
 * with checksums overlooked, because a mutation hardly ever has the right ones.
 */
#include "common/error.h"
#include "tests/fuzz/fuzz.h"
#include "tests/proto/walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct xm_error err;

	walk_stream(data, size, false, &err);
	walk_stream(data, size, true, &err);
	return 0;
}
