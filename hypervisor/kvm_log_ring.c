/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM's dirty rings. The CPU that writes a page which is protected publishes (slot, page) in
 * its vCPU's ring; we collect entries in order, mark each as collected, and
 * KVM_RESET_DIRTY_RINGS protects the pages of all collected entries again and makes the entries
 * free.
 *
 *	flags: 0 free -> (KVM) DIRTY -> (we) RESET -> (KVM, in the ioctl) 0
 *
 * KVM stores an entry before its DIRTY flag, so we load the flag with acquire and then the
 * entry; we are done with the entry before we store RESET, which therefore is a release.
 * A reset comes before anybody takes their bits and reads the pages, so a write after it is logged
 * again.
 *
 * This needs no manual protection, and must not be combined with it: KVM accepts both, but the
 * data is then wrong.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "common/bitmap.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "hypervisor/kvm_internal.h"

static size_t ring_bytes(const struct kvm_domain *domain)
{
	return domain->base.config.ring_entries * sizeof(struct kvm_dirty_gfn);
}

static int enable(struct kvm_domain *domain, struct xm_error *err)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_DIRTY_LOG_RING_ACQ_REL,
				     .args[0] = ring_bytes(domain)};
	int max = kvm_ioctl(domain->vm_fd, KVM_CHECK_EXTENSION,
			    (void *)(uintptr_t)KVM_CAP_DIRTY_LOG_RING_ACQ_REL);
	int rc;

	if (max <= 0) {
		cap.cap = KVM_CAP_DIRTY_LOG_RING; /* kernels before 6.1 */
		max = kvm_ioctl(domain->vm_fd, KVM_CHECK_EXTENSION,
				(void *)(uintptr_t)KVM_CAP_DIRTY_LOG_RING);
	}
	if (max <= 0)
		return xm_fail(
			err, XM_KIND_HOST, -ENOTSUP,
			"this host's KVM has no dirty rings (KVM_CAP_DIRTY_LOG_RING); use the "
			"bitmap kind");
	rc = kvm_ioctl(domain->vm_fd, KVM_ENABLE_CAP, &cap);
	if (rc < 0)
		return xm_fail_errno(err, XM_KIND_CONFIG, rc,
				     "this host's KVM does not take dirty rings of %u entries "
				     "(at most %zu, and not very small)",
				     domain->base.config.ring_entries,
				     (size_t)max / sizeof(struct kvm_dirty_gfn));
	return 0;
}

int kvm_log_ring_map(struct kvm_vcpu *vcpu, struct xm_error *err)
{
	void *ring = mmap(NULL, ring_bytes(vcpu->domain), PROT_READ | PROT_WRITE, MAP_SHARED,
			  vcpu->fd, KVM_DIRTY_LOG_PAGE_OFFSET * sysconf(_SC_PAGESIZE));

	if (ring == MAP_FAILED)
		return xm_fail_errno(err, XM_KIND_HOST, -errno,
				     "cannot map the dirty ring of vCPU %u", vcpu->index);
	vcpu->ring = ring;
	return 0;
}

void kvm_log_ring_unmap(struct kvm_vcpu *vcpu)
{
	if (vcpu->ring)
		munmap(vcpu->ring, ring_bytes(vcpu->domain));
}

/* The kernel's word, but an index of ours: checked all the same. */
static void collect_entry(struct kvm_domain *domain, uint32_t slot_id, uint64_t offset)
{
	unsigned index = slot_id & 0xffff; /* above is the address space: 0, or SMM's */
	uint64_t page, word;

	if (index >= domain->slot_count || offset >= domain->slots[index].pages)
		return;
	page = domain->slots[index].first + offset;
	word = 1ull << page % 64;
	kvm_log_merge(domain, domain->slots[index].region, page / 64, &word, 1);
}

static uint32_t collect_ring(struct kvm_vcpu *vcpu)
{
	uint32_t mask = vcpu->domain->base.config.ring_entries - 1;
	uint32_t count = 0;

	for (;; count++) {
		struct kvm_dirty_gfn *entry = &vcpu->ring[vcpu->ring_next & mask];

		if (!(__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_DIRTY))
			break;
		collect_entry(vcpu->domain, entry->slot, entry->offset);
		__atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
		vcpu->ring_next++;
	}
	atomic_fetch_add(&vcpu->dirty_pages, count);
	return count;
}

/*
 * Without `reset`, which is what a peek wants, the pages stay unprotected and their entries in use:
 * their bits are in the consumers already, and nobody takes bits without a reset before.
 */
static int collect(struct kvm_domain *domain, bool reset, struct xm_error *err)
{
	int rc;

	for (unsigned i = 0; i < domain->vcpu_count; i++)
		if (collect_ring(&domain->vcpus[i]) > 0)
			domain->log.reset_pending = true;
	if (!reset || !domain->log.reset_pending)
		return 0;
	rc = kvm_ioctl(domain->vm_fd, KVM_RESET_DIRTY_RINGS, NULL);
	if (rc < 0)
		return xm_fail_errno(err, XM_KIND_INTERNAL, rc, "KVM_RESET_DIRTY_RINGS");
	domain->log.reset_pending = false;
	return 0;
}

static int harvest(struct kvm_domain *domain, unsigned region, uint64_t first, uint64_t count,
		   bool clear, struct xm_error *err)
{
	(void)region; /* rings hold whatever was written, and are collected whole */
	(void)first;
	(void)count;
	return collect(domain, clear, err);
}

static int drain(struct kvm_domain *domain, struct xm_error *err)
{
	return collect(domain, true, err); /* there are no consumers */
}

int kvm_log_ring_full(struct kvm_vcpu *vcpu, struct xm_error *err)
{
	XM_LOCK_GUARD(&vcpu->domain->log.lock);

	return collect(vcpu->domain, true, err);
}

const struct kvm_log_ops kvm_log_ring_ops = {
	.enable = enable,
	.harvest = harvest,
	.drain = drain,
};
