/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's threads and their priorities. A coordinator, whose work lies in the pause, runs at nice -5
 * where the process may do that. The threads that move and populate memory in bulk run at nice 5 at first: they work beside
 * the guest, and whenever they keep a vCPU from its CPU, the guest sees a gap that is longer than the pause. As the
 * pause comes near they are raised too, so that nobody waits for them in it. A process that may not
 * raise priorities again changes none: it is slower on a busy host, and no less right.
 */
#ifndef XM_MIGRATE_THREAD_H
#define XM_MIGRATE_THREAD_H

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

struct xm_error;

/* Starts a thread of that name (at most 15 characters), with all signals blocked. */
int mig_thread_start(pthread_t *ret_thread, void *(*run)(void *), void *argument, const char *name,
		     struct xm_error *err);

/* For a coordinator, whose thread is its caller's: returns what restore() needs. */
int mig_priority_raise(void);
void mig_priority_restore(int earlier);
/* For a thread that works in bulk: lowers it, and returns its id for mig_priority_hurry(). */
pid_t mig_priority_lower(void);
void mig_priority_hurry(pid_t thread); /* 0 is nobody */

/* CPU time of a thread that was not joined yet, and of the calling one. */
uint64_t mig_thread_cpu_ns(pthread_t thread);
uint64_t mig_own_cpu_ns(void);

/* Condition variables that wait by CLOCK_MONOTONIC, as xm_now_ns() counts. */
void mig_cond_init(pthread_cond_t *cond);

#endif
