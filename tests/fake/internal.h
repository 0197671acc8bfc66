/* SPDX-License-Identifier: Apache-2.0 */
/* The fake domain's inside: fake.c is its life, fake_memory.c, fake_log.c and fake_guest.c what they say. */
#ifndef XM_TESTS_FAKE_INTERNAL_H
#define XM_TESTS_FAKE_INTERNAL_H

#include <pthread.h>

#include "hypervisor/backend.h"
#include "tests/fake/fake.h"

struct fake_log {
	struct hv_log log; /* first */
	struct fake_log *next;
	uint64_t *bits[HV_REGIONS_MAX];
};

struct fake_domain {
	struct hv_domain domain; /* first */
	struct fake_config config;
	fake_hook *hook;
	void *opaque;
	int memfd;

	pthread_mutex_t lock; /* never held while a hook runs */
	/* lock: */
	struct fake_log *logs;
	bool paused;
	unsigned failing;
	struct fake_counts counts;
	uint64_t steps;
	uint64_t registers[HV_VCPUS_MAX][2];
};

static inline struct fake_domain *fake_of(const struct hv_domain *domain)
{
	return (struct fake_domain *)domain;
}

/* Runs the hook, if there is one. */
void fake_moment(struct hv_domain *domain, enum fake_event event, unsigned region, uint64_t first,
		 uint64_t count);

/* Should this operation fail? Then err says so. */
int fake_failing(struct hv_domain *domain, enum fake_operation operation, const char *name,
		 struct xm_error *err);

/* fake_memory.c */
int fake_memory_create(struct fake_domain *fake, struct xm_error *err);
void fake_memory_destroy(struct fake_domain *fake);
int fake_memory_present(struct hv_domain *domain, unsigned region, uint64_t first, uint64_t count,
			uint64_t *ret_bits, struct xm_error *err);
int fake_memory_next_present(struct hv_domain *domain, unsigned region, uint64_t from,
			     uint64_t *ret_page, struct xm_error *err);
int fake_memory_populate(struct hv_domain *domain, unsigned region, uint64_t first, uint64_t count,
			 struct xm_error *err);

/* fake_log.c; mark takes the lock held. */
int fake_log_start(struct hv_domain *domain, struct hv_log **ret_log, struct xm_error *err);
int fake_log_clean(struct hv_log *log, unsigned region, uint64_t first, uint64_t count,
		   uint64_t *ret_bits, struct xm_error *err);
int fake_log_peek(struct hv_log *log, unsigned region, uint64_t first, uint64_t count,
		  uint64_t *ret_bits, struct xm_error *err);
void fake_log_stop(struct hv_log *log);
void fake_log_mark(struct fake_domain *fake, unsigned region, uint64_t first, uint64_t count);

/* fake_guest.c */
void fake_guest_registers(struct fake_domain *fake);

#endif
