// SPDX-License-Identifier: Apache-2.0
/* The fake itself: tests that lean on it are worth what it is worth. */
#include "tests/test.h"

#include <string.h>

#include "common/bitmap.h"
#include "tests/fake/fake.h"

#define MIB (1ull << 20)

static struct hv_domain *create(uint64_t working_set)
{
	struct fake_config config = {
		.memory_bytes = 16 * MIB, .vcpus = 2, .working_set = working_set};
	struct xm_error err = XM_ERROR_INIT;
	struct hv_domain *domain;

	assert_ok(fake_create(&config, NULL, NULL, &domain, &err), &err);
	return domain;
}

static void test_steps_need_a_running_guest(void **state)
{
	struct hv_domain *domain = create(64);
	struct xm_error err = XM_ERROR_INIT;
	char what[128];

	(void)state;
	fake_step(domain, 10);
	assert_int_equal(fake_steps(domain), 0);
	assert_ok(hv_resume(domain, &err), &err);
	fake_step(domain, 1000);
	assert_int_equal(fake_steps(domain), 1000);
	assert_true(fake_check(domain, what, sizeof(what)));
	assert_int_equal(fake_present_pages(domain), 64);
	hv_destroy(domain);
}

static void test_check_sees_one_wrong_page(void **state)
{
	struct hv_domain *domain = create(64);
	struct xm_error err = XM_ERROR_INIT;
	char what[128];

	(void)state;
	assert_ok(hv_resume(domain, &err), &err);
	fake_step(domain, 1000);
	fake_write_unlogged(domain, 0, 17, 5);
	assert_false(fake_check(domain, what, sizeof(what)));
	assert_non_null(strstr(what, "page 17 "));
	hv_destroy(domain);
}

static void test_log_is_exact(void **state)
{
	struct hv_domain *domain = create(0);
	struct xm_error err = XM_ERROR_INIT;
	struct hv_log *one, *two;
	uint64_t bits[2];

	(void)state;
	assert_ok(hv_log_start(domain, &one, &err), &err);
	assert_ok(hv_log_start(domain, &two, &err), &err);
	assert_ok(hv_log_clean(one, 0, 64, 128, bits, &err), &err);
	assert_int_equal(xm_bitmap_count(bits, 128), 128);
	fake_write(domain, 0, 70, 1);
	assert_ok(hv_log_peek(one, 0, 64, 128, bits, &err), &err);
	assert_int_equal(bits[0], 1u << 6);
	assert_ok(hv_log_clean(one, 0, 64, 128, bits, &err), &err);
	assert_int_equal(bits[0], 1u << 6);
	assert_ok(hv_log_clean(one, 0, 64, 128, bits, &err), &err);
	assert_int_equal(bits[0], 0);
	assert_ok(hv_log_peek(two, 0, 64, 128, bits, &err), &err);
	assert_int_equal(xm_bitmap_count(bits, 128), 128);
	hv_log_stop(one);
	hv_log_stop(two);
	hv_destroy(domain);
}

static void test_holes_are_holes(void **state)
{
	struct hv_domain *domain = create(0);
	struct xm_error err = XM_ERROR_INIT;
	uint64_t bits[2], page;

	(void)state;
	fake_write(domain, 0, 1000, 0);
	assert_int_equal(fake_present_pages(domain), 1);
	assert_ok(hv_memory_present(domain, 0, 950, 100, bits, &err), &err);
	assert_int_equal(xm_bitmap_count(bits, 100), 1);
	assert_true(xm_bitmap_test(bits, 50));
	assert_ok(hv_memory_next_present(domain, 0, 0, &page, &err), &err);
	assert_int_equal(page, 1000);
	assert_ok(hv_memory_next_present(domain, 0, 1001, &page, &err), &err);
	assert_int_equal(page, 16 * MIB / HV_PAGE_SIZE);
	hv_destroy(domain);
}

static void test_state_travels(void **state)
{
	struct hv_domain *a = create(64), *b = create(64);
	struct xm_error err = XM_ERROR_INIT;
	struct hv_pause_times times;
	struct hv_state saved;
	char what[128];

	(void)state;
	assert_ok(hv_resume(a, &err), &err);
	fake_step(a, 500);
	assert_ok(hv_pause(a, &times, &err), &err);
	hv_state_init(&saved);
	assert_ok(hv_state_save(a, &saved, &err), &err);
	assert_ok(hv_state_load(b, &saved, &err), &err);
	assert_false(fake_check(b, what, sizeof(what))); /* the memory is missing */
	saved.sections[1].data[8] ^= 1;
	assert_ok(hv_state_load(a, &saved, &err), &err);
	assert_false(fake_check(a, what, sizeof(what)));
	assert_non_null(strstr(what, "register"));
	hv_state_finish(&saved);
	hv_destroy(a);
	hv_destroy(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps_need_a_running_guest),
		cmocka_unit_test(test_check_sees_one_wrong_page),
		cmocka_unit_test(test_log_is_exact),
		cmocka_unit_test(test_holes_are_holes),
		cmocka_unit_test(test_state_travels),
	};

	return cmocka_run_group_tests_name("fake", tests, NULL, NULL);
}
