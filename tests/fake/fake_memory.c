// SPDX-License-Identifier: Apache-2.0
/* The fake's memory: a memfd, whose holes are what the guest never touched. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/bitmap.h"
#include "common/error.h"
#include "tests/fake/internal.h"

int fake_memory_create(struct fake_domain *fake, struct xm_error *err)
{
	struct hv_domain *domain = &fake->domain;
	uint64_t offset = 0;

	domain->region_count = hv_memory_layout(domain->config.memory_bytes, domain->regions);
	fake->memfd = memfd_create("fake-guest", MFD_CLOEXEC);
	if (fake->memfd < 0 || ftruncate(fake->memfd, (off_t)domain->config.memory_bytes))
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "no memory for a fake guest");
	for (unsigned i = 0; i < domain->region_count; i++) {
		struct hv_region *region = &domain->regions[i];
		void *host = mmap(NULL, region->size, PROT_READ | PROT_WRITE, MAP_SHARED,
				  fake->memfd, (off_t)offset);

		if (host == MAP_FAILED)
			return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot map a fake guest");
		region->host = host;
		region->page_shift = HV_PAGE_SHIFT;
		region->fd = fake->memfd;
		region->fd_offset = offset;
		offset += region->size;
	}
	return 0;
}

void fake_memory_destroy(struct fake_domain *fake)
{
	for (unsigned i = 0; i < fake->domain.region_count; i++)
		if (fake->domain.regions[i].host)
			munmap(fake->domain.regions[i].host, fake->domain.regions[i].size);
	if (fake->memfd >= 0)
		close(fake->memfd);
}

/* The next page at or after `from` that is data (or a hole), the region's count if there is none. */
static uint64_t seek(const struct hv_region *region, uint64_t from, int whence)
{
	uint64_t pages = region->size >> HV_PAGE_SHIFT;
	off_t at;

	if (from >= pages)
		return pages;
	at = lseek(region->fd, (off_t)(region->fd_offset + from * HV_PAGE_SIZE), whence);
	if (at < 0)
		return pages;
	from = ((uint64_t)at - region->fd_offset) / HV_PAGE_SIZE;
	return from < pages ? from : pages;
}

int fake_memory_present(struct hv_domain *domain, unsigned region, uint64_t first, uint64_t count,
			uint64_t *ret_bits, struct xm_error *err)
{
	const struct hv_region *r = &domain->regions[region];
	uint64_t page = first;

	(void)err;
	fake_moment(domain, FAKE_PRESENT, region, first, count);
	memset(ret_bits, 0, xm_bitmap_words(count) * sizeof(*ret_bits));
	while (page < first + count) {
		uint64_t data = seek(r, page, SEEK_DATA);
		uint64_t hole = seek(r, data, SEEK_HOLE);

		for (page = data; page < hole && page < first + count; page++)
			xm_bitmap_set(ret_bits, page - first);
		page = hole;
	}
	return 0;
}

int fake_memory_next_present(struct hv_domain *domain, unsigned region, uint64_t from,
			     uint64_t *ret_page, struct xm_error *err)
{
	(void)err;
	*ret_page = seek(&domain->regions[region], from, SEEK_DATA);
	return 0;
}

int fake_memory_populate(struct hv_domain *domain, unsigned region, uint64_t first, uint64_t count,
			 struct xm_error *err)
{
	const struct hv_region *r = &domain->regions[region];

	if (madvise(r->host + first * HV_PAGE_SIZE, count * HV_PAGE_SIZE, MADV_POPULATE_WRITE))
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot populate a fake guest");
	return 0;
}

uint64_t fake_present_pages(struct hv_domain *domain)
{
	uint64_t present = 0;

	for (unsigned i = 0; i < domain->region_count; i++) {
		const struct hv_region *r = &domain->regions[i];
		uint64_t pages = r->size >> HV_PAGE_SHIFT;
		uint64_t page = 0;

		while (page < pages) {
			uint64_t data = seek(r, page, SEEK_DATA);

			page = seek(r, data, SEEK_HOLE);
			present += page - data;
		}
	}
	return present;
}
