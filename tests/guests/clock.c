/* SPDX-License-Identifier: Apache-2.0 */
/* clock: reads the TSC and does nothing else, to see for how long a vCPU did not run
 * (docs/guest-payloads.md). */
#include "runtime/args.h"
#include "runtime/hypercall.h"
#include "runtime/payload.h"
#include "runtime/registers.h"
#include "runtime/session.h"
#include "tests/guests/pattern.h"

struct clock {
	struct faults faults;
	struct registers registers;
	struct gap gap;
	struct session session;
	uint64_t khz;
	uint64_t beat_ms;
	uint64_t beats;
	uint64_t beat_at;
	uint64_t checks; /* of the vector registers; each renews their values */
};

static void check_registers(struct clock *clock)
{
	registers_check(&clock->registers);
	clock->checks++;
	registers_load(&clock->registers, pattern_mix(clock->checks));
	held_set(&clock->registers.held, pattern_mix(clock->checks));
}

static uint64_t verify(void *payload)
{
	check_registers(payload);
	return 0;
}

static uint64_t steps(void *payload)
{
	(void)payload;
	return 0;
}

static void describe(void *payload, struct text *answer)
{
	struct clock *clock = payload;

	text_number(answer, "beats", clock->beats);
	text_number(answer, "tsc", clock->gap.last);
	text_word(answer, "vector", registers_vector(&clock->registers));
}

static const struct session_ops session_ops = {
	.verify = verify, .steps = steps, .describe = describe};

static void beat(struct clock *clock)
{
	struct text line;

	clock->beats++;
	clock->beat_at = clock->gap.last + clock->beat_ms * clock->khz;
	text_start(&line);
	text_add(&line, "clock: beat ");
	text_decimal(&line, clock->beats);
	text_number(&line, "tsc", clock->gap.last);
	text_number(&line, "gap_max_ns", tsc_to_ns(clock->gap.max, clock->khz));
	console_line(&line);
}

/* Reads the TSC until it is time to look at the console: the shorter of the two calls that this
 * payload makes. */
static uint64_t spin(struct clock *clock)
{
	struct gap *gap = &clock->gap;
	uint64_t until = session_next(&clock->session);

	hold_spin(&clock->registers.held, &gap->last, until, gap_limit(gap));
	held_check(&clock->registers);
	return gap_read(gap);
}

static void prepare(struct clock *clock, const struct start_info *start, struct memory *memory)
{
	const struct arg args[] = {
		{.name = "beat", .value = &clock->beat_ms, .max = 3600 * 1000},
	};
	struct session *session = &clock->session;

	clock->faults.payload = "clock";
	clock->khz = start->tsc_khz;
	clock->beat_ms = 1000;
	args_parse(start, args, sizeof(args) / sizeof(args[0]));
	registers_init(&clock->registers, 0, memory, &clock->faults);
	registers_load(&clock->registers, pattern_mix(clock->checks));
	held_set(&clock->registers.held, pattern_mix(clock->checks));
	session->ops = &session_ops;
	session->payload = clock;
	session->faults = &clock->faults;
	session->khz = start->tsc_khz;
	session->gaps[0] = &clock->gap;
	session->gap_count = 1;
}

_Noreturn void payload_main(const struct start_info *start, unsigned vcpu)
{
	struct memory memory;
	struct clock *clock;

	if (vcpu > 0)
		payload_park(start);
	memory_init(&memory, start);
	clock = memory_take(&memory, sizeof(*clock));
	if (!clock)
		payload_refuse("memory", "", "there is none for the payload");
	prepare(clock, start, &memory);
	gap_init(&clock->gap, start->tsc_khz);
	session_start(&clock->session);
	for (;;) {
		uint64_t now = spin(clock);

		session_poll(&clock->session, now);
		if (now < clock->session.poll_at)
			check_registers(clock);
		if (clock->beat_ms && now >= clock->beat_at)
			beat(clock);
	}
}
