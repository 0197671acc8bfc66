/* SPDX-License-Identifier: Apache-2.0 */
#include "pages.h"

#include "hypercall.h"
#include "tests/guests/pattern.h"

#define PAGES_PER_MIB 256u

static uint64_t clamp(const struct pages *pages, const char *what, uint64_t mib, uint64_t limit)
{
	struct text line;

	if (mib <= limit / PAGES_PER_MIB)
		return mib * PAGES_PER_MIB;
	if (mib != UINT64_MAX) {
		text_start(&line);
		text_add(&line, pages->faults->payload);
		text_add(&line, ": ");
		text_add(&line, what);
		text_add(&line, " of ");
		text_decimal(&line, mib);
		text_add(&line, " MiB does not fit, using ");
		text_decimal(&line, limit);
		text_add(&line, " pages of 4 KiB");
		console_line(&line);
	}
	return limit;
}

void pages_init(struct pages *pages, const struct memory *memory, uint64_t working_mib,
		uint64_t populate_mib, uint64_t multiple, uint64_t seed, struct faults *faults)
{
	uint64_t contiguous = memory->count ? memory->runs[0].pages : 0;
	uint64_t limit = memory_pages(memory);

	/* Each page of the working set costs 8 bytes of table, which is contiguous in the first
	 * run. */
	limit = limit > 0 ? (limit - 1) * 512 / 513 : 0;
	if (limit > contiguous * 512)
		limit = contiguous * 512;
	pages->memory = *memory;
	pages->seed = seed;
	pages->faults = faults;
	pages->working = clamp(pages, "working_set", working_mib, limit);
	pages->working -= pages->working % multiple;
	if (pages->working == 0)
		payload_refuse("memory", "", "there is no room for a working set");
	pages->steps = memory_take(&pages->memory, pages->working * 8);
	memory_reverse(&pages->memory);
	pages->populated = clamp(pages, "populate", populate_mib, memory_pages(&pages->memory));
	if (pages->populated < pages->working)
		pages->populated = pages->working;
}

void pages_populate(struct pages *pages)
{
	for (uint64_t index = 0; index < pages->populated; index++) {
		uint64_t gfn = memory_gfn(&pages->memory, index);

		pattern_fill(memory_page(gfn), gfn, 0, pages->seed);
	}
}

static unsigned count_wrong(const uint64_t *page, uint64_t first_word)
{
	unsigned wrong = 0;

	for (unsigned word = 0; word < PATTERN_WORDS; word++)
		wrong += page[word] != pattern_word(first_word, word);
	return wrong;
}

static void tell(const struct pages *pages, uint64_t gfn, uint64_t step, unsigned word)
{
	uint64_t first_word = pattern_first_word(gfn, step, pages->seed);
	uint64_t found = memory_page(gfn)[word];
	uint64_t holds = pattern_step_of(found, word, gfn, pages->seed);
	struct text line;

	fault_start(pages->faults, &line, "page ");
	text_hex(&line, gfn);
	text_add(&line, " word ");
	text_decimal(&line, word);
	text_add(&line, " is not of step ");
	text_decimal(&line, step);
	/* A number that could be a step is one: anything else in the page gives a random number
	 * of 64 bits. */
	if (holds >> 48 == 0) {
		text_add(&line, " but of step ");
		text_decimal(&line, holds);
	} else {
		text_add(&line, " nor of any other");
	}
	text_add(&line, "; words wrong: ");
	text_decimal(&line, count_wrong(memory_page(gfn), first_word));
	text_add(&line, ";");
	fault_values(pages->faults, &line, pattern_word(first_word, word), found);
}

void pages_check(const struct pages *pages, uint64_t index)
{
	uint64_t step = index < pages->working ? pages->steps[index] : 0;
	uint64_t gfn = memory_gfn(&pages->memory, index);
	unsigned word = pattern_check(memory_page(gfn), gfn, step, pages->seed);

	if (word < PATTERN_WORDS)
		tell(pages, gfn, step, word);
}

uint64_t pages_check_all(const struct pages *pages, struct gap *gap)
{
	for (uint64_t index = 0; index < pages->populated; index++) {
		pages_check(pages, index);
		gap_read(gap);
	}
	return pages->populated;
}
