/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The implementer's view of a domain: what stands behind hypervisor.h. A backend embeds `struct
 * hv_domain` as its first member and fills `ops`; hypervisor/domain.c checks arguments that are
 * the same for everybody (ranges, alignment) and calls on. Two backends exist:
 * hypervisor/kvm_*.c and tests/fake/.
 */
#ifndef XM_HYPERVISOR_BACKEND_H
#define XM_HYPERVISOR_BACKEND_H

#include "hypervisor/hypervisor.h"

/*
 * Where a payload begins, all of it already in memory (docs/guest-payloads.md, "Registers at
 * entry"): payload.c lays memory out, a backend that can run code puts its vCPUs there.
 */
#define HV_STACK_BYTES 0x10000ull

struct hv_entry {
	uint64_t entry;
	uint64_t start_info;
	uint64_t page_tables;
	uint64_t gdt;
	uint16_t gdt_limit;
	uint64_t tss;
	uint32_t tss_limit;
	uint64_t stacks; /* vCPU 0's lowest byte; the others follow, HV_STACK_BYTES each */
};

/* Each op has the contract of the function of the same name in hypervisor.h. */
struct hv_ops {
	void (*destroy)(struct hv_domain *domain);
	int (*memory_present)(struct hv_domain *domain, unsigned region, uint64_t first,
			      uint64_t count, uint64_t *ret_bits, struct xm_error *err);
	int (*memory_next_present)(struct hv_domain *domain, unsigned region, uint64_t from,
				   uint64_t *ret_page, struct xm_error *err);
	int (*memory_populate)(struct hv_domain *domain, unsigned region, uint64_t first,
			       uint64_t count, struct xm_error *err);
	int (*log_start)(struct hv_domain *domain, struct hv_log **ret_log, struct xm_error *err);
	int (*log_clean)(struct hv_log *log, unsigned region, uint64_t first, uint64_t count,
			 uint64_t *ret_bits, struct xm_error *err);
	int (*log_peek)(struct hv_log *log, unsigned region, uint64_t first, uint64_t count,
			uint64_t *ret_bits, struct xm_error *err);
	void (*log_stop)(struct hv_log *log);
	bool (*log_counts_vcpus)(const struct hv_domain *domain);
	uint64_t (*log_vcpu_pages)(struct hv_domain *domain, unsigned vcpu);
	int (*pause)(struct hv_domain *domain, struct hv_pause_times *ret_times,
		     struct xm_error *err);
	int (*resume)(struct hv_domain *domain, struct xm_error *err);
	bool (*paused)(struct hv_domain *domain);
	int (*throttle)(struct hv_domain *domain, unsigned vcpu, unsigned percent,
			struct xm_error *err);
	int (*vcpu_stats)(struct hv_domain *domain, unsigned vcpu, struct hv_vcpu_stats *ret_stats,
			  struct xm_error *err);
	int (*state_save)(struct hv_domain *domain, struct hv_state *ret_state,
			  struct xm_error *err);
	int (*state_load)(struct hv_domain *domain, const struct hv_state *state,
			  struct xm_error *err);
	int (*platform_describe)(struct hv_domain *domain, struct hv_state *ret_platform,
				 struct xm_error *err);
	/* What a payload's start information must say of the backend's TSC, and putting the vCPUs at
	 * the entry. Both NULL in a backend that runs no code; it then takes no payloads. */
	uint32_t (*tsc_khz)(const struct hv_domain *domain);
	int (*enter)(struct hv_domain *domain, const struct hv_entry *entry, struct xm_error *err);
	void (*mark_dirty)(struct hv_domain *domain, unsigned region, uint64_t first,
			   uint64_t count);
	size_t (*console_input)(struct hv_domain *domain, const void *data, size_t size);
	uint64_t (*report)(struct hv_domain *domain, char *buffer, size_t size);
};

struct hv_domain {
	const struct hv_ops *ops;
	struct hv_config config;
	unsigned region_count;
	struct hv_region regions[HV_REGIONS_MAX];
};

/* A backend's log begins with this. */
struct hv_log {
	struct hv_domain *domain;
};

#endif
