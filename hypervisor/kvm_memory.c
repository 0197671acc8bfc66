/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: a memfd per region, mapped here and given to KVM in slots. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "common/bitmap.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/pace.h"
#include "hypervisor/kvm_internal.h"

#define ALIGNMENT      (1ull << 21)  /* of mappings, so that the kernel may use 2 MiB pages */
#define POPULATE_BYTES (64ull << 20) /* by one system call; EAGAIN and signals cost no more */

#define RELEASE_BYTES (512u << 10) /* between two rests */

#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)

static uint32_t backing_shift(const struct hv_config *config)
{
	switch (config->huge_page_bytes) {
	case 1ull << 21:
		return 21;
	case 1ull << 30:
		return 30;
	default:
		return HV_PAGE_SHIFT;
	}
}

/* Kernel and libraries fill a machine's last pages better than we: leave it a little. */
static int check_available(uint64_t bytes, struct xm_error *err)
{
	cleanup_fclose FILE *meminfo = fopen("/proc/meminfo", "re");
	char line[128];
	uint64_t kib;

	while (meminfo && fgets(line, sizeof(line), meminfo)) {
		if (sscanf(line, "MemAvailable: %" SCNu64, &kib) != 1)
			continue;
		if (bytes >> 10 > kib)
			return xm_fail(err, XM_KIND_HOST, -ENOMEM,
				       "the domain is to have its %" PRIu64
				       " MiB of memory at once, and this host has %" PRIu64
				       " MiB available; give it less, or do not prefault",
				       bytes >> 20, kib >> 10);
		return 0;
	}
	return 0; /* no such line: populating will tell */
}

static int create_fd(const struct hv_region *region, unsigned index, uint64_t huge_page_bytes,
		     int *ret_fd, struct xm_error *err)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	cleanup_close int fd = -1;
	char name[32];

	if (huge_page_bytes)
		flags |= MFD_HUGETLB | region->page_shift << MFD_HUGE_SHIFT;
	snprintf(name, sizeof(name), "guest-memory-%u", index);
	fd = memfd_create(name, flags);
	if (fd < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno,
				     "cannot create memory of %u KiB pages for a domain",
				     1u << (region->page_shift - 10));
	if (ftruncate(fd, (off_t)region->size) < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno,
				     "cannot size a domain's memory to %" PRIu64 " MiB",
				     region->size >> 20);
	/* A file that can't shrink can't kill us by SIGBUS, whoever else is given its fd. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot seal a domain's memory");
	*ret_fd = xm_steal_fd(&fd);
	return 0;
}

/* Reserves more addresses than needed, and maps the file at the aligned ones among them. */
static int map_region(struct hv_region *region, struct xm_error *err)
{
	size_t align = region->page_shift > 21 ? 1ull << region->page_shift : ALIGNMENT;
	size_t reserved = region->size + align;
	uint8_t *space =
		mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *start, *end;
	void *mapped;

	if (space == MAP_FAILED)
		return xm_fail_errno(err, XM_KIND_HOST, -errno,
				     "cannot reserve %zu MiB of addresses", reserved >> 20);
	start = (uint8_t *)(((uintptr_t)space + align - 1) & ~(align - 1));
	end = start + region->size;
	mapped = mmap(start, region->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		      region->fd, 0);
	if (mapped == MAP_FAILED) {
		int rc = -errno;

		munmap(space, reserved);
		return xm_fail_errno(err, XM_KIND_HOST, rc,
				     "cannot map %" PRIu64 " MiB of guest memory in %u KiB pages%s",
				     region->size >> 20, 1u << (region->page_shift - 10),
				     region->page_shift > HV_PAGE_SHIFT
					     ? " (are enough reserved in nr_hugepages?)"
					     : "");
	}
	if (start > space)
		munmap(space, (size_t)(start - space));
	if (end < space + reserved)
		munmap(end, (size_t)(space + reserved - end));
	madvise(mapped, region->size, MADV_DONTDUMP);
	region->host = mapped;
	return 0;
}

static int set_slot(struct kvm_domain *domain, unsigned index, uint32_t flags, struct xm_error *err)
{
	const struct kvm_slot *slot = &domain->slots[index];
	const struct hv_region *region = &domain->base.regions[slot->region];
	struct kvm_userspace_memory_region memory = {
		.slot = index,
		.flags = flags,
		.guest_phys_addr = region->gpa + (slot->first << HV_PAGE_SHIFT),
		.memory_size = slot->pages << HV_PAGE_SHIFT,
		.userspace_addr = (uintptr_t)region->host + (slot->first << HV_PAGE_SHIFT),
	};
	int rc = kvm_ioctl(domain->vm_fd, KVM_SET_USER_MEMORY_REGION, &memory);

	if (rc < 0)
		return xm_fail_errno(err, XM_KIND_HOST, rc,
				     "KVM_SET_USER_MEMORY_REGION of slot %u (0x%llx, %llu MiB%s)",
				     index, memory.guest_phys_addr, memory.memory_size >> 20,
				     flags ? ", logging" : "");
	return 0;
}

static int create_slots(struct kvm_domain *domain, struct xm_error *err)
{
	unsigned count = 0;
	int rc;

	for (unsigned i = 0; i < domain->base.region_count; i++)
		count += (unsigned)((domain->base.regions[i].size + (1ull << KVM_SLOT_SHIFT) - 1) >>
				    KVM_SLOT_SHIFT);
	domain->slots = calloc(count, sizeof(*domain->slots));
	if (!domain->slots)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory for %u slots", count);
	for (unsigned i = 0; i < domain->base.region_count; i++) {
		uint64_t pages = domain->base.regions[i].size >> HV_PAGE_SHIFT;

		domain->region_slot[i] = domain->slot_count;
		for (uint64_t first = 0; first < pages; first += KVM_SLOT_PAGES) {
			uint64_t left = pages - first;

			domain->slots[domain->slot_count] = (struct kvm_slot){
				.region = i,
				.first = first,
				.pages = left < KVM_SLOT_PAGES ? left : KVM_SLOT_PAGES,
			};
			rc = set_slot(domain, domain->slot_count, 0, err);
			if (rc)
				return rc;
			domain->slot_count++;
		}
	}
	return 0;
}

int kvm_memory_create(struct kvm_domain *domain, struct xm_error *err)
{
	struct hv_domain *base = &domain->base;
	const struct hv_config *config = &base->config;
	int rc = 0;

	if (config->prefault)
		rc = check_available(config->memory_bytes, err);
	if (rc)
		return rc;
	base->region_count = hv_memory_layout(config->memory_bytes, base->regions);
	for (unsigned i = 0; i < base->region_count; i++)
		base->regions[i].fd = -1;
	for (unsigned i = 0; i < base->region_count && !rc; i++) {
		struct hv_region *region = &base->regions[i];

		region->page_shift = backing_shift(config);
		rc = create_fd(region, i, config->huge_page_bytes, &region->fd, err);
		if (!rc)
			rc = map_region(region, err);
		if (!rc && config->prefault)
			rc = kvm_memory_populate(base, i, 0, region->size >> HV_PAGE_SHIFT, err);
	}
	return rc ? rc : create_slots(domain, err);
}

/*
 * Gives a region's pages back piece by piece: a gibibyte at once keeps a CPU busy for a tenth of a second, and some
 * other domain's vCPU may be waiting for it.
 */
static void release_pages(const struct hv_region *region)
{
	struct xm_pace pace;

	xm_pace_start(&pace);
	for (uint64_t at = 0; at < region->size; at += RELEASE_BYTES) {
		off_t data = lseek(region->fd, (off_t)at, SEEK_DATA);

		if (data < 0)
			break; /* nothing but holes from here on */
		at = (uint64_t)data & ~(uint64_t)(RELEASE_BYTES - 1);
		fallocate(region->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
			  RELEASE_BYTES);
		xm_pace(&pace);
	}
	xm_pace_finish(&pace);
}

void kvm_memory_destroy(struct kvm_domain *domain)
{
	for (unsigned i = 0; i < domain->base.region_count; i++) {
		struct hv_region *region = &domain->base.regions[i];

		if (region->host && region->page_shift == HV_PAGE_SHIFT)
			release_pages(region);
		if (region->host)
			munmap(region->host, region->size);
		if (region->fd >= 0)
			close(region->fd);
	}
	free(domain->slots);
}

int kvm_memory_set_logging(struct kvm_domain *domain, bool on, struct xm_error *err)
{
	for (unsigned i = 0; i < domain->slot_count; i++) {
		int rc = set_slot(domain, i, on ? KVM_MEM_LOG_DIRTY_PAGES : 0, err);

		if (!rc)
			continue;
		while (on && i-- > 0)
			set_slot(domain, i, 0, NULL);
		return rc;
	}
	return 0;
}

/* -------------------------------------------------------------------- which pages exist */

/*
 * Pages of a memfd are data where somebody ever touched them, swapped out or not; the rest are
 * holes. The region's pages as the extent of data at or after `from`, both in pages; at the end,
 * both are `pages`.
 */
static int next_extent(const struct hv_region *region, uint64_t from, uint64_t *ret_first,
		       uint64_t *ret_end, struct xm_error *err)
{
	uint64_t pages = region->size >> HV_PAGE_SHIFT;
	off_t data = lseek(region->fd, (off_t)(from << HV_PAGE_SHIFT), SEEK_DATA);
	off_t hole;

	if (data < 0 && errno == ENXIO) {
		*ret_first = *ret_end = pages;
		return 0;
	}
	hole = data < 0 ? -1 : lseek(region->fd, data, SEEK_HOLE);
	if (hole < 0)
		return xm_fail_errno(err, XM_KIND_INTERNAL, -errno,
				     "cannot find which pages of guest memory exist");
	*ret_first = (uint64_t)data >> HV_PAGE_SHIFT;
	*ret_end = ((uint64_t)hole + HV_PAGE_SIZE - 1) >> HV_PAGE_SHIFT;
	return 0;
}

/* Of hugetlb files, lseek() knows no holes; but their pages never leave our page tables. */
static int huge_page_present(int pagemap, const struct hv_region *region, uint64_t page,
			     bool *ret_present, struct xm_error *err)
{
	uint64_t entry;
	uintptr_t address = (uintptr_t)region->host + (page << HV_PAGE_SHIFT);
	off_t at = (off_t)(address / (uintptr_t)sysconf(_SC_PAGESIZE) * sizeof(entry));

	if (pread(pagemap, &entry, sizeof(entry), at) != sizeof(entry))
		return xm_fail_errno(err, XM_KIND_HOST, -errno,
				     "cannot read /proc/self/pagemap for guest memory");
	*ret_present = entry & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED);
	return 0;
}

static int next_huge_extent(const struct hv_region *region, uint64_t from, uint64_t *ret_first,
			    uint64_t *ret_end, struct xm_error *err)
{
	uint64_t pages = region->size >> HV_PAGE_SHIFT;
	uint64_t step = 1ull << (region->page_shift - HV_PAGE_SHIFT);
	cleanup_close int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (pagemap < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot open /proc/self/pagemap");
	for (uint64_t page = from & ~(step - 1); page < pages; page += step) {
		bool present = false;
		int rc = huge_page_present(pagemap, region, page, &present, err);

		if (rc)
			return rc;
		if (present) {
			*ret_first = page < from ? from : page;
			*ret_end = page + step;
			return 0;
		}
	}
	*ret_first = *ret_end = pages;
	return 0;
}

/*
 * SEEK_HOLE walks all pages up to the hole, so asking block after block of a long extent would take
 * time that grows with its square. A page that exists never ceases to, so the extent found last
 * is remembered: its first page in the low half of a word, its end in the high half.
 */
static_assert(HV_MEMORY_BYTES_MAX >> HV_PAGE_SHIFT <= UINT32_MAX, "a page number fits half a word");

static int extent(struct kvm_domain *domain, unsigned index, uint64_t from, uint64_t *ret_first,
		  uint64_t *ret_end, struct xm_error *err)
{
	const struct hv_region *region = &domain->base.regions[index];
	uint64_t known = atomic_load(&domain->known_extent[index]);
	int rc;

	if (from >= (uint32_t)known && from < known >> 32) {
		*ret_first = from;
		*ret_end = known >> 32;
		return 0;
	}
	if (region->page_shift != HV_PAGE_SHIFT)
		return next_huge_extent(region, from, ret_first, ret_end, err);
	rc = next_extent(region, from, ret_first, ret_end, err);
	if (rc == 0)
		atomic_store(&domain->known_extent[index], *ret_end << 32 | *ret_first);
	return rc;
}

int kvm_memory_present(struct hv_domain *base, unsigned region, uint64_t first, uint64_t count,
		       uint64_t *ret_bits, struct xm_error *err)
{
	uint64_t end = first + count;
	uint64_t data, hole;

	memset(ret_bits, 0, xm_bitmap_words(count) * sizeof(uint64_t));
	for (uint64_t at = first; at < end; at = hole) {
		int rc = extent(kvm_domain(base), region, at, &data, &hole, err);

		if (rc)
			return rc;
		if (data >= end)
			break;
		if (hole > end)
			hole = end;
		xm_bitmap_set_range(ret_bits, data - first, hole - data);
	}
	return 0;
}

int kvm_memory_next_present(struct hv_domain *base, unsigned region, uint64_t from,
			    uint64_t *ret_page, struct xm_error *err)
{
	uint64_t end;

	return extent(kvm_domain(base), region, from, ret_page, &end, err);
}

int kvm_memory_populate(struct hv_domain *base, unsigned region, uint64_t first, uint64_t count,
			struct xm_error *err)
{
	uint8_t *at = base->regions[region].host + (first << HV_PAGE_SHIFT);
	uint64_t left = count << HV_PAGE_SHIFT;

	while (left > 0) {
		uint64_t step = left < POPULATE_BYTES ? left : POPULATE_BYTES;

		if (madvise(at, step, MADV_POPULATE_WRITE) < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			return xm_fail_errno(err, XM_KIND_HOST, -errno,
					     "cannot populate %" PRIu64 " MiB of guest memory",
					     left >> 20);
		}
		at += step;
		left -= step;
	}
	return 0;
}
