/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One vCPU's work: writes pages of its slice of the working set, one page a step, at a given rate,
 * with known values in its registers all the while (registers.h), and checks a page now and then.
 */
#ifndef XM_TESTS_GUESTS_WRITER_H
#define XM_TESTS_GUESTS_WRITER_H

#include "pages.h"
#include "registers.h"
#include "tests/guests/pattern.h"
#include "tsc.h"

#include <stdbool.h>
#include <stdint.h>

/* When the next step is due. */
struct pacer {
	uint64_t khz;
	uint64_t interval; /* ticks per step; 0: as fast as possible */
	uint64_t due;
	bool sleeps; /* WAIT when ahead, instead of spinning */
};

struct writer {
	struct pages *pages;
	uint64_t first; /* the slice of the working set */
	uint64_t count;
	uint64_t scrub_end; /* pages [first, scrub_end) are checked one by one, in turn */
	uint64_t scrub_next;
	struct pattern_order order;
	uint64_t steps;
	uint64_t checksum; /* rolling, of all steps: which page and which number */
	uint64_t check_at; /* when the vector registers are compared and renewed next */
	struct registers registers;
	struct gap gap;
	struct pacer pacer;
};

/* `memory` gives the register areas, before `pages` takes the rest. */
void writer_init(struct writer *writer, unsigned vcpu, uint64_t khz, struct memory *memory,
		 struct faults *faults);

/* The slice, the order of its pages, and the pages [first, scrub_end) to be checked in turn. */
void writer_assign(struct writer *writer, struct pages *pages, uint64_t first, uint64_t count,
		   uint64_t scrub_end, enum pattern_kind kind);

/* MB/s, decimal; 0 is as fast as possible. */
void writer_set_rate(struct writer *writer, uint64_t mbs, bool sleeps);

/* Loads the registers; call it on the vCPU that will step, just before the first step. */
void writer_start(struct writer *writer);

/* Writes one page, without pacing. */
void writer_stamp(struct writer *writer);

/* A step: writes one page, waits until the next is due, checks this and that. Returns the TSC. */
uint64_t writer_step(struct writer *writer);

/* Sleeps by the WAIT call, or until console input is pending, with known values in the
 * registers. */
uint64_t writer_sleep(struct writer *writer, uint64_t until);

/* Compares the vector registers and renews them. On the writer's own vCPU. */
void writer_check_registers(struct writer *writer);

#endif
