/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast does the guest dirty memory? Answered during the first round, from a sample.
 *
 * A sixteenth of the memory's 2 MiB blocks, spread over all of it with a jitter (so that a guest whose writes have a
 * stride does not hide), is cleaned once in a consumer of its own and peeked at after 0.1, 0.25, 0.5, 1 and
 * 2 s; what is dirty there, times the ratio of all blocks to sampled ones, is D(t) of policy.h. At least
 * eight blocks are looked at, which is all of a small guest.
 *
 * Threads: the coordinator only.
 */
#ifndef XM_MIGRATE_SAMPLE_H
#define XM_MIGRATE_SAMPLE_H

#include <stdint.h>

#include "migrate/layout.h"
#include "migrate/policy.h"

struct mig_sample {
	struct hv_log *log;
	const struct mig_layout *layout;
	uint32_t *blocks; /* numbers of the sampled blocks */
	unsigned count;
	unsigned peeks; /* done */
	uint64_t started_ns;
	struct mig_dirty_point points[MIG_DIRTY_POINTS_MAX];
};

int mig_sample_start(struct mig_sample *sample, struct hv_domain *domain,
		     const struct mig_layout *layout, struct xm_error *err);

/* When mig_sample_peek() is due next, by xm_now_ns(); UINT64_MAX: never again. */
uint64_t mig_sample_due_ns(const struct mig_sample *sample);

/* Adds a point; points[peeks - 1] is the last. */
int mig_sample_peek(struct mig_sample *sample, struct xm_error *err);

/* Bytes a second, the most of all points; 0 before the first. */
uint64_t mig_sample_rate(const struct mig_sample *sample);

/* Frees the consumer; the points stay. */
void mig_sample_stop(struct mig_sample *sample);

#endif
