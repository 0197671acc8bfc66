// SPDX-License-Identifier: Apache-2.0
/* The story of a domain that arrives. */
#include "migrate/target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/fault.h"
#include "migrate/thread.h"

void mig_target_fail(struct mig_target *target, const struct xm_error *cause)
{
	uint16_t type;
	bool first;

	pthread_mutex_lock(&target->lock);
	first = !target->failed && !target->decided;
	if (first) {
		target->failed = true;
		target->failure = *cause;
	}
	type = target->state <= MIG_NEGOTIATE ? PF_TYPE_REFUSE : PF_TYPE_ABORT;
	pthread_cond_broadcast(&target->arrived);
	pthread_cond_broadcast(&target->opened);
	pthread_mutex_unlock(&target->lock);
	if (first)
		mig_control_give_up(&target->control, type, cause);
}

int mig_target_enter(struct mig_target *target, enum mig_state state, struct xm_error *err)
{
	char point[64];

	pthread_mutex_lock(&target->lock);
	target->state = state;
	pthread_mutex_unlock(&target->lock);
	if (target->config.on_state)
		target->config.on_state(target->config.opaque, state);
	snprintf(point, sizeof(point), "migrate.target.%s", mig_state_name(state));
	if (xm_fault(point) < 0)
		return xm_fail(err, XM_KIND_INTERNAL, -EIO, "fault injected at %s", point);
	return 0;
}

static int tell(struct mig_target *target, struct xm_error *err)
{
	int rc;

	rc = mig_target_enter(target, MIG_NEGOTIATE, err);
	if (rc == 0)
		rc = mig_target_negotiate(target, err);
	if (rc == 0)
		rc = mig_target_enter(target, MIG_RECEIVING, err);
	if (rc == 0)
		rc = mig_target_workers_start(target, err);
	if (rc == 0)
		rc = mig_target_receive_memory(target, err);
	if (rc == 0)
		rc = mig_target_receive_state(target, err);
	if (rc == 0)
		rc = mig_target_hand_over(target, err);
	return rc;
}

/* The domain will not run here. What the first to fail said is the reason, whatever failed after it. */
static int give_up(struct mig_target *target, struct xm_error *err)
{
	mig_target_fail(target, err);
	pthread_mutex_lock(&target->lock);
	*err = target->failure;
	pthread_mutex_unlock(&target->lock);
	mig_target_enter(target, MIG_ABORTED, NULL);
	return err->code;
}

static void fill_result(struct mig_target *target, struct mig_result *ret_result)
{
	memset(ret_result, 0, sizeof(*ret_result));
	mig_target_progress(target, &ret_result->progress);
	ret_result->state = ret_result->progress.state;
	ret_result->pause = target->pause;
	ret_result->total_ns = ret_result->progress.elapsed_ns;
	ret_result->target_cpu_ns = mig_target_cpu_ns(target);
	ret_result->digest = target->digest;
	ret_result->engine_memory_bytes = target->memory_held;
}

static void count_memory(struct mig_target *target)
{
	target->memory_held += sizeof(*target) + mig_table_bytes(&target->table) +
			       mig_layout_blocks(&target->layout) +
			       target->sections.payload_capacity +
			       target->control.payload_capacity +
			       target->populate.count * sizeof(struct pf_extent);
}

int mig_target_run(struct mig_target *target, struct mig_result *ret_result, struct xm_error *err)
{
	struct xm_error own = XM_ERROR_INIT;
	int earlier = mig_priority_raise();
	int rc;

	if (!err)
		err = &own;
	pthread_mutex_lock(&target->lock);
	target->began_ns = xm_now_ns();
	pthread_mutex_unlock(&target->lock);
	target->cpu_before = mig_own_cpu_ns();
	rc = tell(target, err);
	if (rc)
		rc = give_up(target, err);
	tp_shutdown(target->session);
	mig_populate_stop(target);
	mig_target_workers_stop(target);
	count_memory(target);
	mig_populate_finish(target);
	mig_priority_restore(earlier);
	fill_result(target, ret_result);
	return rc;
}
