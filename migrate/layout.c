// SPDX-License-Identifier: Apache-2.0
#include "migrate/layout.h"

#include <errno.h>
#include <sys/mman.h>

#include "common/bitmap.h"
#include "common/error.h"

void mig_layout_init(struct mig_layout *layout, const struct hv_domain *domain)
{
	layout->count = hv_region_count(domain);
	layout->pages = 0;
	for (unsigned i = 0; i < layout->count; i++) {
		const struct hv_region *region = hv_region(domain, i);

		layout->spans[i].first = layout->pages;
		layout->spans[i].pages = region->size >> HV_PAGE_SHIFT;
		layout->spans[i].host = region->host;
		layout->pages += layout->spans[i].pages;
	}
}

unsigned mig_layout_region(const struct mig_layout *layout, uint64_t row_page)
{
	unsigned region = 0;

	while (region + 1 < layout->count && row_page >= layout->spans[region + 1].first)
		region++;
	return region;
}

uint64_t mig_bitmap_bytes(const struct mig_layout *layout)
{
	return xm_bitmap_words(layout->pages) * sizeof(uint64_t);
}

int mig_bitmap_create(const struct mig_layout *layout, uint64_t **ret_map, struct xm_error *err)
{
	uint64_t bytes = mig_bitmap_bytes(layout);
	void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (map == MAP_FAILED)
		return xm_fail_errno(err, XM_KIND_HOST, -errno,
				     "no memory for a bitmap of %llu pages",
				     (unsigned long long)layout->pages);
	*ret_map = map;
	return 0;
}

void mig_bitmap_destroy(const struct mig_layout *layout, uint64_t *map)
{
	if (map)
		munmap(map, mig_bitmap_bytes(layout));
}
