/* SPDX-License-Identifier: Apache-2.0 */
/* Time in nanoseconds, from one clock for every measurement (CLOCK_MONOTONIC). */
#ifndef XM_COMMON_CLOCK_H
#define XM_COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

#define XM_NS_PER_US 1000ull
#define XM_NS_PER_MS 1000000ull
#define XM_NS_PER_S  1000000000ull

static inline uint64_t xm_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * XM_NS_PER_S + (uint64_t)now.tv_nsec;
}

/* CPU time this process has used, all threads, user and system. */
static inline uint64_t xm_process_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * XM_NS_PER_S + (uint64_t)now.tv_nsec;
}

static inline struct timespec xm_timespec(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / XM_NS_PER_S),
				 .tv_nsec = (long)(ns % XM_NS_PER_S)};
}

#endif
