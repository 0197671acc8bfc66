/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The migration engine: moves a running domain over a session, or into a file.
 *
 * The source copies memory in rounds while the guest runs (iterative pre-copy; Clark et al., "Live
 * Migration of Virtual Machines", NSDI 2005), pauses it for what is left (stop-and-copy), and hands it over:
 *
 *	source: SETUP -> NEGOTIATE -> PRECOPY -> STOPCOPY -> PREPARE_WAIT -> COMMIT_SENT -> COMMITTED
 *	target:          NEGOTIATE -> RECEIVING ----------> PREPARED ------> COMMITTED
 *
 * Exactly one owner: before COMMIT is sent any failure ends with the domain running at the source
 * (ABORTED) and the target's half destroyed. After COMMIT was sent the source never runs the domain again
 * by itself: it learns COMMITTED, or it ends in UNRESOLVED with the domain paused, until its owner has
 * asked the target's host (mig_query()) and resumes or destroys it. An ABORT from the target is such an answer, too:
 * a target sends it only when it has given up for good.
 *
 * With a session that cannot answer (a file), the target's answers are not waited for and the
 * story ends with END on stable storage: state COMMITTED means "saved".
 *
 * Threads: run() blocks its caller and starts a worker per page channel; all other functions may be called from
 * any thread while it runs. destroy() comes after run() has returned.
 */
#ifndef XM_MIGRATE_MIGRATE_H
#define XM_MIGRATE_MIGRATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "proto/messages.h"

struct hv_domain;
struct hv_state;
struct tp_session;
struct mig_source;
struct mig_target;

#define MIG_DOWNTIME_NS_DEFAULT (300ull * 1000 * 1000)
#define MIG_ROUNDS_MAX_DEFAULT	30

enum mig_state {
	MIG_SETUP,
	MIG_NEGOTIATE,
	MIG_PRECOPY,   /* target: MIG_RECEIVING */
	MIG_RECEIVING,
	MIG_STOPCOPY,
	MIG_PREPARE_WAIT, /* source: all is sent */
	MIG_PREPARED,	  /* target: checked and loaded, not running */
	MIG_COMMIT_SENT,
	MIG_COMMITTED,
	MIG_ABORTED,	/* the source runs (or is as it was before), the target's half is gone */
	MIG_UNRESOLVED, /* source only: paused, the outcome is not known */
};

const char *mig_state_name(enum mig_state state); /* "pre-copy", "stop-and-copy", ... */

/* May be changed while a migration runs: mig_source_set_limits(). */
struct mig_limits {
	uint64_t downtime_ns; /* ceiling of the predicted pause; 0 is allowed and refuses nearly always */
	uint64_t bandwidth;   /* bytes per second on the page channels; 0: no limit */
	uint32_t rounds;      /* rounds before the pause, at most; reached: stop if the ceiling is met, else refuse */
	uint64_t bytes;	      /* payload bytes before the pause, at most; 0: four times the domain's memory */
};

struct mig_source_config {
	struct hv_domain *domain;    /* running, or paused (it then stays paused at the target) */
	struct tp_session *session;  /* with channel 0 open */
	uint8_t session_id[PF_SESSION_SIZE];
	char name[PF_NAME_MAX];
	uint8_t uuid[16];
	const char *config; /* the domain's configuration text, given to the target */
	uint64_t epoch;	    /* of the new owner */
	unsigned channels;  /* page channels, 1..PF_CHANNELS_MAX */
	bool live;	    /* false: pause first, then copy everything once */
	int zstd_level;	    /* 0: no compression */
	bool keep_running;  /* save only: the domain goes on here after END (a snapshot) */
	struct mig_limits limits;

	void *opaque;
	/* Records durably that the domain is leaving, before the first byte of memory is sent. May be NULL. */
	int (*record_leaving)(void *opaque, struct xm_error *err);
	/* A step was taken; for display and the event log. May be NULL. Must not block. */
	void (*on_state)(void *opaque, enum mig_state state);
};

/* Where the pause went, nanoseconds; from the source's clock unless said. */
struct mig_pause {
	uint64_t total_ns;    /* first kick to COMMITTED received: an upper bound of what the guest saw */
	uint64_t kick_ns;     /* vCPUs out */
	uint64_t quiesce_ns;  /* I/O exits completed, devices drained */
	uint64_t state_ns;    /* state saved */
	uint64_t pages_ns;    /* last log fetch, last pages staged and sent, seal sent */
	uint64_t transfer_ns; /* from there to PREPARED, less load_ns */
	uint64_t load_ns;     /* target: state loaded */
	uint64_t commit_ns;   /* PREPARED received to COMMITTED received, less resume_ns */
	uint64_t resume_ns;   /* target: COMMIT received to vCPUs let go */
	/*
	 * From the last vCPU's exit to the vCPUs' start, less commit_ns: COMMIT's way to the target is in
	 * it, which no single clock can measure. A lower bound of what the guest saw; total_ns is an upper one.
	 */
	uint64_t engine_ns;
	uint64_t probe_ns;    /* the short pause at NEGOTIATE in which the trial state was read; not in total_ns */
};

struct mig_progress {
	enum mig_state state;
	uint32_t round;
	uint64_t memory_bytes;	  /* of the domain */
	uint64_t sent_pages;	  /* all rounds */
	uint64_t zero_pages;	  /* of which: zero */
	uint64_t skipped_pages;	  /* left for a later round because they were dirty again */
	uint64_t wire_bytes;	  /* on all channels */
	uint64_t remaining_bytes; /* of this round and what is known dirty */
	uint64_t dirty_rate;	  /* bytes per second, of the last round; during round 1 by sampling */
	uint64_t bandwidth;	  /* payload bytes per second, measured */
	uint64_t predicted_pause_ns;
	uint64_t eta_ns;	  /* until the pause, estimated; 0 when unknown */
	uint64_t elapsed_ns;
};

struct mig_result {
	enum mig_state state; /* COMMITTED, ABORTED or UNRESOLVED */
	struct mig_pause pause;
	struct mig_progress progress; /* the last */
	uint64_t total_ns;	      /* run() from begin to end */
	uint64_t source_cpu_ns;	      /* engine threads only, not the vCPUs' */
	uint64_t target_cpu_ns;	      /* as the target said */
	pf_digest digest;	      /* of all of memory, equal on both sides */
	uint64_t engine_memory_bytes; /* the most that this engine held for itself */
};

/*
 * Copies the config (not the domain or session, which outlive the source). Kind USAGE for numbers out of
 * range.
 */
int mig_source_create(const struct mig_source_config *config, struct mig_source **ret_source,
		      struct xm_error *err);

/*
 * Moves the domain. Returns 0 with ret_result->state COMMITTED: the domain here is paused for ever (or, saved with
 * keep_running, runs on). Otherwise -errno, and ret_result->state says who owns the domain:
 * ABORTED, it is here as it was before; UNRESOLVED, it is here, paused, and kind is UNRESOLVED.
 * ret_result is filled in either case. Once per source.
 */
int mig_source_run(struct mig_source *source, struct mig_result *ret_result, struct xm_error *err);

/* Ends a migration that has not sent COMMIT: run() returns -ECANCELED (CANCELLED) and
 * the domain runs on. -EALREADY (CONFLICT) when it is too late. */
int mig_source_cancel(struct mig_source *source, struct xm_error *err);

int mig_source_set_limits(struct mig_source *source, const struct mig_limits *limits,
			  struct xm_error *err);
void mig_source_limits(struct mig_source *source, struct mig_limits *ret_limits);
void mig_source_progress(struct mig_source *source, struct mig_progress *ret_progress);

/*
 * After COMMITTED (or UNRESOLVED, once the owner has learned that the target has the domain), outside the pause: hashes the frozen memory again and compares it with what was sent.
 * *ret_pages is how many pages differ; anything but 0 means that log-dirty missed a write and the copy at
 * the target is wrong (an alarm, kind DATA, -EBADMSG). Slow: about 90 ms per GiB.
 */
int mig_source_audit(struct mig_source *source, uint64_t *ret_pages, struct xm_error *err);

void mig_source_destroy(struct mig_source *source);

/* ----------------------------------------------------------------------- target */

struct mig_target_config {
	struct tp_session *session; /* with channel 0 open */
	void *opaque;
	/*
	 * May this domain come? Called once, after HELLO and STATIC, and before READY. Checks the platform
	 * (hv_platform_check()), reserves name, UUID and memory, and creates the domain, whose regions must
	 * be those announced. An error refuses: its kind and text travel to the source.
	 */
	int (*admit)(void *opaque, const struct pf_hello *hello, const struct pf_static *announced,
		     const struct hv_state *platform, struct hv_domain **ret_domain,
		     struct xm_error *err);
	/*
	 * COMMIT arrived. From 0 on the domain belongs here; an error (somebody had this session aborted
	 * meanwhile) leaves it to the source. Inside the pause: no fsync. For a file: END was
	 * verified.
	 */
	int (*commit)(void *opaque, uint64_t epoch, struct xm_error *err);
	void (*on_state)(void *opaque, enum mig_state state); /* may be NULL */
	bool start_paused; /* restore -p: load, do not run */
};

int mig_target_create(const struct mig_target_config *config, struct mig_target **ret_target,
		      struct xm_error *err);

/*
 * Receives. 0: the domain runs here (or is paused, as it was at the source, or start_paused).
 * Otherwise the domain, if admit() made one, never ran; the caller destroys it.
 */
int mig_target_run(struct mig_target *target, struct mig_result *ret_result, struct xm_error *err);

void mig_target_cancel(struct mig_target *target);
void mig_target_progress(struct mig_target *target, struct mig_progress *ret_progress);
void mig_target_destroy(struct mig_target *target);

/* --------------------------------------------------------------- asking afterwards */

/* Asks the host at the other end of `session` what became of `session_id`. */
int mig_query(struct tp_session *session, const uint8_t *session_id,
	      struct pf_outcome *ret_outcome, struct xm_error *err);

/*
 * The answering side of mig_query(): receives QUERY, asks `decide` (which makes the target give up first and
 * records ABORTED durably, if it was not committed), sends OUTCOME.
 */
int mig_answer_query(struct tp_session *session,
		     int (*decide)(void *opaque, const uint8_t *session_id,
				   struct pf_outcome *ret_outcome, struct xm_error *err),
		     void *opaque, struct xm_error *err);

#endif
