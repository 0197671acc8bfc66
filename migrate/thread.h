/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's threads and their priorities. A coordinator, whose work lies in the pause, runs at nice -5 where the
 * process may do that, and asks for short slices. Threads that move and populate memory in bulk pace themselves
 * (common/pace.h): they work beside the guest, and whenever they keep a vCPU from its CPU, the guest
 * sees a gap. Once the pause is near they stop resting, so that nobody waits for them in it.
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
/* CPU time of a thread that was not joined yet, and of the calling one. */
uint64_t mig_thread_cpu_ns(pthread_t thread);
uint64_t mig_own_cpu_ns(void);

/* Condition variables that wait by CLOCK_MONOTONIC, as xm_now_ns() counts. */
void mig_cond_init(pthread_cond_t *cond);

#endif
