// SPDX-License-Identifier: Apache-2.0
/* Writes at the moments at which a page can be lost, and engines that lose one: the first are exact, the second found out. */
#include "tests/migrate/world.h"

#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "common/fault.h"

#define MIB (1ull << 20)

/* A write of one page at the n-th occurrence of an event. */
struct strike {
	enum fake_event event;
	unsigned nth;
	uint64_t page;
	bool device; /* also while the domain is paused */
	_Atomic unsigned seen;
	_Atomic unsigned struck;
};

static void strike(void *opaque, struct hv_domain *domain, const struct fake_moment *moment)
{
	struct strike *strike = opaque;
	bool hit = moment->count == 0 ||
		   (moment->first <= strike->page && strike->page < moment->first + moment->count);

	if (moment->event != strike->event || !hit || (hv_paused(domain) && !strike->device))
		return;
	if (++strike->seen != strike->nth)
		return;
	fake_write(domain, 0, strike->page, 4711);
	strike->struck++;
}

static void strike_at(enum fake_event event, unsigned nth, bool device)
{
	struct strike blow = {.event = event, .nth = nth, .page = 3000, .device = device};
	struct world world = {.live = true, .hook = strike, .hook_data = &blow};

	world_open(&world);
	fake_write(world.source, 0, 3000, 1);
	world_move(&world);
	world_assert_moved(&world);
	assert_int_equal(blow.struck, 1);
	assert_true(fake_holds(world.moved, 0, 3000, 4711));
	world_close(&world);
}

/* The sample's consumer cleans first or not at all, the engine's next: strike at each. */
static void test_write_before_clean(void **state)
{
	(void)state;
	strike_at(FAKE_CLEAN, 1, false);
	strike_at(FAKE_CLEAN, 2, false);
}

static void test_write_between_clean_and_read(void **state)
{
	(void)state;
	strike_at(FAKE_CLEANED, 1, false);
	strike_at(FAKE_CLEANED, 2, false);
}

static void test_write_between_presence_and_read(void **state)
{
	(void)state;
	strike_at(FAKE_PRESENT, 2, false);
}

/* The second save is the final one: the first is the trial's. */
static void test_saving_state_dirties_memory(void **state)
{
	(void)state;
	strike_at(FAKE_SAVE, 1, true);
	strike_at(FAKE_SAVE, 2, true);
}

static void test_device_writes_as_the_guest_stops(void **state)
{
	(void)state;
	strike_at(FAKE_PAUSED, 2, true);
}

/* A page that was a hole when the source looked, and is touched before its block is cleaned. */
static void test_hole_touched_late(void **state)
{
	struct strike blow = {.event = FAKE_CLEAN, .nth = 1, .page = 7000};
	struct world world = {.live = true, .hook = strike, .hook_data = &blow};

	(void)state;
	world_open(&world);
	world_move(&world);
	world_assert_moved(&world);
	assert_int_equal(blow.struck, 1);
	assert_true(fake_holds(world.moved, 0, 7000, 4711));
	world_close(&world);
}

/* A page with content becomes zero in a later round. */
static void test_page_becomes_zero(void **state)
{
	struct world world = {.live = true};

	(void)state;
	world_open(&world);
	fake_write(world.source, 0, 5000, 99);
	fake_write(world.source, 0, 5000, 0);
	fake_write(world.source, 0, 5001, 0);
	world_move(&world);
	world_assert_moved(&world);
	assert_true(fake_holds(world.moved, 0, 5000, 0));
	world_close(&world);
}

/* The target's memory was written to when it loaded the trial state; the source's page is zero. */
static void dirty_at_load(void *opaque, struct hv_domain *domain, const struct fake_moment *moment)
{
	struct fake_counts counts;

	(void)opaque;
	fake_counts(domain, &counts);
	if (moment->event == FAKE_LOADED && counts.loads == 1)
		fake_write(domain, 0, 6000, 5);
}

static void test_target_wrote_before_memory_came(void **state)
{
	struct world world = {.live = true, .target_hook = dirty_at_load};

	(void)state;
	world_open(&world);
	fake_write(world.source, 0, 6000, 0);
	world_move(&world);
	world_assert_moved(&world);
	world_close(&world);
}

/* A guest that writes all the time is written again between the clean and the peek: its pages are skipped. */
static void rewrite(void *opaque, struct hv_domain *domain, const struct fake_moment *moment)
{
	(void)opaque;
	if (moment->event == FAKE_CLEANED && moment->count > 512)
		fake_step(domain, 12000);
}

static void test_dirty_again_is_skipped(void **state)
{
	struct world world = {
		.live = true,
		.memory_bytes = 64 * MIB,
		.working_set = 8192,
		.first_steps = 30000,
		.hook = rewrite,
		.limits = {.rounds = 4, .downtime_ns = XM_NS_PER_MS},
	};

	(void)state;
	world_open(&world);
	world_move(&world);
	/* It can't converge, so it ends at its limit on rounds, and says so. */
	world_assert_stayed(&world);
	assert_int_equal(world.source_error.kind, XM_KIND_REFUSED);
	assert_true(world.source_result.progress.round <= 4);
	assert_true(world.source_result.progress.skipped_pages > 1000);
	world_close(&world);
}

/* ------------------------------------------------------------------- broken engines */

static void test_dropped_page_is_caught(void **state)
{
	struct world world = {.live = true};
	struct xm_error err = XM_ERROR_INIT;

	(void)state;
	world_open(&world);
	assert_ok(xm_fault_arm("migrate.break.drop-page:skip:77", &err), &err);
	world_move(&world);
	world_assert_stayed(&world);
	assert_int_equal(world.source_error.kind, XM_KIND_DATA);
	assert_non_null(strstr(world.source_error.text, "digest"));
	world_close(&world);
}

static void step_at_pause(void *opaque, struct hv_domain *domain, const struct fake_moment *moment)
{
	(void)opaque;
	if (moment->event == FAKE_CLEANED && moment->count > 512)
		fake_step(domain, 50);
}

static void test_skipped_last_round_is_caught(void **state)
{
	struct world world = {.live = true, .hook = step_at_pause};
	struct xm_error err = XM_ERROR_INIT;
	uint64_t wrong = 0;
	char what[128];

	(void)state;
	world_open(&world);
	assert_ok(xm_fault_arm("migrate.break.skip-last-round:skip", &err), &err);
	world_move(&world);
	assert_ok(world.source_rc, &world.source_error);
	assert_false(fake_check(world.moved, what, sizeof(what)));
	assert_non_null(strstr(what, "page"));
	assert_int_not_equal(mig_source_audit(world.engine, &wrong, &err), 0);
	assert_true(wrong > 0);
	world_close(&world);
}

static void test_forgotten_register_is_caught(void **state)
{
	struct world world = {.live = true};
	struct xm_error err = XM_ERROR_INIT;
	char what[128];

	(void)state;
	world_open(&world);
	assert_ok(xm_fault_arm("migrate.break.forget-register:skip", &err), &err);
	world_move(&world);
	assert_ok(world.source_rc, &world.source_error);
	assert_false(fake_check(world.moved, what, sizeof(what)));
	assert_non_null(strstr(what, "register"));
	world_close(&world);
}

/* A log that misses a write: only the audit can know. */
static void unlogged(void *opaque, struct hv_domain *domain, const struct fake_moment *moment)
{
	struct fake_counts counts;

	(void)opaque;
	fake_counts(domain, &counts);
	if (moment->event == FAKE_PAUSED && counts.pauses == 2)
		fake_write_unlogged(domain, 0, 4000, 3);
}

static void test_audit(void **state)
{
	struct world good = {.live = true}, bad = {.live = true, .hook = unlogged};
	struct xm_error err = XM_ERROR_INIT;
	uint64_t wrong = 77;

	(void)state;
	world_open(&good);
	world_move(&good);
	assert_ok(mig_source_audit(good.engine, &wrong, &err), &err);
	assert_int_equal(wrong, 0);
	world_close(&good);
	world_open(&bad);
	world_move(&bad);
	assert_ok(bad.source_rc, &bad.source_error);
	assert_int_equal(mig_source_audit(bad.engine, &wrong, &err), -EBADMSG);
	assert_int_equal(wrong, 1);
	world_close(&bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_before_clean),
		cmocka_unit_test(test_write_between_clean_and_read),
		cmocka_unit_test(test_write_between_presence_and_read),
		cmocka_unit_test(test_saving_state_dirties_memory),
		cmocka_unit_test(test_device_writes_as_the_guest_stops),
		cmocka_unit_test(test_hole_touched_late),
		cmocka_unit_test(test_page_becomes_zero),
		cmocka_unit_test(test_target_wrote_before_memory_came),
		cmocka_unit_test(test_dirty_again_is_skipped),
		cmocka_unit_test(test_dropped_page_is_caught),
		cmocka_unit_test(test_skipped_last_round_is_caught),
		cmocka_unit_test(test_forgotten_register_is_caught),
		cmocka_unit_test(test_audit),
	};

	return cmocka_run_group_tests_name("races", tests, NULL, NULL);
}
