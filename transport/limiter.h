/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token bucket that the senders of a session share.
 *
 * Tokens are bytes. They come at the limit's rate, up to a burst of TP_LIMITER_BURST_MS; a sender
 * waits until there is at least one, and then takes its whole frame, so the bucket can be in debt
 * by a frame. That keeps the long-run rate exact, whatever the size of frames.
 *
 * Threads: any; all fields but `rate` are guarded by `lock`.
 */
#ifndef XM_TRANSPORT_LIMITER_H
#define XM_TRANSPORT_LIMITER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TP_LIMITER_BURST_MS 10u

struct tp_limiter {
	atomic_ullong rate; /* bytes per second, 0: no limit; written under `lock` */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	double tokens;
	uint64_t filled_ns; /* when `tokens` was last brought up to date */
	bool closed;
};

void tp_limiter_init(struct tp_limiter *limiter);
void tp_limiter_finish(struct tp_limiter *limiter);

/* Takes effect at once, for those who wait as well. */
void tp_limiter_set(struct tp_limiter *limiter, uint64_t bytes_per_s);

/* Waits for its turn; -ECANCELED after tp_limiter_close(). */
int tp_limiter_take(struct tp_limiter *limiter, uint64_t bytes);

/* Sends everybody away, for good. */
void tp_limiter_close(struct tp_limiter *limiter);

#endif
