// SPDX-License-Identifier: Apache-2.0
#include "tests/migrate/world.h"

#include <string.h>

#include "common/fault.h"

#define MIB (1ull << 20)

static const uint8_t session_id[PF_SESSION_SIZE] = "a session's id.";

/* ------------------------------------------------------------------------- callbacks */

static int record_leaving(void *opaque, struct xm_error *err)
{
	struct world *world = opaque;

	(void)err;
	world->leaving++;
	return 0;
}

static void on_source_state(void *opaque, enum mig_state state)
{
	struct world *world = opaque;

	if (world->on_source_state)
		world->on_source_state(world, state);
}

static void on_target_state(void *opaque, enum mig_state state)
{
	struct world *world = opaque;

	if (world->on_target_state)
		world->on_target_state(world, state);
}

static int admit(void *opaque, const struct pf_hello *hello, const struct pf_static *announced,
		 const struct hv_state *platform, struct hv_domain **ret_domain,
		 struct xm_error *err)
{
	struct world *world = opaque;
	struct fake_config config = {
		.memory_bytes = hello->memory_bytes,
		.vcpus = hello->vcpus,
		.working_set = world->working_set,
		.hot = world->hot,
	};
	int rc;

	if (world->admit_error)
		return world->admit_error(err);
	assert_string_equal(announced->config, "name = \"web1\"\n");
	assert_non_null(hv_state_find(platform, "fake-platform", 0));
	rc = fake_create(&config, world->target_hook, world->hook_data, &world->moved, err);
	if (rc == 0)
		*ret_domain = world->moved;
	return rc;
}

static int commit(void *opaque, uint64_t epoch, struct xm_error *err)
{
	struct world *world = opaque;

	if (world->commit_error)
		return world->commit_error(err);
	world->committed_epoch = epoch;
	world->commits++;
	return 0;
}

/* ------------------------------------------------------------------------------ story */

static void defaults(struct world *world)
{
	if (!world->channels)
		world->channels = 1;
	if (!world->memory_bytes)
		world->memory_bytes = 32 * MIB;
	if (!world->working_set)
		world->working_set = 2048;
	if (!world->first_steps)
		world->first_steps = 5000;
	if (!world->limits.rounds) {
		world->limits.rounds = MIG_ROUNDS_MAX_DEFAULT;
		world->limits.downtime_ns = MIG_DOWNTIME_NS_DEFAULT;
	}
}

static void create_engine(struct world *world)
{
	struct mig_source_config config = {
		.domain = world->source,
		.session = world->source_session,
		.name = "web1",
		.uuid = {1, 2, 3},
		.config = "name = \"web1\"\n",
		.epoch = 7,
		.channels = world->channels,
		.live = world->live,
		.zstd_level = world->zstd_level,
		.keep_running = world->keep_running,
		.limits = world->limits,
		.opaque = world,
		.record_leaving = record_leaving,
		.on_state = on_source_state,
	};
	struct xm_error err = XM_ERROR_INIT;

	memcpy(config.session_id, session_id, sizeof(session_id));
	assert_ok(mig_source_create(&config, &world->engine, &err), &err);
}

static void *nothing(void *argument)
{
	return argument;
}

/* A sanitizer starts a thread of its own with our first: it is not to be counted as left behind. */
static void start_first_thread(void)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, nothing, NULL), 0);
	pthread_join(thread, NULL);
}

/* A thread that was joined is still listed for an instant, until the kernel has reaped it. */
static void await_threads(unsigned expected)
{
	for (unsigned i = 0; i < 2000 && world_count_threads() > expected; i++)
		usleep(1000);
	assert_true(world_count_threads() <= expected);
}

void world_open(struct world *world)
{
	struct fake_config config = {0};
	struct xm_error err = XM_ERROR_INIT;
	struct hv_pause_times times;

	defaults(world);
	start_first_thread();
	world->threads_before = world_count_threads();
	world->fds_before = world_count_fds();
	config.memory_bytes = world->memory_bytes;
	config.vcpus = 2;
	config.working_set = world->working_set;
	config.hot = world->hot;
	assert_ok(fake_create(&config, world->hook, world->hook_data, &world->source, &err), &err);
	assert_ok(hv_resume(world->source, &err), &err);
	fake_step(world->source, world->first_steps);
	if (world->paused)
		assert_ok(hv_pause(world->source, &times, &err), &err);
	world_join(world);
	create_engine(world);
}

static void *receive(void *argument)
{
	struct world *world = argument;

	world->target_rc =
		mig_target_run(world->receiver, &world->target_result, &world->target_error);
	return NULL;
}

static pthread_t target_thread;

void world_start_target(struct world *world)
{
	struct mig_target_config config = {
		.session = world->target_session,
		.opaque = world,
		.admit = admit,
		.commit = commit,
		.on_state = on_target_state,
		.start_paused = world->start_paused,
	};
	struct xm_error err = XM_ERROR_INIT;

	assert_ok(mig_target_create(&config, &world->receiver, &err), &err);
	assert_int_equal(pthread_create(&target_thread, NULL, receive, world), 0);
}

void world_join_target(struct world *world)
{
	(void)world;
	assert_int_equal(pthread_join(target_thread, NULL), 0);
}

void world_run_source(struct world *world)
{
	world->source_rc =
		mig_source_run(world->engine, &world->source_result, &world->source_error);
}

void world_move(struct world *world)
{
	if (world->transport == WORLD_FILE) {
		world_run_source(world);
		if (world->source_rc)
			return;
		world_reopen_file(world);
		world_start_target(world);
	} else {
		world_start_target(world);
		world_run_source(world);
	}
	world_join_target(world);
}

void world_close(struct world *world)
{
	struct fake_counts counts;

	fake_counts(world->source, &counts);
	assert_int_equal(counts.logs, 0);
	mig_source_destroy(world->engine);
	mig_target_destroy(world->receiver);
	world_part(world);
	hv_destroy(world->source);
	hv_destroy(world->moved);
	xm_fault_arm(NULL, NULL);
	await_threads(world->threads_before);
	assert_int_equal(world_count_fds(), world->fds_before);
}

/* --------------------------------------------------------------------------- outcomes */

void world_assert_moved(struct world *world)
{
	bool runs = !world->paused && !world->start_paused;
	char what[128] = "";

	assert_ok(world->source_rc, &world->source_error);
	assert_ok(world->target_rc, &world->target_error);
	assert_int_equal(world->source_result.state, MIG_COMMITTED);
	assert_int_equal(world->target_result.state, MIG_COMMITTED);
	assert_int_equal(world->commits, 1);
	assert_int_equal(world->leaving, 1);
	assert_int_equal(world->committed_epoch, 7);
	assert_true(world->source_result.digest == world->target_result.digest);
	assert_int_equal(hv_paused(world->source), !world->keep_running);
	assert_int_equal(hv_paused(world->moved), !runs);
	if (!fake_check(world->moved, what, sizeof(what)))
		fail_msg("%s", what);
	if (!world->keep_running &&
	    !fake_same_memory(world->source, world->moved, what, sizeof(what)))
		fail_msg("%s", what);
}

void world_assert_stayed(struct world *world)
{
	char what[128] = "";

	assert_int_not_equal(world->source_rc, 0);
	assert_int_equal(world->source_result.state, MIG_ABORTED);
	assert_int_equal(world->commits, 0);
	if (world->receiver) {
		assert_int_not_equal(world->target_rc, 0);
		assert_int_equal(world->target_result.state, MIG_ABORTED);
	}
	if (world->moved)
		assert_true(hv_paused(world->moved));
	assert_int_equal(hv_paused(world->source), world->paused);
	if (!fake_check(world->source, what, sizeof(what)))
		fail_msg("%s", what);
}
