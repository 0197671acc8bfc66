/* SPDX-License-Identifier: Apache-2.0 */
/* A domain moves between two VMMs on two hosts, and what becomes of it when something goes wrong. */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "tests/tools/vmm/host.h"
#include "tools/lib/control.h"
#include "tools/lib/session_record.h"

struct fixture {
	struct test_host from;
	struct test_host to;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	test_host_start(&fixture->from);
	test_host_start(&fixture->to);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	test_host_stop(&fixture->from);
	test_host_stop(&fixture->to);
	free(fixture);
	return 0;
}

static json_t *migrate(struct fixture *fixture, unsigned channels)
{
	return test_call(
		&fixture->from, "web1", "migrate",
		json_pack("{ss si}", "to", fixture->to.address, "channels", (int)channels));
}

static enum xt_session_state session_at(struct test_host *host, const char *id)
{
	uint8_t session[XT_ID_BYTES];
	struct xm_error err = XM_ERROR_INIT;
	struct xt_session *record;
	enum xt_session_state state;

	assert_true(xt_hex_parse(id, session));
	assert_ok(xt_session_open(host->folder, session, &record, &err), &err);
	state = xt_session_state(record);
	xt_session_close(record);
	return state;
}

static void assert_moved(struct fixture *fixture, pid_t pid, const json_t *operation)
{
	const char *id = test_string(operation, "id");
	json_t *last;

	assert_int_equal(test_host_wait(&fixture->from, pid), 0);
	assert_false(test_host_has(&fixture->from, "web1"));
	last = test_bequeathed(&fixture->from, id);
	assert_true(json_is_true(json_object_get(last, "finished")));
	assert_true(json_is_null(json_object_get(last, "error")));
	assert_string_equal(test_string(last, "state"), "committed");
	assert_int_equal(session_at(&fixture->from, id), XT_SESSION_GONE);
	assert_int_equal(session_at(&fixture->to, id), XT_SESSION_COMMITTED);
	json_decref(last);
	last = test_finished(&fixture->to, "web1");
	assert_string_equal(test_string(last, "kind"), "incoming");
	assert_string_equal(test_string(last, "id"), id);
	json_decref(last);
	test_assert_state(&fixture->to, "web1", "running");
	test_verify(&fixture->to, "web1");
}

static void test_live(void **state)
{
	struct fixture *fixture = *state;
	pid_t pid = test_host_create(&fixture->from, "web1", "dirty", "working_set=16", false);
	json_t *before = test_call(&fixture->from, "web1", "info", NULL);
	json_t *operation = migrate(fixture, 2);
	json_t *after;
	json_t *last;

	assert_moved(fixture, pid, operation);
	last = test_bequeathed(&fixture->from, test_string(operation, "id"));
	assert_int_equal(test_number(last, "result.audit_pages"), 0);
	assert_int_equal(strlen(test_string(last, "result.digest")), 32);
	json_decref(last);
	after = test_call(&fixture->to, "web1", "info", NULL);
	assert_string_equal(test_string(before, "uuid"), test_string(after, "uuid"));
	assert_int_equal(test_number(after, "epoch"), 2);
	json_decref(before);
	json_decref(after);
	json_decref(operation);
	test_event(&fixture->to, "web1", "arrived");
}

static void test_paused_stays_paused(void **state)
{
	struct fixture *fixture = *state;
	pid_t pid = test_host_create(&fixture->from, "web1", "dirty", "working_set=8", false);

	json_decref(test_call(&fixture->from, "web1", "pause", NULL));
	json_decref(migrate(fixture, 1));
	assert_int_equal(test_host_wait(&fixture->from, pid), 0);
	json_decref(test_finished(&fixture->to, "web1"));
	test_assert_state(&fixture->to, "web1", "paused");
	json_decref(test_call(&fixture->to, "web1", "unpause", NULL));
	test_verify(&fixture->to, "web1");
}

/* There and back: the records of the first move are not in the way of the second. */
static void test_there_and_back(void **state)
{
	struct fixture *fixture = *state;
	pid_t pid = test_host_create(&fixture->from, "web1", "smp", "", false);
	pid_t back;
	json_t *info;

	json_decref(migrate(fixture, 1));
	assert_int_equal(test_host_wait(&fixture->from, pid), 0);
	json_decref(test_finished(&fixture->to, "web1"));
	info = test_call(&fixture->to, "web1", "info", NULL);
	back = (pid_t)test_number(info, "pid");
	json_decref(info);
	json_decref(test_call(&fixture->to, "web1", "migrate",
			      json_pack("{ss}", "to", fixture->from.address)));
	assert_int_equal(test_host_wait(&fixture->to, back), 0);
	json_decref(test_finished(&fixture->from, "web1"));
	test_verify(&fixture->from, "web1");
}

static void assert_stayed(struct fixture *fixture, const char *kind)
{
	json_t *operation = test_finished(&fixture->from, "web1");

	assert_string_equal(test_string(operation, "state"), "aborted");
	if (kind)
		assert_string_equal(test_string(operation, "error.kind"), kind);
	json_decref(operation);
	test_assert_state(&fixture->from, "web1", "running");
	test_verify(&fixture->from, "web1");
	test_event(&fixture->from, "web1", "aborted");
}

static void test_name_taken_at_target(void **state)
{
	struct fixture *fixture = *state;

	test_host_create(&fixture->from, "web1", "dirty", "working_set=8", false);
	test_host_create(&fixture->to, "web1", "idle", "", false);
	json_decref(migrate(fixture, 1));
	assert_stayed(fixture, "conflict");
	test_verify(&fixture->to, "web1");
}

static void test_nobody_there(void **state)
{
	struct fixture *fixture = *state;

	test_host_create(&fixture->from, "web1", "idle", "", false);
	json_decref(test_call(&fixture->from, "web1", "migrate",
			      json_pack("{ss}", "to", "127.0.0.1:1")));
	assert_stayed(fixture, "network");
}

static void test_target_dies_while_receiving(void **state)
{
	struct fixture *fixture = *state;

	test_host_create(&fixture->from, "web1", "dirty", "working_set=16", false);
	fixture->to.fault = "transport.receive:die:8";
	json_decref(migrate(fixture, 1));
	assert_stayed(fixture, NULL);
}

/* It dies between PREPARED and COMMITTED: the source asks, and the domain is its own again. */
static void test_target_dies_at_commit(void **state)
{
	struct fixture *fixture = *state;
	json_t *operation;

	test_host_create(&fixture->from, "web1", "dirty", "working_set=16", false);
	fixture->to.fault = "vmm.commit:die";
	operation = migrate(fixture, 1);
	test_event(&fixture->from, "web1", "unresolved");
	test_event(&fixture->from, "web1", "resolved");
	assert_stayed(fixture, NULL);
	assert_int_equal(session_at(&fixture->from, test_string(operation, "id")),
			 XT_SESSION_STAYED);
	assert_int_equal(session_at(&fixture->to, test_string(operation, "id")),
			 XT_SESSION_ABORTED);
	json_decref(operation);
}

/* COMMITTED is never heard: the source asks, and lets the domain go. */
static void test_committed_is_lost(void **state)
{
	struct fixture *fixture = *state;
	pid_t pid = test_host_create(&fixture->from, "web1", "dirty", "working_set=16", false);
	json_t *operation;

	fixture->to.fault = "migrate.target.before-committed:error";
	operation = migrate(fixture, 1);
	assert_moved(fixture, pid, operation);
	json_decref(operation);
}

/* An operator who knows better decides. */
static void resolve_by_hand(struct fixture *fixture, const char *action, const char *outcome)
{
	json_t *answer;

	assert_int_equal(test_call_fails(&fixture->from, "web1", "destroy", NULL),
			 XM_KIND_CONFLICT);
	test_assert_state(&fixture->from, "web1", "unresolved");
	answer = test_call(&fixture->from, "web1", "resolve", json_pack("{ss}", "action", action));
	assert_string_equal(test_string(answer, "outcome"), outcome);
	json_decref(answer);
}

/* The target dies at COMMIT, and cannot be asked: each further connection of the source fails. */
static void make_unresolved(struct fixture *fixture)
{
	fixture->from.fault = "transport.connect:error:3,transport.connect:error:4,"
			      "transport.connect:error:5,transport.connect:error:6,"
			      "transport.connect:error:7,transport.connect:error:8";
	fixture->to.fault = "vmm.commit:die";
}

static void test_keep(void **state)
{
	struct fixture *fixture = *state;

	make_unresolved(fixture);
	test_host_create(&fixture->from, "web1", "dirty", "working_set=16", false);
	json_decref(migrate(fixture, 1));
	test_event(&fixture->from, "web1", "unresolved");
	resolve_by_hand(fixture, "keep", "aborted");
	assert_stayed(fixture, NULL);
}

static void test_discard(void **state)
{
	struct fixture *fixture = *state;
	pid_t pid;

	make_unresolved(fixture);
	pid = test_host_create(&fixture->from, "web1", "dirty", "working_set=16", false);
	json_decref(migrate(fixture, 1));
	test_event(&fixture->from, "web1", "unresolved");
	resolve_by_hand(fixture, "discard", "committed");
	assert_int_equal(test_host_wait(&fixture->from, pid), 0);
	assert_false(test_host_has(&fixture->from, "web1"));
}

/* A slow link, so that there is time to do something meanwhile. */
static void migrate_slowly(struct fixture *fixture)
{
	json_decref(
		test_call(&fixture->from, "web1", "migrate",
			  json_pack("{ss si}", "to", fixture->to.address, "bandwidth", 1000000)));
}

static void test_one_at_a_time_and_cancel(void **state)
{
	struct fixture *fixture = *state;
	pid_t pid =
		test_host_create(&fixture->from, "web1", "dirty", "working_set=32 rate=1", false);

	migrate_slowly(fixture);
	assert_int_equal(test_call_fails(&fixture->from, "web1", "migrate",
					 json_pack("{ss}", "to", fixture->to.address)),
			 XM_KIND_CONFLICT);
	assert_int_equal(test_call_fails(&fixture->from, "web1", "pause", NULL), XM_KIND_CONFLICT);
	test_assert_state(&fixture->from, "web1", "migrating");
	json_decref(test_call(&fixture->from, "web1", "cancel", NULL));
	assert_stayed(fixture, "cancelled");
	/* And nothing is in the way of the next. */
	test_host_gone(&fixture->to, "web1");
	json_decref(migrate(fixture, 1));
	assert_int_equal(test_host_wait(&fixture->from, pid), 0);
	json_decref(test_finished(&fixture->to, "web1"));
	test_verify(&fixture->to, "web1");
}

/* Until memory moves, which it does when the target has made room for the domain. */
static void wait_until_it_arrives(struct fixture *fixture)
{
	json_int_t after = 0;

	for (;;) {
		json_t *operation =
			test_call(&fixture->from, "web1", "operation",
				  json_pack("{sI si}", "after", after, "wait_ms", 30000));
		bool moving = strcmp(test_string(operation, "state"), "pre-copy") == 0;

		assert_false(json_is_true(json_object_get(operation, "finished")));
		after = test_number(operation, "sequence");
		json_decref(operation);
		if (moving)
			return;
	}
}

/* What is not here yet can be looked at and given up, and nothing else. */
static void test_calls_while_it_arrives(void **state)
{
	static const char *const calls[] = {"pause", "unpause", "shutdown"};
	struct fixture *fixture = *state;
	struct test_host *to = &fixture->to;

	test_host_create(&fixture->from, "web1", "dirty", "working_set=32 rate=1", false);
	migrate_slowly(fixture);
	wait_until_it_arrives(fixture);
	test_assert_state(to, "web1", "incoming");
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		assert_int_equal(test_call_fails(to, "web1", calls[i], NULL), XM_KIND_CONFLICT);
	assert_int_equal(test_call_fails(to, "web1", "input", json_pack("{ss}", "text", "stop\n")),
			 XM_KIND_CONFLICT);
	assert_int_equal(test_call_fails(to, "web1", "save", json_pack("{ss}", "path", "/x")),
			 XM_KIND_CONFLICT);
	assert_int_equal(test_call_fails(to, "web1", "migrate",
					 json_pack("{ss}", "to", fixture->from.address)),
			 XM_KIND_CONFLICT);
	json_decref(test_call(to, "web1", "cancel", NULL));
	assert_stayed(fixture, "cancelled");
}

/* What the target's half of a cancelled move holds is free for the next try, however early that comes. */
static void test_again_after_a_cancel(void **state)
{
	struct fixture *fixture = *state;
	uint64_t began_ns = xm_now_ns();
	pid_t pid =
		test_host_create(&fixture->from, "web1", "dirty", "working_set=32 rate=1", false);
	json_t *operation;

	for (int i = 0; i < 20; i++) {
		migrate_slowly(fixture);
		if (i % 2)
			wait_until_it_arrives(fixture);
		json_decref(test_call(&fixture->from, "web1", "cancel", NULL));
		operation = test_finished(&fixture->from, "web1");
		assert_string_equal(test_string(operation, "error.kind"), "cancelled");
		assert_non_null(strstr(test_string(operation, "error.text"), "cancelled"));
		json_decref(operation);
	}
	operation = migrate(fixture, 1);
	assert_moved(fixture, pid, operation);
	json_decref(operation);
	/* Each wait was for an event: none has lasted until its time was over. */
	assert_true(xm_now_ns() - began_ns < 20 * XM_NS_PER_S);
}

static void test_limits_while_it_runs(void **state)
{
	struct fixture *fixture = *state;
	json_t *operation;
	pid_t pid;

	pid = test_host_create(&fixture->from, "web1", "dirty", "working_set=32 rate=1", false);
	migrate_slowly(fixture);
	assert_int_equal(test_call_fails(&fixture->from, "web1", "limits",
					 json_pack("{si}", "bandwidht", 0)),
			 XM_KIND_USAGE);
	operation = test_call(&fixture->from, "web1", "limits", json_pack("{si}", "bandwidth", 0));
	assert_string_equal(test_string(operation, "kind"), "migrate");
	assert_moved(fixture, pid, operation);
	json_decref(operation);
}

static void test_destroyed_in_between(void **state)
{
	struct fixture *fixture = *state;
	pid_t pid =
		test_host_create(&fixture->from, "web1", "dirty", "working_set=32 rate=1", false);

	migrate_slowly(fixture);
	json_decref(test_call(&fixture->from, "web1", "destroy", NULL));
	assert_int_equal(test_host_wait(&fixture->from, pid), 0);
	assert_false(test_host_has(&fixture->from, "web1"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_live),
		TEST(test_paused_stays_paused),
		TEST(test_there_and_back),
		TEST(test_name_taken_at_target),
		TEST(test_nobody_there),
		TEST(test_target_dies_while_receiving),
		TEST(test_target_dies_at_commit),
		TEST(test_committed_is_lost),
		TEST(test_keep),
		TEST(test_discard),
		TEST(test_one_at_a_time_and_cancel),
		TEST(test_calls_while_it_arrives),
		TEST(test_again_after_a_cancel),
		TEST(test_limits_while_it_runs),
		TEST(test_destroyed_in_between),
	};

	test_require_kvm();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
