/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When to stop copying: pure functions of what was measured.
 *
 * The predicted pause, if the guest were stopped now, is
 *
 *	(bytes of dirty pages + bytes of state) / rate + the fixed cost of a hand-over
 *
 * Rounds go on while one more is expected to shorten it by a quarter, even below the ceiling; at the ceiling's wrong
 * side they go on until they stop helping or a limit is met. Every answer is final in a bounded
 * number of rounds: CONTINUE is never said beyond limits.rounds.
 *
 * Why pre-copy can be hopeless: let D(t) be the bytes of distinct pages that the guest dirties within t. A round that
 * took t leaves D(t), so the next takes D(t) / rate; rounds shrink only while D(t) < rate x t. If
 * there is a t above the ceiling with D(t) > rate x t, rounds never get shorter than that t. Sampling D early
 * (sample.h) shows it long before the first round is over.
 */
#ifndef XM_MIGRATE_POLICY_H
#define XM_MIGRATE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migrate/migrate.h"

/* A measured D(t): so many bytes of distinct pages were dirtied within so long. */
struct mig_dirty_point {
	uint64_t after_ns;
	uint64_t bytes;
};

#define MIG_DIRTY_POINTS_MAX 8

/* What the link does with pages and how much a hand-over costs besides them. */
struct mig_link {
	uint64_t rate;	    /* bytes of pages (uncompressed) a second; not 0 */
	bool rate_is_limit; /* it is the bandwidth limit, so it will not get better */
	bool rate_is_settled; /* it was measured over a whole round, not while memory was first touched */
	uint64_t fixed_ns;
	uint64_t state_bytes;
};

uint64_t mig_policy_predict(const struct mig_link *link, uint64_t dirty_bytes);

/*
 * Can pre-copy never get below downtime_ns, by these points? Then *ret_pause_ns is the shortest pause that
 * the points allow, and *ret_lasting whether the working set showed its end (so that a longer ceiling helps).
 * The margin is a tenth for a rate that is a limit, a quarter for a settled one; a rate that is measured while
 * the target first touches its memory may still rise eightfold, and counts only after a second and a half.
 */
bool mig_policy_hopeless(const struct mig_link *link, const struct mig_dirty_point *points,
			 size_t count, uint64_t downtime_ns, uint64_t *ret_pause_ns,
			 bool *ret_lasting);

/* At the end of a round. */
struct mig_round_facts {
	struct mig_link link;
	struct mig_limits limits; /* bytes resolved, never 0 */
	uint32_t rounds;	  /* complete */
	uint64_t sent_bytes;	  /* payload of all rounds so far */
	uint64_t dirty_bytes;	  /* what is left: pages dirty now */
	uint64_t dirty_rate;	  /* bytes a second, during the last round */
	uint64_t round_trip_ns;	  /* the least time that a round takes */
	uint64_t previous_ns;	  /* what was predicted a round ago; 0: nothing yet */
	unsigned stalled;	  /* rounds in a row that did not shorten it */
};

enum mig_verdict {
	MIG_CONTINUE,
	MIG_STOP,
	MIG_REFUSE,
};

enum mig_reason {
	MIG_REASON_NONE,
	MIG_REASON_HOPELESS, /* mig_policy_hopeless() */
	MIG_REASON_STALLED,  /* rounds no longer shorten the pause */
	MIG_REASON_ROUNDS,   /* the limit on rounds is met */
	MIG_REASON_BYTES,    /* the limit on bytes is met */
};

struct mig_decision {
	enum mig_verdict verdict;
	enum mig_reason reason; /* of MIG_REFUSE */
	uint64_t predicted_ns;
	uint64_t next_ns; /* predicted after one more round */
	unsigned stalled;
};

/* Rounds in a row that must fail to help before the answer is REFUSE. */
#define MIG_STALLED_MAX 3

void mig_policy_decide(const struct mig_round_facts *facts, struct mig_decision *ret_decision);

/* What a refusal tells the operator. */
struct mig_refusal {
	enum mig_reason reason;
	uint32_t rounds;
	uint64_t dirty_rate;
	uint64_t rate;
	bool rate_is_limit;
	uint64_t pause_ns;   /* that would be reached */
	uint64_t ceiling_ns; /* that was asked for */
	bool lasting;	     /* a longer ceiling would do */
};

/* Writes the sentences: what was measured, and what would help. Returns -EPERM, kind REFUSED. */
int mig_policy_refuse(const struct mig_refusal *refusal, struct xm_error *err);

#endif
