/* SPDX-License-Identifier: Apache-2.0 */
/* dirty: writes the pages of a working set at a given rate, each as a function of its step
 * (docs/guest-payloads.md). */
#include "runtime/args.h"
#include "runtime/hypercall.h"
#include "runtime/payload.h"
#include "runtime/session.h"
#include "runtime/writer.h"

enum { SPIN, SLEEP };
enum { VECTOR_ALL, VECTOR_SSE };

static const char *const pattern_names[] = {"uniform", "sequential", "zipf", "hot-cold", NULL};
static const char *const pace_names[] = {"spin", "wait", NULL};
static const char *const vector_names[] = {"all", "sse", NULL};

struct dirty {
	struct faults faults;
	struct pages pages;
	struct writer writer;
	struct session session;
	uint64_t working_mib;
	uint64_t populate_mib;
	uint64_t rate;
	uint64_t pattern;
	uint64_t pace;
	uint64_t vector;
	uint64_t seed;
};

static void parse(struct dirty *dirty, const struct start_info *start)
{
	const struct arg args[] = {
		{.name = "working_set", .value = &dirty->working_mib, .min = 1, .max = 1 << 22},
		{.name = "populate",
		 .value = &dirty->populate_mib,
		 .max = 1 << 22,
		 .unlimited = "all"},
		{.name = "rate", .value = &dirty->rate, .max = SESSION_RATE_MBS_MAX},
		{.name = "seed", .value = &dirty->seed, .max = UINT64_MAX},
		{.name = "pattern", .value = &dirty->pattern, .choices = pattern_names},
		{.name = "pace", .value = &dirty->pace, .choices = pace_names},
		{.name = "vector", .value = &dirty->vector, .choices = vector_names},
	};

	dirty->working_mib = 64;
	dirty->rate = 100;
	dirty->seed = 1;
	args_parse(start, args, sizeof(args) / sizeof(args[0]));
}

static uint64_t verify(void *payload)
{
	struct dirty *dirty = payload;

	writer_check_registers(&dirty->writer);
	return pages_check_all(&dirty->pages, &dirty->writer.gap);
}

static uint64_t steps(void *payload)
{
	struct dirty *dirty = payload;

	return dirty->writer.steps;
}

static void describe(void *payload, struct text *answer)
{
	struct dirty *dirty = payload;

	text_number(answer, "rate_set_mbs", dirty->rate);
	text_word(answer, "pattern", pattern_names[dirty->pattern]);
	text_word(answer, "pace", pace_names[dirty->pace]);
	text_number(answer, "pages", dirty->pages.populated);
	text_number(answer, "working_pages", dirty->pages.working);
	text_number(answer, "checksum", dirty->writer.checksum);
	text_word(answer, "vector", registers_vector(&dirty->writer.registers));
}

static void set_rate(void *payload, uint64_t mbs)
{
	struct dirty *dirty = payload;

	dirty->rate = mbs;
	writer_set_rate(&dirty->writer, mbs, dirty->pace == SLEEP);
}

static const struct session_ops session_ops = {
	.verify = verify, .steps = steps, .describe = describe, .set_rate = set_rate};

static void prepare(struct dirty *dirty, const struct start_info *start, struct memory *memory)
{
	struct writer *writer = &dirty->writer;

	dirty->faults.payload = "dirty";
	parse(dirty, start);
	writer_init(writer, 0, start->tsc_khz, memory, &dirty->faults);
	if (dirty->vector == VECTOR_SSE)
		registers_only_sse(&writer->registers);
	pages_init(&dirty->pages, memory, dirty->working_mib, dirty->populate_mib, 1, dirty->seed,
		   &dirty->faults);
	pages_populate(&dirty->pages);
	writer_assign(writer, &dirty->pages, 0, dirty->pages.working, dirty->pages.populated,
		      (enum pattern_kind)dirty->pattern);
	set_rate(dirty, dirty->rate);
	dirty->session.ops = &session_ops;
	dirty->session.payload = dirty;
	dirty->session.faults = &dirty->faults;
	dirty->session.khz = start->tsc_khz;
	dirty->session.gaps[0] = &writer->gap;
	dirty->session.gap_count = 1;
}

_Noreturn void payload_main(const struct start_info *start, unsigned vcpu)
{
	struct memory memory;
	struct dirty *dirty;

	if (vcpu > 0)
		payload_park(start);
	memory_init(&memory, start);
	dirty = memory_take(&memory, sizeof(*dirty));
	if (!dirty)
		payload_refuse("memory", "", "there is none for the payload");
	prepare(dirty, start, &memory);
	writer_start(&dirty->writer);
	session_start(&dirty->session);
	for (;;)
		session_poll(&dirty->session, writer_step(&dirty->writer));
}
