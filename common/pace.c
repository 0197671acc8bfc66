/* SPDX-License-Identifier: Apache-2.0 */
#include "common/pace.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

#define SLICE_NS       100000u
#define TIMER_SLACK_NS 1000u

/* struct sched_attr of linux/sched/types.h, which clashes with glibc's sched.h. */
struct attributes {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime;
	uint64_t deadline;
	uint64_t period;
};

void xm_sched_slice(uint64_t ns)
{
	struct attributes attributes = {.size = sizeof(attributes)};

	/* Read first: everything but the slice stays as it is. */
	if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) < 0)
		return;
	attributes.runtime = ns;
	syscall(SYS_sched_setattr, 0, &attributes, 0);
}

static uint64_t own_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * XM_NS_PER_S + (uint64_t)now.tv_nsec;
}

void xm_pace_start(struct xm_pace *pace)
{
	xm_sched_slice(SLICE_NS);
	prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
	pace->rested_ns = own_cpu_ns();
	pace->loadavg_fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
	pace->cpus = get_nprocs();
}

/* "0.20 0.18 0.12 3/345 11206": the number before the slash is how many threads run or wait for a CPU. */
static long running_now(const struct xm_pace *pace)
{
	char text[128];
	ssize_t size = pread(pace->loadavg_fd, text, sizeof(text) - 1, 0);
	const char *slash;

	if (size <= 0)
		return 0;
	text[size] = '\0';
	slash = strchr(text, '/');
	if (!slash)
		return 0;
	while (slash > text && slash[-1] != ' ')
		slash--;
	return strtol(slash, NULL, 10);
}

void xm_pace(struct xm_pace *pace)
{
	struct timespec rest = xm_timespec(XM_PACE_REST_NS);
	uint64_t now_ns = own_cpu_ns();

	if (now_ns - pace->rested_ns < XM_PACE_BURST_NS)
		return;
	pace->rested_ns = now_ns;
	if (running_now(pace) > pace->cpus)
		nanosleep(&rest, NULL);
}

void xm_pace_finish(struct xm_pace *pace)
{
	if (pace->loadavg_fd >= 0)
		close(pace->loadavg_fd);
	pace->loadavg_fd = -1;
}
