/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's threads. They run at a raised priority (nice -5) where the process may do that, because a
 * migration that starves behind its own busy guest takes longer and ends in a longer pause; without the
 * permission they run as they are, which is slower and no less right.
 */
#ifndef XM_MIGRATE_THREAD_H
#define XM_MIGRATE_THREAD_H

#include <pthread.h>
#include <stdint.h>

struct xm_error;

/* Starts a thread of that name (at most 15 characters), with all signals blocked. */
int mig_thread_start(pthread_t *ret_thread, void *(*run)(void *), void *argument, const char *name,
		     struct xm_error *err);

/* Raises the calling thread's priority; returns what restore() needs. */
int mig_priority_raise(void);
void mig_priority_restore(int earlier);

/* CPU time of a thread that was not joined yet, and of the calling one. */
uint64_t mig_thread_cpu_ns(pthread_t thread);
uint64_t mig_own_cpu_ns(void);

/* Condition variables that wait by CLOCK_MONOTONIC, as xm_now_ns() counts. */
void mig_cond_init(pthread_cond_t *cond);

#endif
