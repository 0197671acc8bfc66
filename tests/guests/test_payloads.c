/* SPDX-License-Identifier: Apache-2.0 */
/* The payloads on KVM: they run, they answer, and they find what is wrong. */
#include "common/clock.h"
#include "tests/guests/guest.h"
#include "tests/guests/pattern.h"
#include "tests/test.h"

#include <inttypes.h>
#include <string.h>

#define ABOVE_4_GIB (4ull << 30)

/* r8 to r15 while they are watched (r8 to r11 keep their values a little longer), k0 to k7, and
 * more in wider sets. */
#define RUN_WORDS 8u

/* Runs it for a while (until `steps` pages are written), checks it, and stops it. */
static void run_and_stop(const struct guest_config *config, uint64_t steps)
{
	struct guest *guest = guest_create(config);
	const char *answer;

	guest_start(guest);
	do {
		answer = guest_ask(guest, "status");
	} while (guest_number(answer, "steps") < steps);
	answer = guest_ask(guest, "verify");
	assert_int_equal(guest_number(answer, "checked"), guest_number(answer, "pages"));
	assert_int_equal(guest_number(answer, "errors"), 0);
	guest_stop(guest);
	guest_destroy(guest);
}

static void dirty_is_right_in_each_pattern(void **state)
{
	static const char *const arguments[] = {
		"pattern=uniform rate=0 working_set=4 populate=8",
		"pattern=sequential rate=0 working_set=4 seed=99",
		"pattern=zipf rate=0 working_set=4",
		"pattern=hot-cold rate=0 working_set=4",
		"rate=200 pace=wait working_set=4",
		"rate=200 pace=spin working_set=4 populate=all",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(arguments) / sizeof(arguments[0]); i++)
		run_and_stop(&(struct guest_config){.payload = "dirty", .args = arguments[i]},
			     4096);
}

static void spare_vcpus_do_not_disturb(void **state)
{
	(void)state;
	run_and_stop(
		&(struct guest_config){.payload = "dirty", .vcpus = 3, .args = "working_set=4"},
		1000);
}

static void smp_sums_are_right(void **state)
{
	(void)state;
	for (unsigned vcpus = 1; vcpus <= 4; vcpus *= 2)
		run_and_stop(&(struct guest_config){.payload = "smp",
						    .vcpus = vcpus,
						    .args = "working_set=4 rate=20"},
			     1000);
}

static void idle_wakes_and_writes(void **state)
{
	(void)state;
	run_and_stop(&(struct guest_config){.payload = "idle", .args = "period=5 touch=8"}, 64);
}

static void all_run_in_16_mib(void **state)
{
	(void)state;
	run_and_stop(&(struct guest_config){.payload = "dirty", .memory_mib = 16}, 100);
	run_and_stop(&(struct guest_config){.payload = "smp", .memory_mib = 16, .vcpus = 2}, 100);
	run_and_stop(
		&(struct guest_config){.payload = "idle", .memory_mib = 16, .args = "period=1"}, 8);
}

static void what_does_not_fit_is_clamped_and_said(void **state)
{
	struct guest *guest = guest_create(&(struct guest_config){
		.payload = "dirty", .memory_mib = 16, .args = "working_set=1000"});
	const char *answer;

	(void)state;
	guest_start(guest);
	guest_wait_console(guest, "working_set of 1000 MiB does not fit");
	answer = guest_ask(guest, "status");
	assert_in_range(guest_number(answer, "working_pages"), 1000, 4096);
	guest_stop(guest);
	guest_destroy(guest);
}

static void memory_above_4_gib_is_used(void **state)
{
	struct guest *guest =
		guest_create(&(struct guest_config){.payload = "dirty",
						    .memory_mib = 3104,
						    .args = "working_set=1 populate=48 rate=10"});
	const char *answer;

	(void)state;
	guest_start(guest);
	answer = guest_ask(guest, "verify");
	assert_int_equal(guest_number(answer, "checked"), 48 * 256);
	assert_int_equal(guest_number(answer, "errors"), 0);
	/* The last populated page of region 1, and one of region 0. */
	guest_pause(guest);
	guest_memory(guest, ABOVE_4_GIB + (32 << 20) - 1)[0] ^= 1;
	guest_resume(guest);
	assert_int_equal(guest_number(guest_ask(guest, "verify"), "errors"), 1);
	guest_destroy(guest);
}

/* The address of a page that dirty populated and never writes again. */
static uint64_t find_populated(struct guest *guest, uint64_t seed)
{
	const struct hv_region *region = hv_region(guest_domain(guest), 0);

	for (uint64_t gpa = region->gpa + region->size; gpa > 0;) {
		gpa -= HV_PAGE_SIZE;
		if (pattern_check((uint64_t *)guest_memory(guest, gpa), gpa >> HV_PAGE_SHIFT, 0,
				  seed) == PATTERN_WORDS)
			return gpa;
	}
	fail_msg("there is no populated page");
	return 0;
}

static void one_changed_byte_is_found(void **state)
{
	struct guest *guest = guest_create(&(struct guest_config){
		.payload = "dirty", .args = "working_set=1 populate=8 seed=5"});
	char message[64];
	uint64_t gpa;

	(void)state;
	guest_start(guest);
	assert_int_equal(guest_number(guest_ask(guest, "verify"), "errors"), 0);
	guest_pause(guest);
	gpa = find_populated(guest, 5);
	guest_memory(guest, gpa)[1001] ^= 0x40;
	guest_resume(guest);
	assert_true(guest_number(guest_ask(guest, "verify"), "errors") > 0);
	snprintf(message, sizeof(message), "page 0x%016" PRIx64 " word 125", gpa >> HV_PAGE_SHIFT);
	guest_wait_console(guest, message);
	guest_ask(guest, "stop");
	assert_int_equal(guest_wait_end(guest), 1);
	guest_destroy(guest);
}

/* Lets the guest write on until each page of a small working set was written again. */
static void write_all_again(struct guest *guest, uint64_t pages)
{
	uint64_t from = guest_number(guest_ask(guest, "rate 0"), "steps");

	while (guest_number(guest_ask(guest, "status"), "steps") < from + 2 * pages)
		;
	guest_ask(guest, "rate 1");
}

static void stale_pages_are_found(void **state)
{
	enum { SIZE = 1 << 20 };
	struct guest *guest = guest_create(&(struct guest_config){
		.payload = "dirty", .memory_mib = 3104, .args = "working_set=1 rate=1"});
	uint8_t *old = malloc(SIZE);

	(void)state;
	assert_non_null(old);
	guest_start(guest);
	guest_pause(guest);
	memcpy(old, guest_memory(guest, ABOVE_4_GIB), SIZE);
	guest_resume(guest);
	write_all_again(guest, SIZE / PATTERN_PAGE_SIZE);
	guest_pause(guest);
	memcpy(guest_memory(guest, ABOVE_4_GIB), old, SIZE);
	guest_resume(guest);
	assert_true(guest_number(guest_ask(guest, "verify"), "errors") > 0);
	guest_wait_console(guest, "but of step ");
	guest_destroy(guest);
	free(old);
}

static void changed_code_is_found(void **state)
{
	struct guest *guest = guest_create(&(struct guest_config){.payload = "clock"});
	static const char owner[] = "xmigrate";
	uint8_t *image;
	size_t offset = 0;

	(void)state;
	guest_start(guest);
	guest_pause(guest);
	/* The note's owner is part of the image, and the running payload does not need it. */
	image = guest_memory(guest, 0x200000);
	while (memcmp(image + offset, owner, sizeof(owner)) != 0)
		offset++;
	image[offset] ^= 1;
	guest_resume(guest);
	assert_int_equal(guest_number(guest_ask(guest, "verify"), "errors"), 1);
	guest_wait_console(guest, "code or constants changed");
	guest_destroy(guest);
}

static void gap_is_as_long_as_a_pause(void **state)
{
	static const char *const payloads[] = {"clock", "dirty", "smp"};
	const struct timespec pause = xm_timespec(50 * XM_NS_PER_MS);

	(void)state;
	for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
		struct guest *guest = guest_create(&(struct guest_config){.payload = payloads[i]});
		const char *answer;
		uint64_t begin, end;

		guest_start(guest);
		guest_ask(guest, "gap");
		guest_pause(guest);
		begin = xm_now_ns();
		nanosleep(&pause, NULL); /* the time is what is measured */
		end = xm_now_ns();
		guest_resume(guest);
		answer = guest_ask(guest, "gap");
		/* The guest's TSC frequency is known to the kHz only. */
		assert_true(guest_number(answer, "gap_max_ns") + (end - begin) / 1000 >=
			    end - begin);
		assert_true(guest_number(answer, "gaps_over_1ms") > 0);
		guest_stop(guest);
		guest_destroy(guest);
	}
}

static void gap_is_reset(void **state)
{
	const struct timespec pause = xm_timespec(300 * XM_NS_PER_MS);
	struct guest *guest = guest_create(&(struct guest_config){.payload = "clock"});
	uint64_t first, second;

	(void)state;
	guest_start(guest);
	guest_pause(guest);
	nanosleep(&pause, NULL); /* longer than any gap that a loaded machine makes */
	guest_resume(guest);
	first = guest_number(guest_ask(guest, "gap"), "gap_max_ns");
	second = guest_number(guest_ask(guest, "gap"), "gap_max_ns");
	assert_true(second < first);
	guest_destroy(guest);
}

/* ------------------------------------------------------------------------- moved state */

/* The whole memory of a paused guest, as far as it was touched, and its state. */
static void copy_guest(struct guest *from, struct guest *to, const struct hv_state *state)
{
	struct xm_error err = XM_ERROR_INIT;

	for (unsigned i = 0; i < hv_region_count(guest_domain(from)); i++) {
		const struct hv_region *source = hv_region(guest_domain(from), i);
		const struct hv_region *target = hv_region(guest_domain(to), i);
		uint64_t pages = source->size >> HV_PAGE_SHIFT;
		uint64_t page = 0;

		while (true) {
			assert_ok(hv_memory_next_present(guest_domain(from), i, page, &page, &err),
				  &err);
			if (page == pages)
				break;
			memcpy(target->host + (page << HV_PAGE_SHIFT),
			       source->host + (page << HV_PAGE_SHIFT), HV_PAGE_SIZE);
			page++;
		}
	}
	assert_ok(hv_state_load(guest_domain(to), state, &err), &err);
}

/* Stops the guest where it is and starts a copy of it; the original is gone. */
static struct guest *move(struct guest *guest, struct hv_state *state)
{
	struct guest *twin = guest_create_twin(guest);

	copy_guest(guest, twin, state);
	guest_destroy(guest);
	guest_resume(twin);
	return twin;
}

static struct guest *start_and_save(const struct guest_config *config, struct hv_state *ret_state)
{
	struct xm_error err = XM_ERROR_INIT;
	struct guest *guest = guest_create(config);

	guest_start(guest);
	guest_ask(guest, "status");
	guest_pause(guest);
	hv_state_init(ret_state);
	assert_ok(hv_state_save(guest_domain(guest), ret_state, &err), &err);
	return guest;
}

static void exact_copy_is_right(void **unused)
{
	static const struct guest_config configs[] = {
		{.payload = "dirty", .args = "working_set=4 rate=0"},
		{.payload = "dirty", .args = "working_set=4 pace=wait", .memory_mib = 3104},
		{.payload = "smp", .args = "working_set=4", .vcpus = 2},
		{.payload = "clock"},
		{.payload = "idle"},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(configs) / sizeof(configs[0]); i++) {
		struct hv_state state;
		struct guest *guest = start_and_save(&configs[i], &state);

		guest = move(guest, &state);
		hv_state_finish(&state);
		guest_stop(guest);
		guest_destroy(guest);
	}
}

static uint64_t word_at(const struct hv_section *section, size_t offset)
{
	uint64_t word;

	memcpy(&word, section->data + offset, sizeof(word));
	return word;
}

/* Whether a run of words that differ by the pattern's increment begins here, and not before. */
static bool run_begins(const struct hv_section *section, size_t at)
{
	uint64_t first = word_at(section, at);

	if (at >= 8 && word_at(section, at - 8) == first - PATTERN_WORD_INCREMENT)
		return false;
	for (unsigned i = 1; i < RUN_WORDS; i++)
		if (word_at(section, at + i * 8) != pattern_word(first, i))
			return false;
	return true;
}

/*
 * Registers of one kind hold words that differ by the pattern's increment. Wherever they stand in
 * the state: changes a register in the run of registers number `wanted`. False if there are not so
 * many runs.
 */
static bool forget_register(struct hv_state *state, unsigned wanted)
{
	unsigned runs = 0;

	for (uint32_t i = 0; i < state->count; i++) {
		struct hv_section *section = &state->sections[i];

		for (size_t at = 0; at + RUN_WORDS * 8 <= section->size; at += 4) {
			if (!run_begins(section, at) || runs++ < wanted)
				continue;
			section->data[at + 8] ^= 1;
			return true;
		}
	}
	return false;
}

static void each_forgotten_register_is_found(void **unused)
{
	const struct guest_config config = {.payload = "dirty", .args = "working_set=1 rate=1"};
	unsigned run = 0;
	bool found = true;

	(void)unused;
	for (; found; run++) {
		struct hv_state state;
		struct guest *guest = start_and_save(&config, &state);

		found = forget_register(&state, run);
		guest = move(guest, &state);
		hv_state_finish(&state);
		assert_true(guest_has_word(guest_ask(guest, "verify"),
					   found ? "registers=bad" : "registers=ok"));
		guest_destroy(guest);
	}
	/* The last round changed nothing; there must have been others. */
	assert_true(run > 1);
}

static void clock_beats(void **state)
{
	struct guest *guest =
		guest_create(&(struct guest_config){.payload = "clock", .args = "beat=10"});

	(void)state;
	guest_start(guest);
	guest_wait_console(guest, "clock: beat 3 tsc=");
	guest_stop(guest);
	guest_destroy(guest);
}

static void rate_is_kept_and_changed(void **state)
{
	enum { MBS = 40, LATE_MS = 10, PAGES = 2000 };
	struct guest *guest =
		guest_create(&(struct guest_config){.payload = "dirty", .args = "rate=1000"});
	const char *answer;
	uint64_t begin, first, steps, allowed;

	(void)state;
	guest_start(guest);
	answer = guest_ask(guest, "rate 40");
	assert_int_equal(guest_number(answer, "rate_set_mbs"), MBS);
	begin = xm_now_ns();
	first = guest_number(guest_ask(guest, "status"), "steps");
	do {
		steps = guest_number(guest_ask(guest, "status"), "steps") - first;
	} while (steps < PAGES);
	/* A loaded machine makes it slower; but it is never faster, except to catch up with 10
	 * ms. */
	allowed = (xm_now_ns() - begin) / XM_NS_PER_MS + LATE_MS + 1;
	assert_true(steps * PATTERN_PAGE_SIZE <= allowed * MBS * 1000);
	answer = guest_ask(guest, "rate fast");
	assert_true(guest_has_word(answer, "error=bad-rate"));
	assert_int_equal(guest_number(answer, "rate_set_mbs"), MBS);
	guest_stop(guest);
	guest_destroy(guest);
}

static void bad_commands_are_refused(void **state)
{
	struct guest *guest = guest_create(&(struct guest_config){.payload = "idle"});
	char line[300];

	(void)state;
	guest_start(guest);
	assert_true(guest_has_word(guest_ask(guest, "dance"), "error=unknown-command"));
	assert_true(guest_has_word(guest_ask(guest, "rate 5"), "error=no-rate-here"));
	memset(line, 'x', sizeof(line));
	strcpy(line + sizeof(line) - 2, "\n");
	guest_send(guest, line);
	guest_wait_console(guest, "a command was too long");
	guest_send(guest, "\n\r  \n\x01\xff\n");
	guest_stop(guest);
	guest_destroy(guest);
}

static void bad_parameters_end_with_code_2(void **state)
{
	static const struct {
		const char *payload, *args, *message;
	} bad[] = {
		{"dirty", "rate=fast", "bad parameter rate=fast: not a decimal number"},
		{"dirty", "rate=-1", "bad parameter rate=-1: not a decimal number"},
		{"dirty", "rate=99999999999999999999", "bad parameter rate="},
		{"dirty", "working_set=0", "bad parameter working_set=0: out of range"},
		{"dirty", "pattern=odd", "bad parameter pattern=odd: no such choice"},
		{"smp", "rate=10 pace=wait", "bad parameter pace=wait: this payload has no such"},
		{"clock", "beat", "bad parameter beat=: not a decimal number"},
		{"idle", "period=0", "bad parameter period=0: out of range"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct guest *guest = guest_create(
			&(struct guest_config){.payload = bad[i].payload, .args = bad[i].args});

		guest_resume(guest);
		assert_int_equal(guest_wait_end(guest), 2);
		guest_wait_console(guest, bad[i].message);
		guest_destroy(guest);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dirty_is_right_in_each_pattern),
		cmocka_unit_test(spare_vcpus_do_not_disturb),
		cmocka_unit_test(smp_sums_are_right),
		cmocka_unit_test(idle_wakes_and_writes),
		cmocka_unit_test(all_run_in_16_mib),
		cmocka_unit_test(what_does_not_fit_is_clamped_and_said),
		cmocka_unit_test(memory_above_4_gib_is_used),
		cmocka_unit_test(one_changed_byte_is_found),
		cmocka_unit_test(stale_pages_are_found),
		cmocka_unit_test(changed_code_is_found),
		cmocka_unit_test(gap_is_as_long_as_a_pause),
		cmocka_unit_test(gap_is_reset),
		cmocka_unit_test(exact_copy_is_right),
		cmocka_unit_test(each_forgotten_register_is_found),
		cmocka_unit_test(clock_beats),
		cmocka_unit_test(rate_is_kept_and_changed),
		cmocka_unit_test(bad_commands_are_refused),
		cmocka_unit_test(bad_parameters_end_with_code_2),
	};

	test_require_kvm();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
