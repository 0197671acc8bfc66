// SPDX-License-Identifier: Apache-2.0
/*
 * A peer that is never silent and never comes to the point: it floods the other end with frames that may be
 * skipped. Nobody waits for it longer than is fit, above all not with a guest that is paused.
 */
#include "tests/migrate/world.h"

#include <errno.h>
#include <string.h>

#include "common/clock.h"

#define TYPE_OF_A_LATER_VERSION 900
#define TIMEOUT_MS		1000
#define FLOOD_NS		(20 * XM_NS_PER_S) /* then the other end has failed the test */

/* Until the other end hangs up; false if it never does. */
static bool flood(struct tp_session *session)
{
	struct tp_frame frame = {.type = TYPE_OF_A_LATER_VERSION};
	uint64_t end_ns = xm_now_ns() + FLOOD_NS;

	while (xm_now_ns() < end_ns)
		if (tp_send(session, TP_CONTROL, &frame, NULL, 0, NULL))
			return true;
	return false;
}

static bool hung_up;

static void flood_target_after(struct world *world, enum mig_state state)
{
	if (state == MIG_COMMITTED)
		hung_up = flood(world->source_session);
}

/* The domain is the target's, and its operation ends, whatever the source still has to say. */
static void test_source_talks_after_committed(void **state)
{
	struct world world = {.live = true, .on_source_state = flood_target_after};

	(void)state;
	hung_up = false;
	world_open(&world);
	world_move(&world);
	world_assert_moved(&world);
	assert_true(hung_up);
	world_close(&world);
}

static void flood_source_at(struct world *world, enum mig_state state)
{
	if (state == MIG_PREPARED)
		hung_up = flood(world->target_session);
}

/* The guest is paused, and PREPARED does not come: it runs on at the source. */
static void test_target_talks_instead_of_preparing(void **state)
{
	struct world world = {.live = true, .on_target_state = flood_source_at};

	(void)state;
	hung_up = false;
	world_open(&world);
	tp_set_timeout(world.source_session, TIMEOUT_MS);
	world_move(&world);
	assert_true(hung_up);
	world_assert_stayed(&world);
	assert_int_equal(world.source_error.kind, XM_KIND_NETWORK);
	assert_non_null(strstr(world.source_error.text, "in time"));
	world_close(&world);
}

/* A source that never introduces itself holds no receiver for ever. */
static void test_source_never_says_hello(void **state)
{
	struct world world = {0};

	(void)state;
	world_open(&world);
	tp_set_timeout(world.target_session, TIMEOUT_MS);
	world_start_target(&world);
	assert_true(flood(world.source_session));
	world_join_target(&world);
	assert_int_equal(world.target_rc, -ETIMEDOUT);
	assert_int_equal(world.target_result.state, MIG_ABORTED);
	world_close(&world);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_source_talks_after_committed),
		cmocka_unit_test(test_target_talks_instead_of_preparing),
		cmocka_unit_test(test_source_never_says_hello),
	};

	return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}
