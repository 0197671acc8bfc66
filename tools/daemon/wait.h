/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lock, and waiting for what it guards to change, until a deadline or the daemon's end.
 *
 * Threads: any. Waiters and wakers hold the lock.
 */
#ifndef XM_TOOLS_DAEMON_WAIT_H
#define XM_TOOLS_DAEMON_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct xd_wait {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stopped; /* by lock: nobody waits any more */
};

void xd_wait_init(struct xd_wait *wait);

/*
 * Waits for a wake, with the lock held. False: the deadline (xm_now_ns()) has passed or the daemon
 * stops. True says nothing about what changed: callers look again.
 */
bool xd_wait_until(struct xd_wait *wait, uint64_t deadline_ns);

/* Something changed; the lock is held. */
void xd_wait_wake(struct xd_wait *wait);

/* Wakes everybody, for good. Takes the lock. */
void xd_wait_stop(struct xd_wait *wait);

void xd_wait_finish(struct xd_wait *wait);

#endif
