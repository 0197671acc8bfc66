/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A domain without KVM: the second implementation of hypervisor/backend.h, in which nothing happens by
 * chance. Its memory is a memfd, so holes are real holes; its log-dirty is exact; its guest takes a step when the
 * test says so, and at no other time. A test that wants a race calls fake_step() or fake_write() from a
 * hook, which the fake runs at the named moments of the engine's work, in the engine's thread.
 *
 * The guest's memory is a function of its number of steps, and so are its registers: fake_check() tells
 * whether a domain, wherever it came from, is what so many steps make it.
 *
 * Threads: as hypervisor.h says. A step and a log operation are atomic to each other.
 */
#ifndef XM_TESTS_FAKE_H
#define XM_TESTS_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hypervisor/hypervisor.h"

enum fake_event {
	FAKE_CLEAN,   /* a log range is about to be cleaned */
	FAKE_CLEANED, /* it was; its pages were not read yet */
	FAKE_PEEKED,  /* a log range was peeked at */
	FAKE_PRESENT, /* about to say which pages are present */
	FAKE_PAUSED,  /* the guest has stopped */
	FAKE_SAVE,    /* state is about to be saved */
	FAKE_LOADED,  /* state was loaded */
	FAKE_RESUMED, /* the guest runs */
};

struct fake_moment {
	enum fake_event event;
	unsigned region;
	uint64_t first; /* of log and presence events: the range */
	uint64_t count;
};

typedef void fake_hook(void *opaque, struct hv_domain *domain, const struct fake_moment *moment);

/* Operations that fail when told to. */
enum fake_operation {
	FAKE_OP_PAUSE = 1 << 0,
	FAKE_OP_RESUME = 1 << 1,
	FAKE_OP_SAVE = 1 << 2,
	FAKE_OP_LOAD = 1 << 3,
	FAKE_OP_CLEAN = 1 << 4,
};

struct fake_config {
	uint64_t memory_bytes;
	unsigned vcpus;
	uint64_t working_set; /* pages that the guest writes, from the first on; 0: none */
	uint64_t hot;	      /* of which the first so many get every other write; 0: all alike */
};

/* A paused domain with no step done. The hook may be NULL and is set before anything runs. */
int fake_create(const struct fake_config *config, fake_hook *hook, void *opaque,
		struct hv_domain **ret_domain, struct xm_error *err);

/* From now on these operations (a mask of enum fake_operation) fail with -EIO, kind HOST. */
void fake_fail(struct hv_domain *domain, unsigned operations);

/* The guest takes n steps, each a write of one page. Nothing happens while it is paused. */
void fake_step(struct hv_domain *domain, uint64_t n);
uint64_t fake_steps(struct hv_domain *domain);

/*
 * A page beyond the working set is written, by the guest or a device (so also while paused), with content that is a
 * function of `value`; 0 writes zeros. fake_check() does not know of it.
 */
void fake_write(struct hv_domain *domain, unsigned region, uint64_t page, uint64_t value);

/* The same without telling the log: what a defect in log-dirty looks like. */
void fake_write_unlogged(struct hv_domain *domain, unsigned region, uint64_t page, uint64_t value);
bool fake_holds(struct hv_domain *domain, unsigned region, uint64_t page, uint64_t value);

/* Is the working set, and are the registers, what the domain's steps make them? Says what is not. */
bool fake_check(struct hv_domain *domain, char *ret_what, size_t size);

/* Is all of memory the same? */
bool fake_same_memory(struct hv_domain *a, struct hv_domain *b, char *ret_what, size_t size);

/* Pages that are no holes. */
uint64_t fake_present_pages(struct hv_domain *domain);

struct fake_counts {
	unsigned pauses, resumes, saves, loads;
	unsigned logs; /* consumers that were not stopped */
};

void fake_counts(struct hv_domain *domain, struct fake_counts *ret_counts);

#endif
