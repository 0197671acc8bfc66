/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM's dirty bitmaps, one per memory slot, with manual protection: KVM_GET_DIRTY_LOG only reads,
 * KVM_CLEAR_DIRTY_LOG clears chosen bits and write-protects their pages again. A slot whose
 * logging is switched on begins with all bits set and nothing protected, so that pages cost
 * their guest a fault only from the time they are first sent.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "hypervisor/kvm_internal.h"

static int enable(struct kvm_domain *domain, struct xm_error *err)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.args[0] = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET,
	};
	int rc;

	domain->log.scratch = calloc(KVM_SLOT_WORDS, sizeof(uint64_t));
	if (!domain->log.scratch)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory for a dirty log");
	rc = kvm_ioctl(domain->vm_fd, KVM_ENABLE_CAP, &cap);
	if (rc < 0)
		return xm_fail_errno(err, XM_KIND_HOST, rc,
				     "this host's KVM cannot log dirty pages with "
				     "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
	return 0;
}

static int clear_in_kvm(struct kvm_domain *domain, unsigned slot, uint64_t first, uint64_t count,
			uint64_t *words, struct xm_error *err)
{
	struct kvm_clear_dirty_log clear = {
		.slot = slot,
		.first_page = first,
		.num_pages = (uint32_t)count,
		.dirty_bitmap = words,
	};
	int rc = kvm_ioctl(domain->vm_fd, KVM_CLEAR_DIRTY_LOG, &clear);

	if (rc < 0)
		return xm_fail_errno(err, XM_KIND_INTERNAL, rc, "KVM_CLEAR_DIRTY_LOG of slot %u",
				     slot);
	return 0;
}

/*
 * [first, first + count) in pages of the slot. The bits go to the consumers also when KVM is
 * not told to forget them: it will only report them once more. When it is, that comes
 * first; if it fails, KVM still has them.
 */
static int harvest_slot(struct kvm_domain *domain, unsigned index, uint64_t first, uint64_t count,
			bool clear, struct xm_error *err)
{
	const struct kvm_slot *slot = &domain->slots[index];
	uint64_t *scratch = domain->log.scratch;
	struct kvm_dirty_log get = {.slot = index, .dirty_bitmap = scratch};
	uint64_t begin = first / 64;
	uint64_t end = (first + count + 63) / 64;
	int rc = kvm_ioctl(domain->vm_fd, KVM_GET_DIRTY_LOG, &get);

	if (rc < 0)
		return xm_fail_errno(err, XM_KIND_INTERNAL, rc, "KVM_GET_DIRTY_LOG of slot %u",
				     index);
	while (begin < end && scratch[begin] == 0)
		begin++;
	while (begin < end && scratch[end - 1] == 0)
		end--;
	if (begin == end)
		return 0;
	rc = clear ? clear_in_kvm(domain, index, begin * 64, (end - begin) * 64, scratch + begin,
				  err)
		   : 0;
	if (rc)
		return rc;
	kvm_log_merge(domain, slot->region, slot->first / 64 + begin, scratch + begin, end - begin);
	return 0;
}

static int harvest(struct kvm_domain *domain, unsigned region, uint64_t first, uint64_t count,
		   bool clear, struct xm_error *err)
{
	uint64_t end = first + count;
	unsigned index = domain->region_slot[region] + (unsigned)(first / KVM_SLOT_PAGES);

	for (; first < end; index++) {
		uint64_t in_slot = first % KVM_SLOT_PAGES;
		uint64_t part = KVM_SLOT_PAGES - in_slot;
		int rc;

		if (part > end - first)
			part = end - first;
		rc = harvest_slot(domain, index, in_slot, part, clear, err);
		if (rc)
			return rc;
		first += part;
	}
	return 0;
}

/* Switching a slot's logging on starts a new bitmap. */
static int drain(struct kvm_domain *domain, struct xm_error *err)
{
	(void)domain;
	(void)err;
	return 0;
}

const struct kvm_log_ops kvm_log_bitmap_ops = {
	.enable = enable,
	.harvest = harvest,
	.drain = drain,
};
