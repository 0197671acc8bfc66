/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One entry for each kind of section (docs/state-sections.md): how it is read from KVM and how
 * it is loaded. kvm_state.c has the list, in loading order, and the checks that are the same
 * for all.
 */
#ifndef XM_HYPERVISOR_KVM_STATE_H
#define XM_HYPERVISOR_KVM_STATE_H

#include "hypervisor/kvm_internal.h"

enum kvm_section_scope {
	KVM_SECTION_DOMAIN,  /* instance 0 */
	KVM_SECTION_IRQCHIP, /* an instance for each of PIC, PIC and IOAPIC */
	KVM_SECTION_VCPU,    /* an instance for each vCPU */
};

/* When a section is loaded, `instance` is in range and its size between min and max. */
struct kvm_section_kind {
	const char *name;
	enum kvm_section_scope scope;
	uint32_t size_min, size_max;
	int (*save)(struct kvm_domain *domain, uint32_t instance, struct hv_state *state,
		    const char *name, struct xm_error *err);
	int (*load)(struct kvm_domain *domain, const struct hv_section *section,
		    struct xm_error *err);
	/* Whether a domain here has that section; NULL if all have. */
	bool (*exists)(const struct kvm_domain *domain);
};

/* The clock: the KVM clock, and the real time at which the TSCs of the "tsc" sections were read. */
struct kvm_clock_section {
	uint64_t kvm_clock_ns;
	uint64_t realtime_ns;
};

struct kvm_tsc_section {
	uint64_t tsc;	      /* at ... */
	uint64_t realtime_ns; /* ... this time */
	uint32_t khz;
	uint32_t zero;
};

struct kvm_shape_section {
	uint64_t memory_bytes;
	uint32_t vcpus;
	uint32_t zero;
};

#define KVM_STATE_VERSION 1

/* Adds `size` bytes read by an ioctl; `rc` is what that returned. */
int kvm_state_add(struct hv_state *state, const char *name, uint32_t instance, int rc,
		  const void *data, size_t size, struct xm_error *err);
int kvm_load_error(const struct hv_section *section, const char *request, int rc,
		   struct xm_error *err);

extern const struct kvm_section_kind kvm_vm_sections[];
extern const unsigned kvm_vm_section_count;
extern const struct kvm_section_kind kvm_vcpu_sections[];
extern const unsigned kvm_vcpu_section_count;

#endif
