// SPDX-License-Identifier: Apache-2.0
/* Moves over each transport, with any number of channels, live and not, compressed and not: all exact. */
#include "tests/migrate/world.h"

#include <string.h>

#define MIB (1ull << 20)

/* The guest works on while the engine does: some steps at each of its looks at the log. */
static void busy_guest(void *opaque, struct hv_domain *domain, const struct fake_moment *moment)
{
	(void)opaque;
	if (moment->event == FAKE_CLEANED)
		fake_step(domain, 20);
}

static void move_by(enum world_transport transport)
{
	static const unsigned channels[] = {1, 2, 4};

	for (unsigned variant = 0; variant < 12; variant++) {
		struct world world = {
			.transport = transport,
			.channels = channels[variant % 3],
			.live = variant / 3 % 2,
			.zstd_level = variant / 6 ? 1 : 0,
			.hook = busy_guest,
		};

		world_open(&world);
		world_move(&world);
		world_assert_moved(&world);
		assert_true(world.source_result.progress.round >= (world.live ? 2u : 1u));
		world_close(&world);
	}
}

static void test_memory(void **state)
{
	(void)state;
	move_by(WORLD_MEMORY);
}

static void test_tcp(void **state)
{
	(void)state;
	move_by(WORLD_TCP);
}

static void test_file(void **state)
{
	(void)state;
	move_by(WORLD_FILE);
}

/* Two regions: one below the hole at 3 GiB and one above 4 GiB; of it all, a few pages were touched. */
static void test_holes_stay_holes(void **state)
{
	struct world world = {.memory_bytes = 6144 * MIB, .working_set = 1000, .live = true};
	uint64_t before;

	(void)state;
	world_open(&world);
	fake_write(world.source, 0, 700000, 1);
	fake_write(world.source, 1, 123456, 2);
	before = fake_present_pages(world.source);
	world_move(&world);
	assert_ok(world.source_rc, &world.source_error);
	assert_int_equal(fake_present_pages(world.source), before);
	assert_int_equal(fake_present_pages(world.moved), before);
	assert_true(fake_holds(world.moved, 0, 700000, 1));
	assert_true(fake_holds(world.moved, 1, 123456, 2));
	assert_true(world.source_result.engine_memory_bytes < (64 + 6 * 4) * MIB);
	assert_true(world.target_result.engine_memory_bytes < (64 + 6 * 4) * MIB);
	world_close(&world);
}

static void test_zero_pages_cost_little(void **state)
{
	struct world world = {.live = true, .working_set = 10, .first_steps = 100};

	(void)state;
	world_open(&world);
	for (uint64_t page = 2000; page < 4000; page++)
		fake_write(world.source, 0, page, 0);
	world_move(&world);
	world_assert_moved(&world);
	assert_true(world.source_result.progress.zero_pages >= 2000);
	assert_true(world.source_result.progress.wire_bytes < 500000);
	world_close(&world);
}

static void test_paused_stays_paused(void **state)
{
	struct world world = {.live = true, .paused = true};
	struct fake_counts counts;

	(void)state;
	world_open(&world);
	world_move(&world);
	world_assert_moved(&world);
	fake_counts(world.moved, &counts);
	assert_int_equal(counts.resumes, 0);
	world_close(&world);
}

static void test_snapshot_keeps_running(void **state)
{
	struct world world = {.transport = WORLD_FILE,
			      .live = true,
			      .keep_running = true,
			      .hook = busy_guest,
			      .start_paused = true};

	(void)state;
	world_open(&world);
	world_move(&world);
	world_assert_moved(&world);
	assert_int_equal(fake_steps(world.moved), fake_steps(world.source));
	world_close(&world);
}

static void test_truncated_file(void **state)
{
	(void)state;
	for (unsigned cut = 1; cut <= 8; cut++) {
		struct world world = {.transport = WORLD_FILE};
		off_t size;

		world_open(&world);
		world_run_source(&world);
		assert_ok(world.source_rc, &world.source_error);
		size = lseek(world.file, 0, SEEK_END);
		assert_int_equal(ftruncate(world.file, cut == 1 ? size - 1 : size * (cut - 1) / 8),
				 0);
		world_reopen_file(&world);
		world_start_target(&world);
		world_join_target(&world);
		assert_int_not_equal(world.target_rc, 0);
		assert_int_equal(world.target_error.kind, XM_KIND_DATA);
		assert_int_equal(world.commits, 0);
		world_close(&world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_holes_stay_holes),
		cmocka_unit_test(test_zero_pages_cost_little),
		cmocka_unit_test(test_paused_stays_paused),
		cmocka_unit_test(test_snapshot_keeps_running),
		cmocka_unit_test(test_truncated_file),
	};

	return cmocka_run_group_tests_name("moves", tests, NULL, NULL);
}
