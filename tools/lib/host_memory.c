/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/lib/host_memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"

/* "Key:   123 kB", for one key. */
static bool take_line(const char *line, const char *key, uint64_t *bytes)
{
	unsigned long long kib;
	size_t length = strlen(key);

	if (strncmp(line, key, length) != 0 || sscanf(line + length, ": %llu kB", &kib) != 1)
		return false;
	*bytes = kib << 10;
	return true;
}

int xt_host_memory_read(const char *path, struct xt_host_memory *ret_memory, struct xm_error *err)
{
	cleanup_fclose FILE *file = fopen(path ? path : "/proc/meminfo", "re");
	struct xt_host_memory memory = {0};
	uint64_t huge_bytes = 0;
	char line[256];
	int found = 0;

	while (file && fgets(line, sizeof(line), file)) {
		found += take_line(line, "MemTotal", &memory.total_bytes);
		found += take_line(line, "MemAvailable", &memory.available_bytes);
		take_line(line, "Hugetlb", &huge_bytes);
	}
	if (found != 2)
		return xm_fail(err, XM_KIND_HOST, -EIO,
			       "cannot read how much memory this host has from %s",
			       path ? path : "/proc/meminfo");
	memory.total_bytes -= huge_bytes < memory.total_bytes ? huge_bytes : memory.total_bytes;
	*ret_memory = memory;
	return 0;
}
