// SPDX-License-Identifier: Apache-2.0
/*
 * A page channel's thread: receives batches and applies them, each in its round. A batch of a later round waits here,
 * and what follows it waits in the connection, until every channel has brought all of the round before.
 */
#include "migrate/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "common/cleanup.h"
#include "migrate/thread.h"

int mig_target_await_round(struct mig_target *target, uint32_t round, struct xm_error *err)
{
	XM_LOCK_GUARD(&target->lock);

	if (round < target->round)
		return xm_fail(err, XM_KIND_DATA, -EPROTO,
			       "the source broke the protocol: pages of round %u came after its "
			       "seal",
			       round);
	while (!target->failed && !target->closing && round > target->round)
		pthread_cond_wait(&target->opened, &target->lock);
	if (target->failed || target->closing)
		return xm_fail(err, XM_KIND_CANCELLED, -ECANCELED, "the migration has ended");
	return 0;
}

static int receive_batch(struct mig_target_worker *worker, struct xm_error *err)
{
	struct pf_header header;
	const void *body;
	int rc;

	rc = tp_receive(worker->target->session, worker->channel, &header, &body, err);
	if (rc)
		return rc;
	if (header.type != PF_TYPE_PAGES)
		return xm_fail(err, XM_KIND_DATA, -EPROTO,
			       "the source broke the protocol: a frame of type %u came on page "
			       "channel %u",
			       header.type, worker->channel);
	return mig_target_apply(worker, &header, body, err);
}

static uint64_t memory_of(const struct mig_target_worker *worker)
{
	return PF_RUNS_MAX * (sizeof(*worker->runs) + sizeof(*worker->parts)) +
	       worker->hashes_capacity * sizeof(*worker->hashes) + worker->packed_capacity +
	       (worker->zstd ? ZSTD_sizeof_DCtx(worker->zstd) : 0);
}

/*
 * The channel has ended. As it should, when nothing more was expected, or when a file is at its end. A lost connection is
 * left to the coordinator, which may find on channel 0 why the source hung up, and else misses our frames at the
 * next seal. Anything else is ours to tell.
 */
static bool is_ours_to_tell(struct mig_target_worker *worker, int rc, const struct xm_error *err)
{
	struct mig_target *target = worker->target;
	XM_LOCK_GUARD(&target->lock);

	worker->ended = true;
	worker->error = *err;
	worker->memory = memory_of(worker);
	target->cpu_ns += mig_own_cpu_ns();
	pthread_cond_signal(&target->arrived);
	if (target->closing || target->failed || (rc == -ENODATA && !target->answers))
		return false;
	return err->kind != XM_KIND_NETWORK;
}

void mig_target_rest(struct mig_target *target, struct xm_pace *pace)
{
	if (!atomic_load_explicit(&target->hurried, memory_order_relaxed))
		xm_pace(pace);
}

static void *worker_thread(void *argument)
{
	struct mig_target_worker *worker = argument;
	struct xm_error err = XM_ERROR_INIT;
	int rc;

	xm_pace_start(&worker->pace);
	do {
		rc = receive_batch(worker, &err);
		mig_target_rest(worker->target, &worker->pace);
	} while (rc == 0);
	xm_pace_finish(&worker->pace);
	if (is_ours_to_tell(worker, rc, &err))
		mig_target_fail(worker->target, &err);
	return NULL;
}

static int start_one(struct mig_target *target, unsigned i, struct xm_error *err)
{
	struct mig_target_worker *worker = &target->workers[i];
	char name[24];
	int rc;

	worker->target = target;
	worker->channel = i + 1;
	worker->runs = calloc(PF_RUNS_MAX, sizeof(*worker->runs));
	worker->parts = calloc(PF_RUNS_MAX, sizeof(*worker->parts));
	if (!worker->runs || !worker->parts)
		return xm_fail(err, XM_KIND_HOST, -ENOMEM, "no memory for a page channel");
	snprintf(name, sizeof(name), "mig-recv-%u", worker->channel);
	rc = mig_thread_start(&worker->thread, worker_thread, worker, name, err);
	worker->started = rc == 0;
	return rc;
}

int mig_target_workers_start(struct mig_target *target, struct xm_error *err)
{
	int rc = 0;

	for (unsigned i = 0; i < target->hello.channels && rc == 0; i++)
		rc = start_one(target, i, err);
	return rc;
}

void mig_target_workers_stop(struct mig_target *target)
{
	pthread_mutex_lock(&target->lock);
	target->closing = true;
	pthread_cond_broadcast(&target->opened);
	pthread_mutex_unlock(&target->lock);
	for (unsigned i = 0; i < TP_CHANNELS_MAX; i++) {
		struct mig_target_worker *worker = &target->workers[i];

		if (worker->started)
			pthread_join(worker->thread, NULL);
		worker->started = false;
		target->memory_held += worker->memory;
		free(worker->runs);
		free(worker->parts);
		free(worker->hashes);
		free(worker->packed);
		ZSTD_freeDCtx(worker->zstd);
		worker->runs = NULL;
		worker->parts = NULL;
		worker->hashes = NULL;
		worker->packed = NULL;
		worker->zstd = NULL;
	}
}

/* Of all engine threads so far, those that run included. */
uint64_t mig_target_cpu_ns(struct mig_target *target)
{
	uint64_t cpu = mig_own_cpu_ns() - target->cpu_before;
	XM_LOCK_GUARD(&target->lock);

	cpu += target->cpu_ns;
	for (unsigned i = 0; i < TP_CHANNELS_MAX; i++)
		if (target->workers[i].started && !target->workers[i].ended)
			cpu += mig_thread_cpu_ns(target->workers[i].thread);
	return cpu;
}
