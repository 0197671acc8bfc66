/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiving end's inside. The coordinator, the thread in mig_target_run(), tells the story:
 *
 *	target.c           the story itself
 *	target_setup.c     HELLO, STATIC, admission, the trial load, READY
 *	target_worker.c    a page channel's thread, and the rule that rounds are applied in order
 *	target_apply.c     one batch: read into guest memory, checked, entered in the table
 *	target_populate.c  touches memory ahead of the pages that will come
 *	target_handover.c  seals, state, PREPARED, COMMIT, COMMITTED
 *	target_api.c       create, cancel, progress, destroy
 *
 * Everything that comes from the wire is hostile: messages are checked when they are decoded, and against this
 * domain here, before they are used.
 *
 * Lock order: target->lock, then none; control.lock, then none. Neither is taken under the other.
 */
#ifndef XM_MIGRATE_TARGET_H
#define XM_MIGRATE_TARGET_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "migrate/control.h"
#include "migrate/layout.h"
#include "migrate/migrate.h"
#include "common/pace.h"
#include "migrate/sections.h"
#include "migrate/table.h"
#include "transport/transport.h"

struct mig_target;

/* What a channel has brought and we have applied. */
struct mig_arrived {
	uint64_t seq; /* of the last frame */
	uint64_t pages;
	uint64_t payload;
	pf_digest digest; /* change of the digest */
};

/* A page channel's worker; fields without a lock are its thread's own. */
struct mig_target_worker {
	struct mig_target *target;
	unsigned channel;
	pthread_t thread;
	bool started;
	struct xm_pace pace;
	struct pf_run *runs;	 /* PF_RUNS_MAX */
	struct iovec *parts;	 /* PF_RUNS_MAX */
	uint64_t *hashes;	 /* of the batch; grows to PF_BATCH_PAGES_MAX */
	uint32_t hashes_capacity;
	uint8_t *packed; /* compressed bytes; grows to what a frame may carry */
	uint32_t packed_capacity;
	void *zstd; /* ZSTD_DCtx, made when first needed */

	/* target->lock: */
	struct mig_arrived arrived;
	bool ended;	       /* the channel will bring no more */
	struct xm_error error; /* why, if it was lost: the coordinator learns more on channel 0 */
	uint64_t memory;
};

struct mig_populate {
	pthread_t thread;
	bool started;
	struct pf_extent *extents; /* taken over from STATIC */
	uint32_t count;
	_Atomic bool stop;
};

struct mig_target {
	struct mig_target_config config;
	struct tp_session *session;
	bool answers;
	struct mig_control control;

	/* Set up by the coordinator before workers start. */
	struct hv_domain *domain;
	struct pf_hello hello;
	struct mig_layout layout;
	struct mig_table table;
	struct mig_sections sections;
	struct mig_populate populate;
	struct mig_target_worker workers[TP_CHANNELS_MAX];

	/* The coordinator's own. */
	pf_digest digest;
	uint64_t load_ns;
	bool paused; /* the domain was, at the source */
	uint64_t began_ns;
	uint64_t cpu_before;
	uint64_t memory_held;
	struct mig_pause pause;

	pthread_mutex_t lock;
	pthread_cond_t arrived; /* the coordinator waits for frames that a seal names */
	pthread_cond_t opened;	/* workers wait for the next round to be opened */
	/* lock: */
	enum mig_state state;
	bool failed;		 /* `failure` says why; the domain will never run here */
	struct xm_error failure; /* the first */
	bool decided;		 /* COMMIT was accepted: nothing can fail any more */
	bool closing;		 /* no more frames are expected: channels may end */
	uint32_t round;		 /* open: batches of it are applied */
	uint64_t cpu_ns;	 /* of threads that ended */

	_Atomic uint64_t received_pages, zero_pages;
	_Atomic bool hurried; /* the last round is near: nobody rests */
};

/* target.c */
int mig_target_enter(struct mig_target *target, enum mig_state state, struct xm_error *err);
/* Somebody failed: the first to say so is believed, the source is told, everybody is woken. */
void mig_target_fail(struct mig_target *target, const struct xm_error *cause);

/* target_setup.c */
int mig_target_negotiate(struct mig_target *target, struct xm_error *err);

/* target_worker.c */
int mig_target_workers_start(struct mig_target *target, struct xm_error *err);
void mig_target_workers_stop(struct mig_target *target); /* after tp_shutdown() */
/* Waits until a round is open; -ECANCELED when the migration failed first. */
int mig_target_await_round(struct mig_target *target, uint32_t round, struct xm_error *err);
uint64_t mig_target_cpu_ns(struct mig_target *target);

/* target_apply.c */
int mig_target_apply(struct mig_target_worker *worker, const struct pf_header *header,
		     const void *body, struct xm_error *err);

/* target_worker.c: between two pieces of bulk work; the source's guest may share our CPUs. */
void mig_target_rest(struct mig_target *target, struct xm_pace *pace);

/* target_populate.c */
int mig_populate_start(struct mig_target *target, struct pf_static *announced,
		       struct xm_error *err);
/* Makes sure that a run's memory is populated. */
int mig_populate_run(struct mig_target *target, uint32_t object, uint64_t first, uint64_t count,
		     struct xm_error *err);
void mig_populate_stop(struct mig_target *target);
void mig_populate_finish(struct mig_target *target);

/* target_handover.c */
int mig_target_receive_memory(struct mig_target *target, struct xm_error *err);
int mig_target_receive_state(struct mig_target *target, struct xm_error *err);
int mig_target_hand_over(struct mig_target *target, struct xm_error *err);
int mig_target_load(struct mig_target *target, enum pf_state_purpose purpose,
		    const struct pf_header *header, const void *body, struct xm_error *err);

#endif
