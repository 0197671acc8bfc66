/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/limiter.h"

#include <errno.h>

#include "common/cleanup.h"
#include "common/clock.h"

void tp_limiter_init(struct tp_limiter *limiter)
{
	atomic_init(&limiter->rate, 0);
	pthread_mutex_init(&limiter->lock, NULL);
	pthread_cond_init(&limiter->changed, NULL);
	limiter->tokens = 0;
	limiter->filled_ns = 0;
	limiter->closed = false;
}

void tp_limiter_finish(struct tp_limiter *limiter)
{
	pthread_cond_destroy(&limiter->changed);
	pthread_mutex_destroy(&limiter->lock);
}

/* With the lock held. */
static void refill(struct tp_limiter *limiter, uint64_t now_ns)
{
	double rate = (double)atomic_load(&limiter->rate);
	double burst = rate * TP_LIMITER_BURST_MS / 1000;

	limiter->tokens += rate * (double)(now_ns - limiter->filled_ns) / (double)XM_NS_PER_S;
	if (limiter->tokens > burst)
		limiter->tokens = burst;
	limiter->filled_ns = now_ns;
}

void tp_limiter_set(struct tp_limiter *limiter, uint64_t bytes_per_s)
{
	XM_LOCK_GUARD(&limiter->lock);
	/* What was saved or owed without a limit is forgotten, and so is it once there is none. */
	if (atomic_load(&limiter->rate) == 0 || bytes_per_s == 0)
		limiter->tokens = 0;
	refill(limiter, xm_now_ns());
	atomic_store(&limiter->rate, bytes_per_s);
	pthread_cond_broadcast(&limiter->changed);
}

/* With the lock held: sleeps until there should be a token, or something changed. */
static void wait_for_token(struct tp_limiter *limiter, double rate)
{
	/* One byte more than the debt, so that rounding never wakes us a moment too early. */
	double wait_ns = (1 - limiter->tokens) / rate * (double)XM_NS_PER_S;
	struct timespec until = xm_timespec(limiter->filled_ns + (uint64_t)wait_ns + 1);

	pthread_cond_clockwait(&limiter->changed, &limiter->lock, CLOCK_MONOTONIC, &until);
}

int tp_limiter_take(struct tp_limiter *limiter, uint64_t bytes)
{
	if (atomic_load(&limiter->rate) == 0)
		return 0;

	XM_LOCK_GUARD(&limiter->lock);
	while (!limiter->closed) {
		double rate = (double)atomic_load(&limiter->rate);

		if (rate == 0)
			return 0;
		refill(limiter, xm_now_ns());
		if (limiter->tokens > 0) {
			limiter->tokens -= (double)bytes;
			return 0;
		}
		wait_for_token(limiter, rate);
	}
	return -ECANCELED;
}

void tp_limiter_close(struct tp_limiter *limiter)
{
	XM_LOCK_GUARD(&limiter->lock);
	limiter->closed = true;
	pthread_cond_broadcast(&limiter->changed);
}
