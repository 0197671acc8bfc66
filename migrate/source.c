// SPDX-License-Identifier: Apache-2.0
/* The story of a domain that leaves, and what is undone when it does not. */
#include "migrate/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "migrate/thread.h"

/* What a hand-over costs beyond what the trial pause showed: waking threads, three messages. */
#define HAND_OVER_NS (500 * XM_NS_PER_US)
/* For how long a lost session is asked whether the target said why. */
#define WHY_TIMEOUT_MS 1000

int mig_source_check(struct mig_source *source, struct xm_error *err)
{
	XM_LOCK_GUARD(&source->lock);

	if (!source->cancelled)
		return 0;
	return xm_fail(err, XM_KIND_CANCELLED, -ECANCELED,
		       "the migration of '%s' was cancelled; the domain stays here",
		       source->config.name);
}

int mig_source_enter(struct mig_source *source, enum mig_state state, struct xm_error *err)
{
	char point[64];

	pthread_mutex_lock(&source->lock);
	source->state = state;
	pthread_mutex_unlock(&source->lock);
	if (source->config.on_state)
		source->config.on_state(source->config.opaque, state);
	snprintf(point, sizeof(point), "migrate.source.%s", mig_state_name(state));
	if (xm_fault(point) < 0)
		return xm_fail(err, XM_KIND_INTERNAL, -EIO, "fault injected at %s", point);
	return state < MIG_COMMIT_SENT ? mig_source_check(source, err) : 0;
}

/* ------------------------------------------------------------------------- pre-copy */

static struct mig_link link_settled(struct mig_source *source, const struct mig_limits *limits)
{
	const struct mig_measure *m = &source->measure;
	struct mig_link link = {
		.rate = m->rate ? m->rate : 1,
		.rate_is_settled = m->rate_is_settled,
		.fixed_ns = m->probe_ns + 2 * m->round_trip_ns + HAND_OVER_NS,
		.state_bytes = m->state_bytes,
	};

	if (limits->bandwidth && m->payload_percent) {
		uint64_t most = limits->bandwidth * 100 / m->payload_percent;

		link.rate_is_limit = link.rate > most - most / 10;
		if (link.rate_is_limit)
			link.rate = most ? most : 1;
	}
	return link;
}

static int refuse(const struct mig_round_facts *facts, const struct mig_decision *decision,
		  struct xm_error *err)
{
	struct mig_refusal refusal = {
		.reason = decision->reason,
		.rounds = facts->rounds,
		.dirty_rate = facts->dirty_rate,
		.rate = facts->link.rate,
		.rate_is_limit = facts->link.rate_is_limit,
		.pause_ns = decision->predicted_ns,
		.ceiling_ns = facts->limits.downtime_ns,
		.lasting = true,
	};

	return mig_policy_refuse(&refusal, err);
}

/* Decides at the end of a round, with `pages` known dirty. */
static int decide(struct mig_source *source, uint64_t pages, enum mig_verdict *ret_verdict,
		  struct xm_error *err)
{
	struct mig_measure *m = &source->measure;
	struct mig_round_facts facts = {
		.rounds = source->round.number,
		.sent_bytes = atomic_load(&source->sent_payload),
		.dirty_bytes = pages * HV_PAGE_SIZE,
		.dirty_rate = m->dirty_rate,
		.round_trip_ns = m->round_trip_ns,
		.previous_ns = m->previous_ns,
		.stalled = m->stalled,
	};
	struct mig_decision decision;

	mig_source_limits(source, &facts.limits);
	facts.link = link_settled(source, &facts.limits);
	mig_policy_decide(&facts, &decision);
	m->previous_ns = decision.predicted_ns;
	m->stalled = decision.stalled;
	pthread_mutex_lock(&source->lock);
	source->predicted_ns = decision.predicted_ns;
	source->dirty_rate = m->dirty_rate;
	source->rate = facts.link.rate;
	pthread_mutex_unlock(&source->lock);
	if (decision.verdict == MIG_REFUSE)
		return refuse(&facts, &decision, err);
	*ret_verdict = decision.verdict;
	return 0;
}

static int pre_copy(struct mig_source *source, struct xm_error *err)
{
	enum mig_verdict verdict = MIG_CONTINUE;
	uint64_t pages;
	int rc;

	rc = mig_source_enter(source, MIG_PRECOPY, err);
	if (rc == 0)
		rc = hv_log_start(source->domain, &source->log, err);
	if (rc == 0)
		rc = mig_sample_start(&source->sample, source->domain, &source->layout, err);
	source->measure.cleaned_ns = xm_now_ns();
	while (rc == 0 && verdict == MIG_CONTINUE) {
		rc = mig_round_send(source, false, err);
		if (rc == 0)
			rc = mig_round_sealed(source, err);
		mig_sample_stop(&source->sample);
		if (rc == 0)
			rc = mig_source_check(source, err);
		if (rc == 0)
			rc = mig_round_fetch(source, &pages, err);
		if (rc == 0)
			rc = decide(source, pages, &verdict, err);
	}
	return rc;
}

/* ------------------------------------------------------------------------- the ends */

/* Whoever loses the session in the middle of a send may find on channel 0 why the target hung up. */
static void ask_why(struct mig_source *source, struct xm_error *err)
{
	struct xm_error told = XM_ERROR_INIT;
	struct pf_header header;
	const void *body;
	bool aborted = false;

	if (err->kind != XM_KIND_NETWORK || !source->answers)
		return;
	tp_set_timeout(source->session, WHY_TIMEOUT_MS);
	tp_set_deadline(source->session, 1);
	while (!aborted &&
	       mig_control_receive(&source->control, &header, &body, &aborted, &told) == 0)
		;
	if (aborted)
		*err = told;
}

/* Before COMMIT: the peer is told why, and the domain is as it was. */
static void undo(struct mig_source *source, struct xm_error *err)
{
	struct xm_error second = XM_ERROR_INIT;

	mig_control_give_up(&source->control, PF_TYPE_ABORT, err);
	mig_workers_stop(source);
	if (source->paused_here && hv_resume(source->domain, &second))
		xm_log(XM_LOG_ERROR,
		       "the domain '%s' could not be resumed after a migration that "
		       "failed: %s",
		       source->config.name, second.text);
	source->paused_here = false;
	mig_source_enter(source, MIG_ABORTED, NULL);
}

static bool commit_was_sent(struct mig_source *source)
{
	XM_LOCK_GUARD(&source->lock);

	return source->state == MIG_COMMIT_SENT;
}

static void unresolved(struct mig_source *source, struct xm_error *err)
{
	char why[XM_ERROR_TEXT_MAX / 2];

	snprintf(why, sizeof(why), "%.*s", (int)sizeof(why) - 1, err->text);
	xm_fail(err, XM_KIND_UNRESOLVED, -EINPROGRESS,
		"COMMIT was sent and no answer came (%s): the domain may run at the target. It "
		"stays "
		"paused here; run `xmigrate resolve %s`",
		why, source->config.name);
	tp_shutdown(source->session);
	mig_workers_stop(source);
	mig_source_enter(source, MIG_UNRESOLVED, NULL);
}

static int tell(struct mig_source *source, struct xm_error *err)
{
	int rc;

	rc = mig_source_enter(source, MIG_NEGOTIATE, err);
	if (rc == 0)
		rc = mig_source_prepare(source, err);
	if (rc == 0)
		rc = mig_source_negotiate(source, err);
	if (rc == 0)
		rc = mig_workers_start(source, err);
	if (rc == 0 && source->config.live && !source->was_paused)
		rc = pre_copy(source, err);
	if (rc == 0)
		rc = mig_source_enter(source, MIG_STOPCOPY, err);
	if (rc == 0)
		rc = mig_source_stop_and_copy(source, err);
	if (rc)
		return rc;
	return source->answers ? mig_source_hand_over(source, err)
			       : mig_source_finish_file(source, err);
}

/* All that the engine holds is allocated before the pause and kept to the end, so this is the most. */
static void count_memory(struct mig_source *source)
{
	source->memory_held = sizeof(*source) + mig_table_bytes(&source->table) +
			      3 * mig_bitmap_bytes(&source->layout) +
			      source->sections.payload_capacity + source->control.payload_capacity;
	for (unsigned i = 0; i < source->channels; i++)
		source->memory_held += mig_worker_memory(&source->workers[i]) +
				       2 * tp_buffer_capacity(source->session);
}

static void fill_result(struct mig_source *source, uint64_t cpu_before,
			struct mig_result *ret_result)
{
	memset(ret_result, 0, sizeof(*ret_result));
	ret_result->pause = source->pause;
	ret_result->pause.probe_ns = source->measure.probe_ns;
	mig_source_fill_progress(source, &ret_result->progress);
	ret_result->state = ret_result->progress.state;
	ret_result->total_ns = xm_now_ns() - source->began_ns;
	ret_result->source_cpu_ns = source->cpu_ns + mig_own_cpu_ns() - cpu_before;
	ret_result->target_cpu_ns = source->target_cpu_ns;
	ret_result->digest = source->digest;
	ret_result->engine_memory_bytes = source->memory_held;
}

int mig_source_run(struct mig_source *source, struct mig_result *ret_result, struct xm_error *err)
{
	struct xm_error own = XM_ERROR_INIT;
	uint64_t cpu_before = mig_own_cpu_ns();
	int earlier = mig_priority_raise();
	int rc;

	if (!err)
		err = &own;
	pthread_mutex_lock(&source->lock);
	source->began_ns = xm_now_ns();
	pthread_mutex_unlock(&source->lock);
	rc = tell(source, err);
	if (rc && commit_was_sent(source)) {
		unresolved(source, err);
	} else if (rc) {
		/* A cancel ends the session, and what failed by that is not the reason. */
		if (mig_source_check(source, err) == 0)
			ask_why(source, err);
		undo(source, err);
	} else {
		mig_workers_stop(source);
	}
	rc = rc ? err->code : 0;
	count_memory(source);
	mig_sample_stop(&source->sample);
	hv_log_stop(source->log);
	source->log = NULL;
	for (unsigned i = 0; i < source->channels; i++)
		mig_worker_finish(&source->workers[i]);
	mig_priority_restore(earlier);
	pthread_mutex_lock(&source->lock);
	source->finished = true;
	pthread_mutex_unlock(&source->lock);
	fill_result(source, cpu_before, ret_result);
	return rc;
}
