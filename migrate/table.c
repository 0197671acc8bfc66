// SPDX-License-Identifier: Apache-2.0
#include "migrate/table.h"

#include <errno.h>
#include <sys/mman.h>

#include "common/error.h"

uint64_t mig_table_bytes(const struct mig_table *table)
{
	return table->pages * sizeof(uint64_t);
}

int mig_table_init(struct mig_table *table, const struct mig_layout *layout, struct xm_error *err)
{
	void *hashes;

	hashes = mmap(NULL, layout->pages * sizeof(uint64_t), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (hashes == MAP_FAILED)
		return xm_fail_errno(err, XM_KIND_HOST, -errno,
				     "no memory for the hashes of %llu pages",
				     (unsigned long long)layout->pages);
	table->hashes = hashes;
	table->pages = layout->pages;
	return 0;
}

void mig_table_finish(struct mig_table *table)
{
	if (table->hashes)
		munmap(table->hashes, mig_table_bytes(table));
	table->hashes = NULL;
}
