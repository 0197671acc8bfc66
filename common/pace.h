/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bulk work beside a running guest.
 *
 * When more threads want to run than the host has CPUs, one that works in bulk keeps a vCPU off its CPU until
 * the scheduler's next tick: 4 ms at 250 Hz, and the guest sees a gap that is longer than the pause of the whole
 * migration. A thread that paces itself works in bursts of XM_PACE_BURST_NS and then sleeps for XM_PACE_REST_NS, and since a
 * sleeper is woken by a precise timer and not by the tick, the guest waits for a burst at most. Where CPUs are free
 * nobody sleeps: what is asked is how many threads are running now (/proc/loadavg).
 *
 *	struct xm_pace pace;
 *	xm_pace_start(&pace);
 *	while (work()) xm_pace(&pace);
 *	xm_pace_finish(&pace);
 *
 * Threads: a pace belongs to the thread that started it.
 */
#ifndef XM_COMMON_PACE_H
#define XM_COMMON_PACE_H

#include <stdint.h>

#define XM_PACE_BURST_NS 300000u /* well below a tick, well above the cost of a switch */
#define XM_PACE_REST_NS	 100000u

struct xm_pace {
	uint64_t rested_ns; /* the thread's CPU time at its last rest */
	int loadavg_fd;	    /* -1: cannot be read, and nobody rests */
	long cpus;
};

/* Also asks the scheduler for short slices and precise timers, so that a rest ends when it should. */
void xm_pace_start(struct xm_pace *pace);

/* Between two pieces of work, each shorter than a burst: rests, if the burst is over and CPUs are short. */
void xm_pace(struct xm_pace *pace);

void xm_pace_finish(struct xm_pace *pace);

/*
 * Asks for time slices of `ns` for the calling thread (Linux clamps them to 0.1..100 ms; before Linux 6.12 nothing
 * happens). A thread with a shorter slice gets no more CPU time, but when it wakes it waits less
 * (sched_setattr(2), sched_runtime of SCHED_OTHER; the EEVDF scheduler).
 */
void xm_sched_slice(uint64_t ns);

#endif
