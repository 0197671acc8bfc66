/* SPDX-License-Identifier: Apache-2.0 */
/* idle: sleeps, and writes a few pages each time it wakes (docs/guest-payloads.md). */
#include "runtime/args.h"
#include "runtime/hypercall.h"
#include "runtime/payload.h"
#include "runtime/session.h"
#include "runtime/writer.h"

struct idle {
	struct faults faults;
	struct pages pages;
	struct writer writer;
	struct session session;
	uint64_t working_mib;
	uint64_t populate_mib;
	uint64_t period_ms;
	uint64_t touch;
	uint64_t seed;
	uint64_t wakes;
};

static uint64_t verify(void *payload)
{
	struct idle *idle = payload;

	writer_check_registers(&idle->writer);
	return pages_check_all(&idle->pages, &idle->writer.gap);
}

static uint64_t steps(void *payload)
{
	struct idle *idle = payload;

	return idle->writer.steps;
}

static void describe(void *payload, struct text *answer)
{
	struct idle *idle = payload;

	text_number(answer, "wakes", idle->wakes);
	text_number(answer, "pages", idle->pages.populated);
	text_number(answer, "working_pages", idle->pages.working);
	text_number(answer, "checksum", idle->writer.checksum);
	text_word(answer, "vector", registers_vector(&idle->writer.registers));
}

static const struct session_ops session_ops = {
	.verify = verify, .steps = steps, .describe = describe};

static void parse(struct idle *idle, const struct start_info *start)
{
	const struct arg args[] = {
		{.name = "working_set", .value = &idle->working_mib, .min = 1, .max = 1 << 22},
		{.name = "populate",
		 .value = &idle->populate_mib,
		 .max = 1 << 22,
		 .unlimited = "all"},
		{.name = "period", .value = &idle->period_ms, .min = 1, .max = 3600 * 1000},
		{.name = "touch", .value = &idle->touch, .max = 1 << 20},
		{.name = "seed", .value = &idle->seed, .max = UINT64_MAX},
	};

	idle->working_mib = 1;
	idle->period_ms = 100;
	idle->touch = 4;
	idle->seed = 1;
	args_parse(start, args, sizeof(args) / sizeof(args[0]));
}

static void prepare(struct idle *idle, const struct start_info *start, struct memory *memory)
{
	struct session *session = &idle->session;

	idle->faults.payload = "idle";
	parse(idle, start);
	writer_init(&idle->writer, 0, start->tsc_khz, memory, &idle->faults);
	pages_init(&idle->pages, memory, idle->working_mib, idle->populate_mib, 1, idle->seed,
		   &idle->faults);
	pages_populate(&idle->pages);
	writer_assign(&idle->writer, &idle->pages, 0, idle->pages.working, idle->pages.populated,
		      PATTERN_UNIFORM);
	session->ops = &session_ops;
	session->payload = idle;
	session->faults = &idle->faults;
	session->khz = start->tsc_khz;
	session->gaps[0] = &idle->writer.gap;
	session->gap_count = 1;
}

/* WAIT returns early when a command has come, so the console is read after each. */
static void sleep_until(struct idle *idle, uint64_t until)
{
	uint64_t now = idle->writer.gap.last;

	while (now < until && until - now <= idle->period_ms * idle->writer.pacer.khz) {
		now = writer_sleep(&idle->writer, until);
		session_poll(&idle->session, session_next(&idle->session));
		now = gap_read(&idle->writer.gap);
	}
}

_Noreturn void payload_main(const struct start_info *start, unsigned vcpu)
{
	struct memory memory;
	struct idle *idle;

	if (vcpu > 0)
		payload_park(start);
	memory_init(&memory, start);
	idle = memory_take(&memory, sizeof(*idle));
	if (!idle)
		payload_refuse("memory", "", "there is none for the payload");
	prepare(idle, start, &memory);
	writer_start(&idle->writer);
	session_start(&idle->session);
	for (;;) {
		idle->wakes++;
		writer_check_registers(&idle->writer);
		for (uint64_t i = 0; i < idle->touch; i++)
			writer_stamp(&idle->writer);
		sleep_until(idle, gap_read(&idle->writer.gap) + idle->period_ms * start->tsc_khz);
	}
}
