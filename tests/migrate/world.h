/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two hosts in one process: a fake domain at the source, a session, and a receiver in a thread of its own.
 *
 *	struct world world = {.channels = 2, .live = true, ...};
 *	world_open(&world);	domain running, session joined
 *	world_move(&world);	both ends run to their end
 *	... look at world.source_rc, world.moved, world.source_result ...
 *	world_close(&world);	checks that nothing was left behind
 */
#ifndef XM_TESTS_MIGRATE_WORLD_H
#define XM_TESTS_MIGRATE_WORLD_H

#include "tests/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "migrate/migrate.h"
#include "tests/fake/fake.h"
#include "transport/transport.h"

enum world_transport {
	WORLD_MEMORY,
	WORLD_TCP,
	WORLD_FILE, /* world_move() saves, then restores */
};

#define WORLD_REPORTS 16

struct world {
	/* What is wanted; zero means the default. */
	enum world_transport transport;
	unsigned channels; /* 1 */
	bool live;
	int zstd_level;
	uint64_t memory_bytes; /* 32 MiB */
	uint64_t working_set;  /* pages: 2048 */
	uint64_t hot;
	uint64_t first_steps;	  /* before the move: 5000 */
	struct mig_limits limits; /* rounds 0: the defaults */
	bool paused;		  /* the domain is paused before it moves */
	bool keep_running;
	bool start_paused;
	fake_hook *hook; /* of the source's domain */
	fake_hook *target_hook;
	void *hook_data;
	int (*admit_error)(struct xm_error *err); /* the target's admission ends so */
	int (*commit_error)(struct xm_error *err);
	void (*on_source_state)(struct world *world, enum mig_state state);
	void (*on_target_state)(struct world *world, enum mig_state state);

	/* What is there. */
	struct hv_domain *source; /* as the domain at the source, and what arrived */
	struct hv_domain *moved;
	struct tp_session *source_session;
	struct tp_session *target_session;
	int listener;
	int file;
	pthread_t acceptor;
	bool accepting;
	struct mig_source *engine;
	struct mig_target *receiver;
	unsigned threads_before;
	unsigned fds_before;

	/* What came of it. */
	int source_rc, target_rc;
	struct xm_error source_error, target_error;
	struct mig_result source_result, target_result;
	_Atomic unsigned leaving, commits;
	uint64_t committed_epoch;
};

void world_open(struct world *world);
void world_move(struct world *world);
void world_close(struct world *world);

/* The parts of world_move(), for tests that play one end themselves. */
void world_start_target(struct world *world);
void world_run_source(struct world *world);
void world_join_target(struct world *world);

/* The domain moved: committed on both sides, memory and registers exact, running at the target alone. */
void world_assert_moved(struct world *world);
/* It did not: both ends failed, the domain runs at the source as if nothing had been. */
void world_assert_stayed(struct world *world);

/* world_session.c */
void world_join(struct world *world);
void world_part(struct world *world);
unsigned world_count_threads(void);
unsigned world_count_fds(void);
/* For WORLD_FILE: the same file, from its begin, for reading. */
void world_reopen_file(struct world *world);

#endif
