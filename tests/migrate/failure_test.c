// SPDX-License-Identifier: Apache-2.0
/* Everything that can go wrong, in each state: one owner, always, and nothing left behind. */
#include "tests/migrate/world.h"

#include <errno.h>
#include <semaphore.h>
#include <string.h>

#include "common/clock.h"
#include "common/fault.h"

#define MIB (1ull << 20)

static int refuse_host(struct xm_error *err)
{
	return xm_fail(err, XM_KIND_HOST, -ENOMEM, "there is no room for it");
}

static int refuse_conflict(struct xm_error *err)
{
	return xm_fail(err, XM_KIND_CONFLICT, -EEXIST, "somebody had it aborted");
}

static void test_target_refuses(void **state)
{
	struct world world = {.live = true, .admit_error = refuse_host};

	(void)state;
	world_open(&world);
	world_move(&world);
	world_assert_stayed(&world);
	assert_int_equal(world.source_error.kind, XM_KIND_HOST);
	assert_non_null(strstr(world.source_error.text, "there is no room for it"));
	assert_int_equal(world.leaving, 0);
	world_close(&world);
}

/* The target's commit() declines: an ABORT that answers COMMIT, so the domain is the source's. */
static void test_commit_declined(void **state)
{
	struct world world = {.live = true, .commit_error = refuse_conflict};

	(void)state;
	world_open(&world);
	world_move(&world);
	world_assert_stayed(&world);
	assert_non_null(strstr(world.source_error.text, "somebody had it aborted"));
	world_close(&world);
}

/* ------------------------------------------------------------------ either end fails */

static void fail_at(const char *point)
{
	struct world world = {.live = true, .channels = 2};
	struct xm_error err = XM_ERROR_INIT;
	char spec[96];

	world_open(&world);
	snprintf(spec, sizeof(spec), "%s:error:1", point);
	assert_ok(xm_fault_arm(spec, &err), &err);
	world_move(&world);
	if (world.source_rc == 0)
		fail_msg("nothing failed at %s", point);
	world_assert_stayed(&world);
	world_close(&world);
}

static void test_failures_before_commit(void **state)
{
	static const char *const points[] = {
		"migrate.source.negotiate",
		"migrate.source.pre-copy",
		"migrate.round",
		"migrate.source.stop-and-copy",
		"migrate.source.prepare-wait",
		"migrate.commit.before-send",
		"migrate.target.negotiate",
		"migrate.target.receiving",
		"migrate.target.prepared",
		"transport.cut",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
		fail_at(points[i]);
}

static void test_domain_operations_fail(void **state)
{
	static const unsigned operations[] = {FAKE_OP_PAUSE, FAKE_OP_SAVE, FAKE_OP_CLEAN};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct world world = {.live = true};

		world_open(&world);
		fake_fail(world.source, operations[i]);
		world_move(&world);
		world_assert_stayed(&world);
		assert_int_equal(world.source_error.kind, XM_KIND_HOST);
		world_close(&world);
	}
}

/* ------------------------------------------------------------- after COMMIT was sent */

static void assert_unresolved(struct world *world)
{
	assert_int_equal(world->source_error.kind, XM_KIND_UNRESOLVED);
	assert_int_equal(world->source_result.state, MIG_UNRESOLVED);
	assert_true(hv_paused(world->source));
}

static void test_answer_lost(void **state)
{
	struct world world = {.live = true};
	struct xm_error err = XM_ERROR_INIT;

	(void)state;
	world_open(&world);
	assert_ok(xm_fault_arm("migrate.target.before-committed:error", &err), &err);
	world_move(&world);
	assert_unresolved(&world);
	assert_ok(world.target_rc, &world.target_error);
	assert_false(hv_paused(world.moved));
	world_close(&world);
}

static void test_source_loses_track(void **state)
{
	struct world world = {.live = true};
	struct xm_error err = XM_ERROR_INIT;

	(void)state;
	world_open(&world);
	assert_ok(xm_fault_arm("migrate.commit.after-send:error", &err), &err);
	world_move(&world);
	assert_unresolved(&world);
	/* COMMIT was on its way: the target decides, and both can't run since the source never does. */
	assert_int_equal(world.target_rc == 0, world.commits == 1);
	assert_int_equal(world.target_rc == 0, !hv_paused(world.moved));
	world_close(&world);
}

/* ----------------------------------------------------------------------------- cancel */

static enum mig_state cancel_in;

static void cancel_source(struct world *world, enum mig_state state)
{
	struct xm_error err = XM_ERROR_INIT;

	if (state == cancel_in)
		assert_ok(mig_source_cancel(world->engine, &err), &err);
}

static void cancel_target(struct world *world, enum mig_state state)
{
	if (state == cancel_in)
		mig_target_cancel(world->receiver);
}

static void test_cancel_in_each_state(void **state)
{
	static const enum mig_state states[] = {MIG_NEGOTIATE, MIG_PRECOPY, MIG_STOPCOPY,
						MIG_PREPARE_WAIT};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct world world = {.live = true, .on_source_state = cancel_source};
		struct xm_error err = XM_ERROR_INIT;

		cancel_in = states[i];
		world_open(&world);
		world_move(&world);
		world_assert_stayed(&world);
		assert_int_equal(world.source_error.kind, XM_KIND_CANCELLED);
		assert_int_equal(mig_source_cancel(world.engine, &err), -EALREADY);
		world_close(&world);
	}
}

static void test_target_cancels_in_each_state(void **state)
{
	static const enum mig_state states[] = {MIG_NEGOTIATE, MIG_RECEIVING, MIG_PREPARED};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct world world = {.live = true, .on_target_state = cancel_target};

		cancel_in = states[i];
		world_open(&world);
		world_move(&world);
		world_assert_stayed(&world);
		assert_int_equal(world.target_error.kind, XM_KIND_CANCELLED);
		world_close(&world);
	}
}

/* In the middle of a round that a bandwidth limit makes last: it ends at once all the same. */
static void first_round_began(void *opaque, struct hv_domain *domain,
			      const struct fake_moment *moment)
{
	struct fake_counts counts;

	fake_counts(domain, &counts);
	if (moment->event == FAKE_PRESENT && counts.logs == 2)
		sem_post(opaque);
}

static void *cancel_thread(void *argument)
{
	struct world *world = argument;
	struct xm_error err = XM_ERROR_INIT;

	sem_wait(world->hook_data);
	assert_ok(mig_source_cancel(world->engine, &err), &err);
	return NULL;
}

static void test_cancel_in_a_slow_round(void **state)
{
	sem_t began;
	struct world world = {
		.live = true,
		.channels = 2,
		.transport = WORLD_TCP,
		.hook = first_round_began,
		.hook_data = &began,
		.limits = {.rounds = 30, .downtime_ns = XM_NS_PER_S, .bandwidth = MIB}};
	pthread_t canceller;

	(void)state;
	sem_init(&began, 0, 0);
	world_open(&world);
	assert_int_equal(pthread_create(&canceller, NULL, cancel_thread, &world), 0);
	world_move(&world);
	pthread_join(canceller, NULL);
	world_assert_stayed(&world);
	assert_int_equal(world.source_error.kind, XM_KIND_CANCELLED);
	assert_true(world.source_result.total_ns < 5 * XM_NS_PER_S);
	world_close(&world);
	sem_destroy(&began);
}

/* ----------------------------------------------------------------------------- limits */

/* The guest dirties all its working set at each look at the log: 64 MiB, where the link takes 16 MiB/s. */
static void furious(void *opaque, struct hv_domain *domain, const struct fake_moment *moment)
{
	(void)opaque;
	if (moment->event == FAKE_CLEANED && moment->count == 512)
		fake_step(domain, 1000);
}

static void test_early_refusal(void **state)
{
	struct world world = {
		.live = true,
		.memory_bytes = 128 * MIB,
		.working_set = 16384,
		.first_steps = 60000,
		.hook = furious,
		.limits = {.rounds = 30, .downtime_ns = 300 * XM_NS_PER_MS, .bandwidth = 16 * MIB}};

	(void)state;
	world_open(&world);
	world_move(&world);
	world_assert_stayed(&world);
	assert_int_equal(world.source_error.kind, XM_KIND_REFUSED);
	assert_int_equal(world.source_result.progress.round, 1);
	assert_true(world.source_result.total_ns < 3 * XM_NS_PER_S);
	assert_non_null(strstr(world.source_error.text, "--max-downtime"));
	world_close(&world);
}

static void raise_limit(struct world *world, enum mig_state state)
{
	struct mig_limits limits;
	struct xm_error err = XM_ERROR_INIT;

	if (state != MIG_PRECOPY)
		return;
	mig_source_limits(world->engine, &limits);
	assert_int_equal(limits.bandwidth, 64 << 10);
	limits.bandwidth = 0;
	assert_ok(mig_source_set_limits(world->engine, &limits, &err), &err);
}

static void test_limits_change_on_the_way(void **state)
{
	struct world world = {
		.live = true,
		.on_source_state = raise_limit,
		.limits = {.rounds = 30, .downtime_ns = 300 * XM_NS_PER_MS, .bandwidth = 64 << 10}};

	(void)state;
	world_open(&world);
	world_move(&world);
	world_assert_moved(&world);
	world_close(&world);
}

static void test_limit_on_bytes(void **state)
{
	struct world world = {
		.live = true,
		.limits = {.rounds = 30, .bytes = MIB, .downtime_ns = 300 * XM_NS_PER_MS}};

	(void)state;
	world_open(&world);
	world_move(&world);
	world_assert_stayed(&world);
	assert_int_equal(world.source_error.kind, XM_KIND_REFUSED);
	assert_non_null(strstr(world.source_error.text, "bytes"));
	world_close(&world);
}

static void test_usage(void **state)
{
	struct mig_source_config config = {.channels = 1, .limits = {.rounds = 1}};
	struct world world = {.live = true};
	struct mig_source *source;
	struct xm_error err = XM_ERROR_INIT;

	(void)state;
	world_open(&world);
	config.session = world.source_session;
	config.domain = world.source;
	config.channels = 0;
	assert_int_equal(mig_source_create(&config, &source, &err), -EINVAL);
	config.channels = PF_CHANNELS_MAX + 1;
	assert_int_equal(mig_source_create(&config, &source, &err), -EINVAL);
	config.channels = 1;
	config.limits.rounds = 0;
	assert_int_equal(mig_source_create(&config, &source, &err), -EINVAL);
	config.limits.rounds = 1;
	config.zstd_level = 40;
	assert_int_equal(mig_source_create(&config, &source, &err), -EINVAL);
	config.zstd_level = 0;
	config.keep_running = true;
	assert_int_equal(mig_source_create(&config, &source, &err), -EINVAL);
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_target_refuses),
		cmocka_unit_test(test_commit_declined),
		cmocka_unit_test(test_failures_before_commit),
		cmocka_unit_test(test_domain_operations_fail),
		cmocka_unit_test(test_answer_lost),
		cmocka_unit_test(test_source_loses_track),
		cmocka_unit_test(test_cancel_in_each_state),
		cmocka_unit_test(test_target_cancels_in_each_state),
		cmocka_unit_test(test_cancel_in_a_slow_round),
		cmocka_unit_test(test_early_refusal),
		cmocka_unit_test(test_limits_change_on_the_way),
		cmocka_unit_test(test_limit_on_bytes),
		cmocka_unit_test(test_usage),
	};

	return cmocka_run_group_tests_name("failures", tests, NULL, NULL);
}
