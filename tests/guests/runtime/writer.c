/* SPDX-License-Identifier: Apache-2.0 */
#include "writer.h"

#include "contract.h"

#define STEPS_PER_SCRUB 64u

/* A writer that is later than this does not catch up: the time is lost, as for a guest that was
 * paused. */
#define LATE_MS_MAX 10u

/* When ahead, a sleeping writer sleeps so much longer than needed, then writes what is due in
 * one go. */
#define SLEEP_MS 1u

void writer_init(struct writer *writer, unsigned vcpu, uint64_t khz, struct memory *memory,
		 struct faults *faults)
{
	writer->steps = 0;
	writer->pacer.khz = khz;
	registers_init(&writer->registers, vcpu, memory, faults);
}

void writer_assign(struct writer *writer, struct pages *pages, uint64_t first, uint64_t count,
		   uint64_t scrub_end, enum pattern_kind kind)
{
	writer->pages = pages;
	writer->first = first;
	writer->count = count;
	writer->scrub_end = scrub_end;
	writer->scrub_next = first;
	writer->checksum = pattern_mix(pages->seed + first);
	pattern_order_init(&writer->order, kind, count, pages->seed + first);
}

void writer_set_rate(struct writer *writer, uint64_t mbs, bool sleeps)
{
	struct pacer *pacer = &writer->pacer;

	/* khz * 1000 ticks a second, mbs * 10^6 / 4096 pages a second. */
	pacer->interval = mbs ? pacer->khz * PATTERN_PAGE_SIZE / (mbs * 1000) : 0;
	pacer->due = tsc_read();
	pacer->sleeps = sleeps;
}

void writer_start(struct writer *writer)
{
	gap_init(&writer->gap, writer->pacer.khz);
	held_set(&writer->registers.held, writer->checksum);
	registers_load(&writer->registers, writer->checksum);
	writer->pacer.due = writer->gap.last;
	writer->check_at = writer->gap.last + writer->pacer.khz;
}

void writer_check_registers(struct writer *writer)
{
	registers_check(&writer->registers);
	registers_load(&writer->registers, writer->checksum);
	writer->check_at = writer->gap.last + writer->pacer.khz;
}

void writer_stamp(struct writer *writer)
{
	struct pages *pages = writer->pages;
	uint64_t step = gap_load(&writer->steps) + 1;
	uint64_t index = writer->first + pattern_order_page(&writer->order, step);
	uint64_t gfn = memory_gfn(&pages->memory, index);
	uint64_t first_word = pattern_first_word(gfn, step, pages->seed);

	writer->checksum = pattern_mix(writer->checksum + first_word);
	held_set(&writer->registers.held, writer->checksum);
	gap_store(&writer->steps, step);
	pages->steps[index] = step;
	hold_write(&writer->registers.held, memory_page(gfn), first_word, PATTERN_WORD_INCREMENT);
	held_check(&writer->registers);
}

static uint64_t spin_until(struct writer *writer, uint64_t until)
{
	struct gap *gap = &writer->gap;
	uint64_t now;

	do {
		hold_spin(&writer->registers.held, &gap->last, until, gap_limit(gap));
		held_check(&writer->registers);
		now = gap_read(gap);
	} while (now < until && until - now <= writer->pacer.interval);
	return now;
}

uint64_t writer_sleep(struct writer *writer, uint64_t until)
{
	struct wait_block block = {.tsc = until};
	uint64_t asked = until > writer->gap.last ? until - writer->gap.last : 0;

	hold_call(&writer->registers.held, CONTRACT_WAIT, (uint32_t)(uintptr_t)&block);
	held_check(&writer->registers);
	return gap_read_slept(&writer->gap, asked);
}

static uint64_t pace(struct writer *writer)
{
	struct pacer *pacer = &writer->pacer;
	uint64_t now = gap_read(&writer->gap);

	if (pacer->interval == 0)
		return now;
	pacer->due += pacer->interval;
	if (now > pacer->due + LATE_MS_MAX * pacer->khz || pacer->due > now + pacer->interval)
		pacer->due = now;
	if (now >= pacer->due)
		return now;
	if (pacer->sleeps)
		return writer_sleep(writer, pacer->due + SLEEP_MS * pacer->khz);
	return spin_until(writer, pacer->due);
}

static void scrub(struct writer *writer)
{
	pages_check(writer->pages, writer->scrub_next);
	writer->scrub_next++;
	if (writer->scrub_next == writer->scrub_end)
		writer->scrub_next = writer->first;
}

uint64_t writer_step(struct writer *writer)
{
	uint64_t now;

	writer_stamp(writer);
	now = pace(writer);
	if (writer->steps % STEPS_PER_SCRUB == 0)
		scrub(writer);
	if (now >= writer->check_at || writer->check_at > now + writer->pacer.khz)
		writer_check_registers(writer);
	return now;
}
