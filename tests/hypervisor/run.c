/* SPDX-License-Identifier: Apache-2.0 */
/* Running, pausing, and ending domains; their console and report. */
#include "tests/hypervisor/fixture.h"

static void test_console_and_exit(void **state)
{
	struct fixture f;

	(void)state;
	fixture_start(&f, (struct hv_config){0}, "command");
	fixture_command(&f, GUEST_WRITE, 1, 0x1000000);
	assert_int_equal(fixture_read(&f, 0x1000000), 1);
	fixture_send(&f, GUEST_EXIT, 0, 0);
	fixture_wait_end(&f);
	assert_int_equal(f.kind, HV_EVENT_SHUTDOWN);
	assert_int_equal(f.code, 0);
	fixture_pause(&f);
	assert_int_equal(hv_resume(f.domain, &f.err), -ESHUTDOWN);
	assert_int_equal(f.err.kind, XM_KIND_CONFLICT);
	fixture_destroy(&f);
}

static void test_exit_code(void **state)
{
	struct fixture f;

	(void)state;
	fixture_start(&f, (struct hv_config){.vcpus = 3}, "command");
	fixture_send(&f, GUEST_EXIT, 7, 0);
	fixture_wait_end(&f);
	assert_int_equal(f.kind, HV_EVENT_SHUTDOWN);
	assert_int_equal(f.code, 7);
	fixture_destroy(&f);
}

static void test_report(void **state)
{
	char text[HV_REPORT_MAX];
	struct fixture f;

	(void)state;
	fixture_start(&f, (struct hv_config){0}, "command");
	assert_int_equal(hv_report(f.domain, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	fixture_command(&f, GUEST_REPORT, 3, 0);
	assert_int_equal(hv_report(f.domain, text, sizeof(text)), 1);
	assert_string_equal(text, "rrr");
	fixture_command(&f, GUEST_REPORT, HV_REPORT_MAX - 1, 0);
	assert_int_equal(hv_report(f.domain, text, sizeof(text)), 2);
	assert_int_equal(strlen(text), HV_REPORT_MAX - 1);
	assert_int_equal(hv_report(f.domain, text, 3), 2);
	assert_string_equal(text, "rr");
	fixture_destroy(&f);
}

static void expect_crash(enum guest_op op, uint32_t count, uint64_t gpa, const char *reason)
{
	struct fixture f;

	fixture_start(&f, (struct hv_config){.vcpus = 2}, "command");
	fixture_send(&f, op, count, gpa);
	fixture_wait_end(&f);
	assert_int_equal(f.kind, HV_EVENT_CRASH);
	if (!strstr(f.text, reason))
		fail_msg("\"%s\" is not in: %s", reason, f.text);
	assert_non_null(strstr(f.text, "rip"));
	fixture_destroy(&f);
}

static void test_crashes(void **state)
{
	(void)state;
	expect_crash(GUEST_FAULT, 0, 0, "triple fault");
	expect_crash(GUEST_BAD_BLOCK, 0xfffffff8, 0, "not RAM");
	expect_crash(GUEST_BAD_BLOCK, 0x1000001, 0, "not aligned");
	expect_crash(GUEST_BAD_BUFFER, 4096, (64ull << 20) - 4095, "not RAM");
	expect_crash(GUEST_BAD_BUFFER, 1, UINT64_MAX, "not RAM");
	expect_crash(GUEST_BAD_BUFFER, 4097, 0x1000000, "4097 bytes");
	expect_crash(GUEST_REPORT, HV_REPORT_MAX, 0, "REPORT");
	expect_crash(GUEST_BAD_PORT, 0, 0, "port 0x80");
	expect_crash(GUEST_MMIO, 0, 64ull << 20, "vCPU 0");
}

static void test_pause_stops_everything(void **state)
{
	struct hv_pause_times times;
	uint64_t before[2], after;
	struct fixture f;

	(void)state;
	fixture_start(&f, (struct hv_config){.vcpus = 2}, "count");
	for (unsigned round = 0; round < 50; round++) {
		assert_ok(hv_pause(f.domain, &times, &f.err), &f.err);
		assert_true(hv_paused(f.domain));
		assert_true(times.stopped_at > 0 && times.kick_ns < 10 * XM_NS_PER_S);
		for (unsigned i = 0; i < 2; i++)
			before[i] = fixture_read(&f, GUEST_COUNTERS_GPA + i * 4096);
		fixture_pause(&f); /* again is fine */
		for (unsigned i = 0; i < 2; i++) {
			after = fixture_read(&f, GUEST_COUNTERS_GPA + i * 4096);
			assert_int_equal(before[i], after);
		}
		fixture_resume(&f);
		assert_false(hv_paused(f.domain));
		for (unsigned i = 0; i < 2; i++)
			while (fixture_read(&f, GUEST_COUNTERS_GPA + i * 4096) == before[i])
				sched_yield();
	}
	assert_false(f.ended);
	fixture_destroy(&f);
}

/* Commands wait in the console's buffer while the domain is paused; a pause ends a WAIT early. */
static void test_pause_during_wait(void **state)
{
	struct fixture f;

	(void)state;
	fixture_start(&f, (struct hv_config){.vcpus = 2}, "command");
	fixture_command(&f, GUEST_WRITE, 1, 0x1000000);
	fixture_pause(&f);
	fixture_send(&f, GUEST_WRITE, 1, 0x1000000);
	assert_int_equal(fixture_read(&f, 0x1000000), 1);
	fixture_resume(&f);
	assert_int_equal(fixture_hear(&f), '.');
	assert_int_equal(fixture_read(&f, 0x1000000), 2);
	fixture_send(&f, GUEST_WAIT, 20, 0);
	assert_int_equal(fixture_hear(&f), 'W');
	fixture_send(&f, GUEST_WAIT_ONCE, 3600 * 1000, 0);
	fixture_pause(&f);
	fixture_resume(&f);
	fixture_send(&f, GUEST_WRITE, 1, 0x1000000);
	assert_int_equal(fixture_hear(&f), 'E');
	assert_int_equal(fixture_hear(&f), '.');
	fixture_destroy(&f);
}

static void test_input_buffer_is_bounded(void **state)
{
	static uint8_t zeros[5000];
	struct fixture f;

	(void)state;
	fixture_create(&f, (struct hv_config){0});
	assert_int_equal(hv_console_input(f.domain, zeros, 5000), 4096);
	assert_int_equal(hv_console_input(f.domain, zeros, 1), 0);
	fixture_destroy(&f);
}

/* The share of time that a spinning vCPU runs, in percent, over about 0.3 s of its life. */
static unsigned measure_share(struct fixture *f)
{
	struct hv_vcpu_stats from, to;
	uint64_t start = xm_now_ns();
	struct timespec pause = xm_timespec(300 * XM_NS_PER_MS);

	assert_ok(hv_vcpu_stats(f->domain, 0, &from, &f->err), &f->err);
	nanosleep(&pause, NULL); /* a measurement's length, not a wait for something */
	assert_ok(hv_vcpu_stats(f->domain, 0, &to, &f->err), &f->err);
	return 100 -
	       (unsigned)((to.throttled_ns - from.throttled_ns) * 100 / (xm_now_ns() - start));
}

static void test_throttle(void **state)
{
	struct fixture f;
	unsigned share;

	(void)state;
	fixture_start(&f, (struct hv_config){0}, "command");
	fixture_command(&f, GUEST_SPIN, 0, 0x1000000);
	assert_int_equal(measure_share(&f), 100);
	assert_ok(hv_throttle(f.domain, 0, 80, &f.err), &f.err);
	share = measure_share(&f);
	assert_in_range(share, 5, 60); /* 20, and kicks that a busy host makes late */
	fixture_pause(&f);	       /* a throttled vCPU stops as promptly as others */
	fixture_resume(&f);
	assert_ok(hv_throttle(f.domain, 0, 0, &f.err), &f.err);
	assert_in_range(measure_share(&f), 95, 100);
	assert_int_equal(hv_throttle(f.domain, 0, 100, &f.err), -EINVAL);
	assert_int_equal(hv_throttle(f.domain, 1, 10, &f.err), -EINVAL);
	fixture_destroy(&f);
}

static void test_destroy_while_running(void **state)
{
	struct fixture f;

	(void)state;
	fixture_start(&f, (struct hv_config){.vcpus = 4}, "count");
	fixture_destroy(&f);
	fixture_start(&f, (struct hv_config){.vcpus = 4}, "command");
	fixture_destroy(&f);
	fixture_create(&f, (struct hv_config){0});
	fixture_destroy(&f);
	hv_destroy(NULL);
}

static void expect_config_error(struct hv_config config)
{
	struct hv_domain *domain = NULL;
	struct xm_error err = XM_ERROR_INIT;

	assert_true(hv_create(&config, &domain, &err) < 0);
	assert_int_equal(err.kind, XM_KIND_CONFIG);
	assert_null(domain);
}

static void test_bad_configs(void **state)
{
	(void)state;
	expect_config_error((struct hv_config){.memory_bytes = 8 << 20, .vcpus = 1});
	expect_config_error((struct hv_config){.memory_bytes = (64 << 20) + 4096, .vcpus = 1});
	expect_config_error(
		(struct hv_config){.memory_bytes = UINT64_MAX & ~0x1fffffull, .vcpus = 1});
	expect_config_error((struct hv_config){.memory_bytes = 64 << 20, .vcpus = 0});
	expect_config_error((struct hv_config){.memory_bytes = 64 << 20, .vcpus = 65});
	expect_config_error(
		(struct hv_config){.memory_bytes = 64 << 20, .vcpus = 1, .huge_page_bytes = 4096});
	expect_config_error((struct hv_config){.memory_bytes = 64 << 20,
					       .vcpus = 1,
					       .log_kind = HV_LOG_RING,
					       .ring_entries = 1000});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_console_and_exit),
		cmocka_unit_test(test_exit_code),
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_crashes),
		cmocka_unit_test(test_pause_stops_everything),
		cmocka_unit_test(test_pause_during_wait),
		cmocka_unit_test(test_input_buffer_is_bounded),
		cmocka_unit_test(test_throttle),
		cmocka_unit_test(test_destroy_while_running),
		cmocka_unit_test(test_bad_configs),
	};

	test_require_kvm();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
