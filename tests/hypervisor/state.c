/* SPDX-License-Identifier: Apache-2.0 */
/* State: a domain goes on in another one exactly, and hostile sections do no harm. */
#include "tests/hypervisor/fixture.h"

#define VCPUS 2

static uint64_t steps(struct fixture *f, unsigned vcpu)
{
	return fixture_read(f, GUEST_COUNTERS_GPA + vcpu * 4096);
}

static void wait_steps(struct fixture *f, unsigned vcpu, uint64_t target)
{
	while (steps(f, vcpu) < target && !f->ended)
		sched_yield();
}

static void copy_memory(struct fixture *from, struct fixture *to)
{
	for (unsigned r = 0; r < hv_region_count(from->domain); r++) {
		const struct hv_region *region = hv_region(from->domain, r);
		uint64_t pages = region->size >> HV_PAGE_SHIFT;
		uint64_t page = 0;

		for (;;) {
			assert_ok(hv_memory_next_present(from->domain, r, page, &page, &from->err),
				  &from->err);
			if (page == pages)
				break;
			memcpy(hv_region(to->domain, r)->host + page * HV_PAGE_SIZE,
			       region->host + page * HV_PAGE_SIZE, HV_PAGE_SIZE);
			page++;
		}
	}
}

static void move(struct fixture *from, struct fixture *to, struct hv_config config)
{
	struct hv_state state;

	fixture_pause(from);
	hv_state_init(&state);
	assert_ok(hv_state_save(from->domain, &state, &from->err), &from->err);
	fixture_create(to, config);
	copy_memory(from, to);
	assert_ok(hv_state_load(to->domain, &state, &to->err), &to->err);
	hv_state_finish(&state);
	fixture_destroy(from);
}

/* Counters in memory, a general and a vector register go on; the guest itself finds differences. */
static void test_moves_in_mid_run(void **state)
{
	struct hv_config config = {.vcpus = VCPUS};
	struct fixture f[2];
	unsigned here = 0;

	(void)state;
	fixture_start(&f[here], config, "count");
	for (unsigned round = 0; round < 20; round++, here = !here) {
		uint64_t before[VCPUS];

		config.log_kind = round & 1 ? HV_LOG_RING : HV_LOG_BITMAP;
		for (unsigned i = 0; i < VCPUS; i++)
			wait_steps(&f[here], i, steps(&f[here], i) + 1000);
		fixture_pause(&f[here]);
		for (unsigned i = 0; i < VCPUS; i++)
			before[i] = steps(&f[here], i);
		move(&f[here], &f[!here], config);
		for (unsigned i = 0; i < VCPUS; i++)
			assert_int_equal(steps(&f[!here], i), before[i]);
		fixture_resume(&f[!here]);
		for (unsigned i = 0; i < VCPUS; i++)
			wait_steps(&f[!here], i, before[i] + 1000);
		assert_false(f[!here].ended);
	}
	fixture_destroy(&f[here]);
}

/* The same moves, with one lane of the vector register forgotten: the guest must notice. */
static void test_a_lost_register_is_noticed(void **state)
{
	struct hv_config config = {.vcpus = 1};
	struct hv_state saved;
	const struct hv_section *xsave;
	struct fixture from, to;

	(void)state;
	fixture_start(&from, config, "count");
	wait_steps(&from, 0, 1000);
	fixture_pause(&from);
	hv_state_init(&saved);
	assert_ok(hv_state_save(from.domain, &saved, &from.err), &from.err);
	xsave = hv_state_find(&saved, "xsave", 0);
	assert_non_null(xsave);
	memset(xsave->data + 160 + 15 * 16, 0, 8); /* the legacy area's xmm15 */
	fixture_create(&to, config);
	copy_memory(&from, &to);
	assert_ok(hv_state_load(to.domain, &saved, &to.err), &to.err);
	fixture_resume(&to);
	fixture_wait_end(&to);
	assert_int_equal(to.kind, HV_EVENT_SHUTDOWN);
	assert_int_equal(to.code, GUEST_WRONG);
	hv_state_finish(&saved);
	fixture_destroy(&from);
	fixture_destroy(&to);
}

/* Console input, the report and a WAIT that was under way move too. */
static void test_devices_move(void **state)
{
	struct hv_config config = {.vcpus = 1};
	char text[HV_REPORT_MAX];
	struct fixture from, to;

	(void)state;
	fixture_start(&from, config, "command");
	fixture_command(&from, GUEST_REPORT, 5, 0);
	fixture_send(&from, GUEST_WAIT, 3600 * 1000, 0);
	fixture_pause(&from);
	fixture_send(&from, GUEST_WRITE, 1, 0x1000000);
	move(&from, &to, config);
	assert_int_equal(hv_report(to.domain, text, sizeof(text)), 1);
	assert_string_equal(text, "rrrrr");
	fixture_resume(&to);
	assert_int_equal(fixture_hear(&to), 'E');
	assert_int_equal(fixture_hear(&to), '.');
	assert_int_equal(fixture_read(&to, 0x1000000), 1);
	fixture_send(&to, GUEST_WAIT, 20, 0);
	assert_int_equal(fixture_hear(&to), 'W');
	fixture_destroy(&to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moves_in_mid_run),
		cmocka_unit_test(test_a_lost_register_is_noticed),
		cmocka_unit_test(test_devices_move),
	};

	test_require_kvm();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
