/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's clock: the TSC, and the largest gap between two successive readings of it. A payload
 * reads the TSC at least once per page written or checked, so a gap is time during which it did not
 * run: a pause, as the guest sees it, or its own calls to the hypervisor.
 */
#ifndef XM_TESTS_GUESTS_TSC_H
#define XM_TESTS_GUESTS_TSC_H

#include <stdint.h>

/* One per vCPU, written by that vCPU; the others only read and reset what is counted (relaxed
 * atomics). */
struct gap {
	uint64_t last;	     /* the last reading */
	uint64_t max;	     /* ticks, since the last reset */
	uint64_t late_max;   /* the same, without the sleep that the payload asked for */
	uint64_t long_count; /* of which (without sleep) more than long_ticks */
	uint64_t long_ticks; /* 1 ms */
	uint64_t backwards;  /* readings that were before the one before, ever */
};

/* lfence keeps a reading from being taken before the work that stands before it. */
static inline uint64_t tsc_read(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static inline uint64_t tsc_to_ns(uint64_t ticks, uint64_t khz)
{
	return ticks / khz * 1000000 + ticks % khz * 1000000 / khz;
}

static inline uint64_t gap_load(const uint64_t *field)
{
	return __atomic_load_n(field, __ATOMIC_RELAXED);
}

static inline void gap_store(uint64_t *field, uint64_t value)
{
	__atomic_store_n(field, value, __ATOMIC_RELAXED);
}

/* Accounts for the time since the last reading, `ticks` of which the payload itself asked to
 * sleep. */
static inline uint64_t gap_read_slept(struct gap *gap, uint64_t ticks)
{
	uint64_t now = tsc_read();
	uint64_t since = now - gap->last;
	uint64_t late;

	if (now < gap->last) {
		gap_store(&gap->backwards, gap->backwards + 1);
		since = 0;
	}
	gap->last = now;
	late = since > ticks ? since - ticks : 0;
	if (since > gap_load(&gap->max))
		gap_store(&gap->max, since);
	if (late > gap_load(&gap->late_max))
		gap_store(&gap->late_max, late);
	if (late > gap->long_ticks)
		gap_store(&gap->long_count, gap_load(&gap->long_count) + 1);
	return now;
}

/* What hold_spin() may leave out: gaps that change nothing here. */
static inline uint64_t gap_limit(const struct gap *gap)
{
	uint64_t late = gap_load(&gap->late_max);

	return late < gap->long_ticks ? late : gap->long_ticks;
}

static inline uint64_t gap_read(struct gap *gap)
{
	return gap_read_slept(gap, 0);
}

static inline void gap_init(struct gap *gap, uint64_t khz)
{
	gap->long_ticks = khz;
	gap->last = tsc_read();
}

static inline void gap_reset(struct gap *gap)
{
	gap_store(&gap->max, 0);
	gap_store(&gap->late_max, 0);
	gap_store(&gap->long_count, 0);
}

#endif
