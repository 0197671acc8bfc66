/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/daemon/wait.h"

#include <errno.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/clock.h"

void xd_wait_init(struct xd_wait *wait)
{
	pthread_condattr_t monotonic;

	pthread_mutex_init(&wait->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&wait->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	wait->stopped = false;
}

bool xd_wait_until(struct xd_wait *wait, uint64_t deadline_ns)
{
	struct timespec deadline = xm_timespec(deadline_ns);

	if (wait->stopped || xm_now_ns() >= deadline_ns)
		return false;
	if (pthread_cond_timedwait(&wait->changed, &wait->lock, &deadline) == ETIMEDOUT)
		return false;
	return !wait->stopped;
}

void xd_wait_wake(struct xd_wait *wait)
{
	pthread_cond_broadcast(&wait->changed);
}

void xd_wait_stop(struct xd_wait *wait)
{
	XM_LOCK_GUARD(&wait->lock);
	wait->stopped = true;
	pthread_cond_broadcast(&wait->changed);
}

void xd_wait_finish(struct xd_wait *wait)
{
	pthread_cond_destroy(&wait->changed);
	pthread_mutex_destroy(&wait->lock);
}
