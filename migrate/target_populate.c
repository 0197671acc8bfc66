// SPDX-License-Identifier: Apache-2.0
/*
 * First touch of memory is the slowest part of receiving it. One thread populates ahead what the source said it has
 * populated itself, in the order in which it will come; a worker whose pages arrive first populates them itself, in one
 * call, which is much cheaper than a fault a page, and cheap where the memory is there.
 */
#include "migrate/target.h"

#include <errno.h>
#include <stdlib.h>

#include "migrate/thread.h"

/* Runs shorter than this fault for themselves. */
#define POPULATE_PAGES_MIN 16
/* What is populated between two rests. */
#define POPULATE_PAGES_STEP 64

static void populate_extent(struct mig_target *target, const struct pf_extent *extent,
			    struct xm_pace *pace)
{
	uint64_t page = extent->first;
	uint64_t left = extent->count;

	while (left && !atomic_load_explicit(&target->populate.stop, memory_order_relaxed)) {
		uint64_t step = left < POPULATE_PAGES_STEP ? left : POPULATE_PAGES_STEP;

		/* A failure here shows again, with an error that counts, when the pages come. */
		hv_memory_populate(target->domain, extent->object, page, step, NULL);
		mig_target_rest(target, pace);
		page += step;
		left -= step;
	}
}

static void *populate_thread(void *argument)
{
	struct mig_target *target = argument;
	struct xm_pace pace;

	xm_pace_start(&pace);
	for (uint32_t i = 0; i < target->populate.count; i++)
		populate_extent(target, &target->populate.extents[i], &pace);
	xm_pace_finish(&pace);
	pthread_mutex_lock(&target->lock);
	target->cpu_ns += mig_own_cpu_ns();
	pthread_mutex_unlock(&target->lock);
	return NULL;
}

/* The hint comes from the wire: extents that are not of this domain are an error, not a hint. */
static int check_extents(struct mig_target *target, const struct pf_static *announced,
			 struct xm_error *err)
{
	for (uint32_t i = 0; i < announced->extent_count; i++) {
		const struct pf_extent *extent = &announced->extents[i];

		if (extent->object >= target->layout.count ||
		    extent->first > target->layout.spans[extent->object].pages ||
		    extent->count > target->layout.spans[extent->object].pages - extent->first)
			return xm_fail(err, XM_KIND_DATA, -EBADMSG,
				       "the source says it populated memory that the domain does "
				       "not have (extent %u)",
				       i);
	}
	return 0;
}

int mig_populate_start(struct mig_target *target, struct pf_static *announced, struct xm_error *err)
{
	struct mig_populate *populate = &target->populate;
	int rc;

	rc = check_extents(target, announced, err);
	if (rc)
		return rc;
	populate->extents = announced->extents;
	populate->count = announced->extent_count;
	announced->extents = NULL;
	announced->extent_count = 0;
	rc = mig_thread_start(&populate->thread, populate_thread, target, "mig-populate", err);
	populate->started = rc == 0;
	return rc;
}

int mig_populate_run(struct mig_target *target, uint32_t object, uint64_t first, uint64_t count,
		     struct xm_error *err)
{
	if (count < POPULATE_PAGES_MIN)
		return 0;
	return hv_memory_populate(target->domain, object, first, count, err);
}

void mig_populate_stop(struct mig_target *target)
{
	atomic_store(&target->populate.stop, true);
	if (target->populate.started)
		pthread_join(target->populate.thread, NULL);
	target->populate.started = false;
}

void mig_populate_finish(struct mig_target *target)
{
	free(target->populate.extents);
	target->populate.extents = NULL;
}
