// SPDX-License-Identifier: Apache-2.0
#include "migrate/thread.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/error.h"
#include "common/pace.h"

#define COORDINATOR_NICE     (-5)
#define COORDINATOR_SLICE_NS 100000u

int mig_thread_start(pthread_t *ret_thread, void *(*run)(void *), void *argument, const char *name,
		     struct xm_error *err)
{
	sigset_t all, before;
	pthread_t thread;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&thread, NULL, run, argument);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc)
		return xm_fail_errno(err, XM_KIND_HOST, -rc, "cannot start the thread %s", name);
	pthread_setname_np(thread, name);
	*ret_thread = thread;
	return 0;
}

int mig_priority_raise(void)
{
	int earlier = getpriority(PRIO_PROCESS, (id_t)gettid());

	/* Best effort, as the header says: EACCES and EPERM leave the thread as it is. */
	if (earlier > COORDINATOR_NICE)
		setpriority(PRIO_PROCESS, (id_t)gettid(), COORDINATOR_NICE);
	xm_sched_slice(COORDINATOR_SLICE_NS);
	return earlier;
}

void mig_priority_restore(int earlier)
{
	setpriority(PRIO_PROCESS, (id_t)gettid(), earlier);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now))
		return 0;
	return (uint64_t)now.tv_sec * XM_NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t mig_thread_cpu_ns(pthread_t thread)
{
	clockid_t clock;

	if (pthread_getcpuclockid(thread, &clock))
		return 0;
	return clock_ns(clock);
}

uint64_t mig_own_cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

void mig_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attributes);
	pthread_condattr_destroy(&attributes);
}
