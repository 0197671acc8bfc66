/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/lib/session_record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/file.h"
#include "proto/messages.h"
#include "tests/test.h"
#include "tests/tools/folder.h"

static int setup(void **state)
{
	*state = test_folder_make();
	return 0;
}

static int teardown(void **state)
{
	test_folder_remove(*state);
	return 0;
}

static struct xt_session_info info_of(uint8_t session, enum xt_session_state state)
{
	struct xt_session_info info = {.session = {session}, .state = state, .epoch = 3};

	strcpy(info.name, "web1");
	strcpy(info.peer, "host2:4411");
	return info;
}

static void test_create_and_open(void **state)
{
	struct xt_session_info info = info_of(1, XT_SESSION_LEAVING);
	struct xm_error err = XM_ERROR_INIT;
	struct xt_session_info seen;
	struct xt_session *record;
	struct xt_session *other;

	assert_ok(xt_session_create(*state, &info, &record, &err), &err);
	assert_int_equal(xt_session_create(*state, &info, &other, &err), -EEXIST);
	assert_int_equal(err.kind, XM_KIND_CONFLICT);
	assert_ok(xt_session_open(*state, info.session, &other, &err), &err);
	assert_true(xt_session_swap(record, XT_SESSION_LEAVING, XT_SESSION_STAYED));
	assert_false(xt_session_swap(other, XT_SESSION_LEAVING, XT_SESSION_GONE));
	assert_int_equal(xt_session_state(other), XT_SESSION_STAYED);
	assert_ok(xt_session_sync(record, &err), &err);
	xt_session_info(other, &seen);
	assert_string_equal(seen.name, "web1");
	assert_string_equal(seen.peer, "host2:4411");
	assert_int_equal(seen.epoch, 3);
	assert_int_equal(strlen(seen.boot_id), XT_UUID_SIZE - 1);
	xt_session_close(record);
	xt_session_close(other);
}

static void test_missing_and_damaged(void **state)
{
	static const uint8_t session[XT_ID_BYTES] = {9};
	struct xm_error err = XM_ERROR_INIT;
	struct xt_session *record;
	char page[4096] = "not a record";
	char *path;

	assert_int_equal(xt_session_open(*state, session, &record, &err), -ENOENT);
	assert_int_equal(err.kind, XM_KIND_NOT_FOUND);
	path = xm_format("%s/sessions/09000000000000000000000000000000", (char *)*state);
	assert_ok(xm_file_replace(path, page, 100, 0600, false, &err), &err);
	assert_int_equal(xt_session_open(*state, session, &record, &err), -EBADMSG);
	assert_ok(xm_file_replace(path, page, sizeof(page), 0600, false, &err), &err);
	assert_int_equal(xt_session_open(*state, session, &record, &err), -EBADMSG);
	assert_int_equal(err.kind, XM_KIND_DATA);
	free(path);
}

static enum pf_outcome_kind decide(const char *folder, uint8_t session)
{
	uint8_t id[XT_ID_BYTES] = {session};
	struct xm_error err = XM_ERROR_INIT;
	struct pf_outcome outcome;

	assert_ok(xt_session_decide(folder, id, &outcome, &err), &err);
	assert_true(outcome.text[0] != '\0');
	return outcome.outcome;
}

/* Rule 1: a session that nobody knows is aborted, and cannot be admitted any more. */
static void test_decide_unknown_session(void **state)
{
	struct xt_session_info info = info_of(1, XT_SESSION_RECEIVING);
	struct xm_error err = XM_ERROR_INIT;
	struct xt_session *record;

	assert_int_equal(decide(*state, 1), PF_OUTCOME_ABORTED);
	assert_int_equal(xt_session_create(*state, &info, &record, &err), -EEXIST);
	assert_int_equal(decide(*state, 1), PF_OUTCOME_ABORTED);
}

static void make_files(const char *folder, unsigned count)
{
	for (unsigned n = 0; n < count; n++) {
		char *path = xm_format("%s/sessions/%032x", folder, n);
		int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		assert_true(fd >= 0);
		close(fd);
		free(path);
	}
}

/* Whoever reaches the port can ask about sessions that he makes up: that fills no disk. */
static void test_questions_fill_no_disk(void **state)
{
	struct xt_session_info known = info_of(1, XT_SESSION_RECEIVING);
	static const uint8_t unknown[XT_ID_BYTES] = {2};
	struct xm_error err = XM_ERROR_INIT;
	struct pf_outcome outcome;
	struct xt_session *record;

	assert_ok(xt_session_create(*state, &known, &record, &err), &err);
	make_files(*state, XT_SESSION_FILES_MAX);
	assert_int_equal(xt_session_decide(*state, unknown, &outcome, &err), -ENOSPC);
	assert_int_equal(err.kind, XM_KIND_HOST);
	assert_int_equal(xt_session_open(*state, unknown, &record, &err), -ENOENT);
	assert_int_equal(decide(*state, 1), PF_OUTCOME_ABORTED);
	xt_session_close(record);
}

/* Rule 2. */
static void test_decide_settled(void **state)
{
	struct xt_session_info aborted = info_of(1, XT_SESSION_ABORTED);
	struct xt_session_info committed = info_of(2, XT_SESSION_COMMITTED);
	struct xm_error err = XM_ERROR_INIT;
	struct xt_session *record;

	strcpy(committed.boot_id, "00000000-0000-0000-0000-000000000000");
	assert_ok(xt_session_create(*state, &aborted, &record, &err), &err);
	xt_session_close(record);
	assert_ok(xt_session_create(*state, &committed, &record, &err), &err);
	xt_session_close(record);
	assert_int_equal(decide(*state, 1), PF_OUTCOME_ABORTED);
	assert_int_equal(decide(*state, 2), PF_OUTCOME_COMMITTED);
}

/* Rule 3: who asks has aborted it, and a COMMIT that comes later loses. */
static void test_decide_receiving(void **state)
{
	struct xt_session_info info = info_of(1, XT_SESSION_RECEIVING);
	struct xm_error err = XM_ERROR_INIT;
	struct xt_session *record;

	assert_ok(xt_session_create(*state, &info, &record, &err), &err);
	assert_int_equal(decide(*state, 1), PF_OUTCOME_ABORTED);
	assert_false(xt_session_swap(record, XT_SESSION_RECEIVING, XT_SESSION_COMMITTED));
	xt_session_close(record);
}

/* Rule 4: the host was restarted since. Nothing is changed. */
static void test_decide_other_boot(void **state)
{
	struct xt_session_info info = info_of(1, XT_SESSION_RECEIVING);
	struct xm_error err = XM_ERROR_INIT;
	struct xt_session *record;

	strcpy(info.boot_id, "00000000-0000-0000-0000-000000000000");
	assert_ok(xt_session_create(*state, &info, &record, &err), &err);
	assert_int_equal(decide(*state, 1), PF_OUTCOME_UNKNOWN);
	assert_int_equal(xt_session_state(record), XT_SESSION_RECEIVING);
	xt_session_close(record);
}

static void test_decide_at_the_source(void **state)
{
	struct xt_session_info info = info_of(1, XT_SESSION_LEAVING);
	struct xm_error err = XM_ERROR_INIT;
	struct xt_session *record;

	assert_ok(xt_session_create(*state, &info, &record, &err), &err);
	assert_int_equal(decide(*state, 1), PF_OUTCOME_UNKNOWN);
	assert_int_equal(xt_session_state(record), XT_SESSION_LEAVING);
	xt_session_close(record);
}

/* What the two who race tell each other, in memory shared by both. */
struct race {
	uint32_t go;
	uint32_t committed;
};

/*
 * A COMMIT in one process and a question in another: either the commit wins and the answer is COMMITTED, or
 * it loses and the answer is ABORTED. Never both, never neither.
 */
static void test_commit_races_decide(void **state)
{
	struct race *race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(race, MAP_FAILED);
	for (uint8_t round = 1; round <= 100; round++) {
		struct xt_session_info info = info_of(round, XT_SESSION_RECEIVING);
		struct xm_error err = XM_ERROR_INIT;
		struct xt_session *record;
		enum pf_outcome_kind outcome;
		int status;
		pid_t child;

		*race = (struct race){0};
		assert_ok(xt_session_create(*state, &info, &record, &err), &err);
		child = fork();
		if (child == 0) {
			/* Both start as nearly at once as can be: this spins for that instant. */
			while (!__atomic_load_n(&race->go, __ATOMIC_ACQUIRE))
				;
			race->committed =
				xt_session_swap(record, XT_SESSION_RECEIVING, XT_SESSION_COMMITTED);
			_exit(0);
		}
		__atomic_store_n(&race->go, 1, __ATOMIC_RELEASE);
		outcome = decide(*state, round);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
		assert_int_equal(outcome,
				 race->committed ? PF_OUTCOME_COMMITTED : PF_OUTCOME_ABORTED);
		xt_session_close(record);
	}
	munmap(race, sizeof(*race));
}

static void count_one(void *opaque, struct xt_session *record)
{
	(void)record;
	(*(int *)opaque)++;
}

static void test_each_and_expire(void **state)
{
	static const enum xt_session_state states[] = {XT_SESSION_LEAVING, XT_SESSION_COMMITTED,
						       XT_SESSION_ABORTED, XT_SESSION_GONE};
	struct xm_error err = XM_ERROR_INIT;
	int count = 0;

	for (uint8_t i = 0; i < 4; i++) {
		struct xt_session_info info = info_of(i + 1, states[i]);
		struct xt_session *record;

		assert_ok(xt_session_create(*state, &info, &record, &err), &err);
		xt_session_close(record);
	}
	assert_ok(xt_session_expire(*state, 3600, &err), &err);
	assert_ok(xt_session_each(*state, count_one, &count, &err), &err);
	assert_int_equal(count, 4);
	assert_ok(xt_session_expire(*state, 0, &err), &err);
	count = 0;
	assert_ok(xt_session_each(*state, count_one, &count, &err), &err);
	assert_int_equal(count, 2); /* what may still be asked about stays */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_create_and_open),	   TEST(test_missing_and_damaged),
		TEST(test_decide_unknown_session), TEST(test_decide_settled),
		TEST(test_decide_receiving),	   TEST(test_decide_other_boot),
		TEST(test_decide_at_the_source),   TEST(test_commit_races_decide),
		TEST(test_each_and_expire),	   TEST(test_questions_fill_no_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
