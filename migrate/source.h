/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sending end's inside. The coordinator, the thread in mig_source_run(), tells the story:
 *
 *	source.c           the story itself, and what a failure undoes
 *	source_setup.c     HELLO, STATIC, the trial state, READY
 *	source_round.c     a round: what is to be sent, the workers' turn, the seal
 *	source_worker.c    a page channel's thread: which pages, in which order
 *	source_batch.c     how pages become a batch: staged, hashed, compressed, submitted
 *	source_handover.c  pause, last pages, state, PREPARED, COMMIT, COMMITTED
 *	source_api.c       what other threads may ask and change meanwhile
 *	source_audit.c     the proof afterwards
 *
 * Lock order: source->lock, then none; control.lock (control.h), then none. Neither is taken under the other.
 */
#ifndef XM_MIGRATE_SOURCE_H
#define XM_MIGRATE_SOURCE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "migrate/control.h"
#include "migrate/layout.h"
#include "migrate/migrate.h"
#include "migrate/policy.h"
#include "migrate/sample.h"
#include "migrate/sections.h"
#include "common/pace.h"
#include "migrate/table.h"
#include "transport/transport.h"

/* Rounds of at most so many pages are sent by the coordinator itself on channel 1: waking workers costs more. */
#define MIG_ALONE_PAGES_MAX 1024
/* In rounds below this many pages nothing is skipped: a peek would cost more than a page sent twice. */
#define MIG_PEEK_PAGES_MIN 4096
/* Pages of one PAGES frame, zero pages included; bounds a worker's memory. */
#define MIG_BATCH_PAGES 4096
/* Pages of one zstd frame. */
#define MIG_ZSTD_PAGES 64

struct mig_source;

/* What a worker did in a round. */
struct mig_tally {
	uint64_t pages;	  /* sent, zero pages included */
	uint64_t content; /* of which with content: RAW or ZSTD */
	uint64_t payload; /* bytes */
	pf_digest digest; /* change of the digest */
};

/*
 * A page channel's worker. All of it belongs to its thread while a round is on and to the coordinator while the
 * worker is parked; the hand-over is under source->lock.
 */
struct mig_source_worker {
	struct mig_source *source;
	unsigned channel;
	pthread_t thread;
	bool started;
	struct xm_pace *pace; /* its thread's, while that runs a round; NULL: nobody rests */

	/* The batch that is being put together. */
	uint32_t object;
	struct tp_buffer *buffer; /* NULL: none borrowed */
	size_t fill;
	struct pf_run *runs; /* PF_RUNS_MAX */
	uint32_t run_count;
	uint64_t *hashes; /* MIG_BATCH_PAGES */
	uint32_t page_count;
	struct pf_buffer body;

	/* Compression; NULL and 0 without. Pages wait in `plain` until their run ends. */
	void *zstd; /* ZSTD_CCtx */
	uint8_t *plain;
	uint32_t plain_count;
	uint64_t plain_first;

	struct mig_tally tally; /* of this round */
	struct xm_error error;
	uint32_t round_seen;
};

/* What the workers are to do. Written by the coordinator while all are parked. */
struct mig_round {
	uint32_t number; /* from 1 */
	bool everything; /* all that is present, not what `pending` says */
	bool skip;	 /* leave pages that are dirty again */
	uint64_t started_ns;
	uint64_t payload_before; /* sent_payload at the start */
};

/* What is measured from round to round; the coordinator's own. */
struct mig_measure {
	uint64_t rate; /* bytes of pages a second; 0: not yet */
	bool rate_is_settled;
	uint64_t payload_percent; /* payload per byte of page, in hundredths */
	uint64_t dirty_rate;
	uint64_t cleaned_ns; /* when the log was last cleaned as a whole */
	uint64_t round_trip_ns;
	uint64_t previous_ns;
	uint64_t predicted_ns;
	uint64_t state_bytes;
	uint64_t probe_ns;
	unsigned stalled;
};

struct mig_source {
	struct mig_source_config config; /* config.config is our copy */
	struct hv_domain *domain;
	struct tp_session *session;
	bool answers;	   /* the session can */
	unsigned channels; /* page channels in use */
	struct mig_control control;

	/* Set up by the coordinator before workers start, constant or per page afterwards. */
	struct mig_layout layout;
	struct mig_table table;
	uint64_t *pending; /* not acknowledged by the target yet */
	uint64_t *skipped; /* left for the next round; set atomically by workers */
	uint64_t *fetched; /* scratch of a whole clean */
	struct mig_sections sections;
	struct hv_log *log; /* NULL: the domain is paused throughout */
	struct mig_sample sample;
	struct mig_measure measure;
	pf_digest digest;
	struct mig_source_worker workers[TP_CHANNELS_MAX];
	bool was_paused;  /* by somebody else, before we came */
	bool paused_here; /* by us */
	uint64_t began_ns;
	uint64_t memory_held;
	uint64_t target_cpu_ns; /* as the target said */
	struct mig_pause pause;

	pthread_mutex_t lock;
	pthread_cond_t changed; /* the coordinator waits: workers done, failed, cancelled, limits */
	pthread_cond_t work;	/* workers wait: a round, the end */
	/* lock: */
	enum mig_state state;
	bool cancelled;
	bool finished;
	bool worker_failed;
	bool limits_changed;
	struct mig_limits limits;
	bool quit;
	unsigned busy; /* workers in the current round */
	uint64_t predicted_ns;
	uint64_t dirty_rate;
	uint64_t rate;
	uint64_t cpu_ns;	/* of threads that ended */
	struct mig_round round; /* written under the lock while all workers are parked */

	/* Atomics: */
	_Atomic uint64_t cursor; /* next block that nobody has claimed */
	_Atomic bool stopping;	 /* workers leave their round at the next block */
	_Atomic bool hurried;	 /* the guest is about to stand still: nobody rests */
	_Atomic uint64_t bytes_max;
	_Atomic uint64_t sent_pages, zero_pages, skipped_pages, sent_payload;
	_Atomic uint64_t round_pages_left;
};

/* source.c */
int mig_source_enter(struct mig_source *source, enum mig_state state, struct xm_error *err);
/* -ECANCELED when somebody called mig_source_cancel(). */
int mig_source_check(struct mig_source *source, struct xm_error *err);

/* source_setup.c */
int mig_source_prepare(struct mig_source *source, struct xm_error *err);
int mig_source_negotiate(struct mig_source *source, struct xm_error *err);

/* source_worker.c */
int mig_worker_init(struct mig_source_worker *worker, struct mig_source *source, unsigned channel,
		    struct xm_error *err);
void mig_worker_finish(struct mig_source_worker *worker);
/* Between two pieces of bulk work: lets the guest have its CPU, until the pause. */
void mig_worker_rest(struct mig_source_worker *worker);
uint64_t mig_worker_memory(const struct mig_source_worker *worker);
int mig_workers_start(struct mig_source *source, struct xm_error *err);
void mig_workers_stop(struct mig_source *source); /* after tp_shutdown() unless all are parked */
/* Sends what a worker can claim of the current round, in the calling thread. */
int mig_worker_run_round(struct mig_source_worker *worker, struct xm_error *err);

/* source_batch.c */
int mig_batch_add(struct mig_source_worker *worker, uint32_t object, uint64_t page,
		  uint64_t row_page, const uint8_t *host, struct xm_error *err);
int mig_batch_flush(struct mig_source_worker *worker, struct xm_error *err);
void mig_batch_drop(struct mig_source_worker *worker);

/* source_round.c */
/* Sends one round and its seal; does not wait for the answer. */
int mig_round_send(struct mig_source *source, bool final, struct xm_error *err);
/* Waits for SEALED; then what was skipped is all that is pending. */
int mig_round_sealed(struct mig_source *source, struct xm_error *err);
/* Adds what was written since the last clean to what is pending; returns how many pages are. */
int mig_round_fetch(struct mig_source *source, uint64_t *ret_pages, struct xm_error *err);

/* source_handover.c */
int mig_source_pause(struct mig_source *source, struct xm_error *err);
int mig_source_stop_and_copy(struct mig_source *source, struct xm_error *err);
int mig_source_hand_over(struct mig_source *source, struct xm_error *err);
int mig_source_finish_file(struct mig_source *source, struct xm_error *err);

/* source_api.c */
void mig_source_fill_progress(struct mig_source *source, struct mig_progress *ret_progress);

#endif
