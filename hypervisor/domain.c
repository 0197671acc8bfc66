/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is the same for each backend: the checks of arguments, guest memory's layout, and the
 * accessor for devices. Everything else is passed on to the backend's ops.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/error.h"
#include "hypervisor/backend.h"

#define LOW_BYTES_MAX  (3ull << 30) /* above are the LAPIC, the IOAPIC and room for devices */
#define HIGH_GPA_FIRST (4ull << 30)

const struct hv_config *hv_domain_config(const struct hv_domain *domain)
{
	return &domain->config;
}

void hv_destroy(struct hv_domain *domain)
{
	if (domain)
		domain->ops->destroy(domain);
}

/* --------------------------------------------------------------------------- memory */

unsigned hv_memory_layout(uint64_t memory_bytes, struct hv_region *ret_regions)
{
	uint64_t low = memory_bytes < LOW_BYTES_MAX ? memory_bytes : LOW_BYTES_MAX;

	ret_regions[0] = (struct hv_region){.gpa = 0, .size = low};
	if (low == memory_bytes)
		return 1;
	ret_regions[1] = (struct hv_region){.gpa = HIGH_GPA_FIRST, .size = memory_bytes - low};
	return 2;
}

unsigned hv_region_count(const struct hv_domain *domain)
{
	return domain->region_count;
}

const struct hv_region *hv_region(const struct hv_domain *domain, unsigned region)
{
	return region < domain->region_count ? &domain->regions[region] : NULL;
}

static int check_range(const struct hv_domain *domain, unsigned region, uint64_t first,
		       uint64_t count, struct xm_error *err)
{
	uint64_t pages;

	if (region >= domain->region_count)
		return xm_fail(err, XM_KIND_DATA, -EINVAL,
			       "memory region %u does not exist; the domain has %u", region,
			       domain->region_count);
	pages = domain->regions[region].size >> HV_PAGE_SHIFT;
	if (first > pages || count > pages - first)
		return xm_fail(err, XM_KIND_DATA, -ERANGE,
			       "pages %" PRIu64 " + %" PRIu64 " are outside of memory region %u, "
			       "which has %" PRIu64,
			       first, count, region, pages);
	return 0;
}

/* The log is handled in whole words of its bitmaps. */
static int check_log_range(const struct hv_domain *domain, unsigned region, uint64_t first,
			   uint64_t count, struct xm_error *err)
{
	int rc = check_range(domain, region, first, count, err);

	if (rc)
		return rc;
	if (first % 64 ||
	    (count % 64 && first + count != domain->regions[region].size >> HV_PAGE_SHIFT))
		return xm_fail(err, XM_KIND_INTERNAL, -EINVAL,
			       "log-dirty range %" PRIu64 " + %" PRIu64
			       " does not consist of whole groups of 64 pages",
			       first, count);
	return 0;
}

int hv_memory_present(struct hv_domain *domain, unsigned region, uint64_t first, uint64_t count,
		      uint64_t *ret_bits, struct xm_error *err)
{
	int rc = check_range(domain, region, first, count, err);

	return rc ? rc : domain->ops->memory_present(domain, region, first, count, ret_bits, err);
}

int hv_memory_next_present(struct hv_domain *domain, unsigned region, uint64_t from,
			   uint64_t *ret_page, struct xm_error *err)
{
	int rc = check_range(domain, region, from, 0, err);

	return rc ? rc : domain->ops->memory_next_present(domain, region, from, ret_page, err);
}

int hv_memory_populate(struct hv_domain *domain, unsigned region, uint64_t first, uint64_t count,
		       struct xm_error *err)
{
	int rc = check_range(domain, region, first, count, err);

	return rc ? rc : domain->ops->memory_populate(domain, region, first, count, err);
}

int hv_memory_ensure_present(struct hv_domain *domain, unsigned region, uint64_t first,
			     uint64_t count, struct xm_error *err)
{
	return check_range(domain, region, first, count, err);
}

/* ------------------------------------------------------------------------ log-dirty */

int hv_log_start(struct hv_domain *domain, struct hv_log **ret_log, struct xm_error *err)
{
	return domain->ops->log_start(domain, ret_log, err);
}

int hv_log_clean(struct hv_log *log, unsigned region, uint64_t first, uint64_t count,
		 uint64_t *ret_bits, struct xm_error *err)
{
	int rc = check_log_range(log->domain, region, first, count, err);

	return rc ? rc : log->domain->ops->log_clean(log, region, first, count, ret_bits, err);
}

int hv_log_peek(struct hv_log *log, unsigned region, uint64_t first, uint64_t count,
		uint64_t *ret_bits, struct xm_error *err)
{
	int rc = check_log_range(log->domain, region, first, count, err);

	return rc ? rc : log->domain->ops->log_peek(log, region, first, count, ret_bits, err);
}

void hv_log_stop(struct hv_log *log)
{
	if (log)
		log->domain->ops->log_stop(log);
}

bool hv_log_counts_vcpus(const struct hv_domain *domain)
{
	return domain->ops->log_counts_vcpus(domain);
}

uint64_t hv_log_vcpu_pages(struct hv_domain *domain, unsigned vcpu)
{
	if (vcpu >= domain->config.vcpus || !hv_log_counts_vcpus(domain))
		return 0;
	return domain->ops->log_vcpu_pages(domain, vcpu);
}

/* ------------------------------------------------------------------------ execution */

static int check_vcpu(const struct hv_domain *domain, unsigned vcpu, struct xm_error *err)
{
	if (vcpu < domain->config.vcpus)
		return 0;
	return xm_fail(err, XM_KIND_USAGE, -EINVAL, "vCPU %u does not exist; the domain has %u",
		       vcpu, domain->config.vcpus);
}

int hv_pause(struct hv_domain *domain, struct hv_pause_times *ret_times, struct xm_error *err)
{
	return domain->ops->pause(domain, ret_times, err);
}

int hv_resume(struct hv_domain *domain, struct xm_error *err)
{
	return domain->ops->resume(domain, err);
}

bool hv_paused(struct hv_domain *domain)
{
	return domain->ops->paused(domain);
}

int hv_throttle(struct hv_domain *domain, unsigned vcpu, unsigned percent, struct xm_error *err)
{
	int rc = check_vcpu(domain, vcpu, err);

	if (rc)
		return rc;
	if (percent > 99)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "a vCPU can be throttled by 0 to 99 percent, not %u", percent);
	return domain->ops->throttle(domain, vcpu, percent, err);
}

int hv_vcpu_stats(struct hv_domain *domain, unsigned vcpu, struct hv_vcpu_stats *ret_stats,
		  struct xm_error *err)
{
	int rc = check_vcpu(domain, vcpu, err);

	return rc ? rc : domain->ops->vcpu_stats(domain, vcpu, ret_stats, err);
}

/* ---------------------------------------------------------------------------- state */

int hv_state_save(struct hv_domain *domain, struct hv_state *ret_state, struct xm_error *err)
{
	if (!hv_paused(domain))
		return xm_fail(err, XM_KIND_CONFLICT, -EBUSY,
			       "the domain's state cannot be saved while it runs; pause it first");
	return domain->ops->state_save(domain, ret_state, err);
}

int hv_state_load(struct hv_domain *domain, const struct hv_state *state, struct xm_error *err)
{
	if (!hv_paused(domain))
		return xm_fail(err, XM_KIND_CONFLICT, -EBUSY,
			       "state cannot be loaded into a running domain; pause it first");
	return domain->ops->state_load(domain, state, err);
}

int hv_platform_describe(struct hv_domain *domain, struct hv_state *ret_platform,
			 struct xm_error *err)
{
	return domain->ops->platform_describe(domain, ret_platform, err);
}

/* --------------------------------------------------------- guest memory for devices */

/* The region that holds all of [gpa, gpa + size), or NULL. Written so that no sum can wrap. */
static const struct hv_region *region_holding(const struct hv_domain *domain, uint64_t gpa,
					      uint64_t size)
{
	for (unsigned i = 0; i < domain->region_count; i++) {
		const struct hv_region *region = &domain->regions[i];

		if (gpa >= region->gpa && gpa - region->gpa < region->size &&
		    size <= region->size - (gpa - region->gpa))
			return region;
	}
	return NULL;
}

int hv_dma_begin(struct hv_domain *domain, uint64_t gpa, uint64_t size, void **ret_host,
		 struct xm_error *err)
{
	const struct hv_region *region = region_holding(domain, gpa, size);
	uint64_t first;
	int rc;

	if (!region)
		return xm_fail(err, XM_KIND_DATA, -EFAULT,
			       "guest memory at 0x%" PRIx64 ", %" PRIu64 " bytes, is not RAM", gpa,
			       size);
	first = (gpa - region->gpa) >> HV_PAGE_SHIFT;
	if (size) {
		uint64_t last = (gpa - region->gpa + size - 1) >> HV_PAGE_SHIFT;

		rc = hv_memory_ensure_present(domain, (unsigned)(region - domain->regions), first,
					      last - first + 1, err);
		if (rc)
			return rc;
	}
	*ret_host = region->host + (gpa - region->gpa);
	return 0;
}

void hv_dma_end(struct hv_domain *domain, uint64_t gpa, uint64_t size, bool write)
{
	const struct hv_region *region = region_holding(domain, gpa, size);
	uint64_t first, last;

	if (!write || !region || size == 0)
		return;
	first = (gpa - region->gpa) >> HV_PAGE_SHIFT;
	last = (gpa - region->gpa + size - 1) >> HV_PAGE_SHIFT;
	domain->ops->mark_dirty(domain, (unsigned)(region - domain->regions), first,
				last - first + 1);
}

/* --------------------------------------------------------------- console and report */

size_t hv_console_input(struct hv_domain *domain, const void *data, size_t size)
{
	return domain->ops->console_input(domain, data, size);
}

uint64_t hv_report(struct hv_domain *domain, char *buffer, size_t size)
{
	return domain->ops->report(domain, buffer, size);
}
