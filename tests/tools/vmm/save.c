/* SPDX-License-Identifier: Apache-2.0 */
/* A domain becomes a file, and comes back. */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/tools/folder.h"
#include "tests/tools/vmm/host.h"
#include "tools/lib/control.h"

struct fixture {
	struct test_host host;
	char *folder; /* for files */
	char *path;   /* the file */
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	test_host_start(&fixture->host);
	fixture->folder = test_folder_make();
	fixture->path = xm_format("%s/web1.save", fixture->folder);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	test_host_stop(&fixture->host);
	test_folder_remove(fixture->folder);
	free(fixture->path);
	free(fixture);
	return 0;
}

static unsigned files_in(const char *folder)
{
	DIR *dir = opendir(folder);
	unsigned count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2; /* . and .. */
}

static json_t *save(struct fixture *fixture, const char *leave)
{
	return test_call(&fixture->host, "web1", "save",
			 json_pack("{ss ss}", "path", fixture->path, "leave", leave));
}

static pid_t restore(struct fixture *fixture, const char *name, bool paused, json_t **ret_answer)
{
	json_t *packet = json_pack("{ss ss sb}", "start", "restore", "path", fixture->path,
				   "paused", paused);
	pid_t pid;

	if (name)
		json_object_set_new(packet, "name", json_string(name));
	*ret_answer = test_host_vmm(&fixture->host, packet, &pid);
	return pid;
}

static void restore_ok(struct fixture *fixture, const char *name, bool paused)
{
	json_t *answer;
	json_t *operation;

	restore(fixture, name, paused, &answer);
	assert_non_null(json_object_get(answer, "result"));
	operation = test_finished(&fixture->host, test_string(answer, "result.name"));
	assert_true(json_is_null(json_object_get(operation, "error")));
	assert_string_equal(test_string(operation, "kind"), "restore");
	assert_string_equal(test_string(operation, "state"), "committed");
	json_decref(operation);
	json_decref(answer);
}

static void test_save_and_restore(void **state)
{
	struct fixture *fixture = *state;
	pid_t pid = test_host_create(&fixture->host, "web1", "dirty", "working_set=8", false);
	json_t *operation = save(fixture, "destroy");
	json_t *last;

	assert_int_equal(test_host_wait(&fixture->host, pid), 0);
	last = test_bequeathed(&fixture->host, test_string(operation, "id"));
	assert_true(json_is_true(json_object_get(last, "finished")));
	assert_string_equal(test_string(last, "state"), "committed");
	json_decref(last);
	json_decref(operation);
	assert_int_equal(files_in(fixture->folder), 1);
	restore_ok(fixture, NULL, false);
	test_assert_state(&fixture->host, "web1", "running");
	test_verify(&fixture->host, "web1");
}

/* The copy has another name, another UUID, and a configuration that agrees with both. */
static void test_snapshot_and_copy(void **state)
{
	struct fixture *fixture = *state;
	json_t *original;
	json_t *copy;

	test_host_create(&fixture->host, "web1", "dirty", "working_set=8", false);
	json_decref(save(fixture, "running"));
	json_decref(test_finished(&fixture->host, "web1"));
	test_assert_state(&fixture->host, "web1", "running");
	test_verify(&fixture->host, "web1");
	restore_ok(fixture, "web2", true);
	test_assert_state(&fixture->host, "web2", "paused");
	json_decref(test_call(&fixture->host, "web2", "unpause", NULL));
	test_verify(&fixture->host, "web2");
	original = test_call(&fixture->host, "web1", "info", NULL);
	copy = test_call(&fixture->host, "web2", "info", NULL);
	assert_string_not_equal(test_string(original, "uuid"), test_string(copy, "uuid"));
	assert_non_null(strstr(test_string(copy, "config"), "name = \"web2\""));
	assert_non_null(strstr(test_string(copy, "config"), test_string(copy, "uuid")));
	json_decref(original);
	json_decref(copy);
}

static void test_leave_paused(void **state)
{
	struct fixture *fixture = *state;

	test_host_create(&fixture->host, "web1", "dirty", "working_set=8", false);
	json_decref(save(fixture, "paused"));
	json_decref(test_finished(&fixture->host, "web1"));
	test_assert_state(&fixture->host, "web1", "paused");
	json_decref(test_call(&fixture->host, "web1", "unpause", NULL));
	test_verify(&fixture->host, "web1");
}

static void test_same_name_is_refused(void **state)
{
	struct fixture *fixture = *state;
	json_t *answer;
	pid_t pid;

	test_host_create(&fixture->host, "web1", "idle", "", false);
	json_decref(save(fixture, "running"));
	json_decref(test_finished(&fixture->host, "web1"));
	pid = restore(fixture, NULL, false, &answer);
	assert_string_equal(test_string(answer, "error.kind"), "conflict");
	json_decref(answer);
	assert_int_equal(test_host_wait(&fixture->host, pid), XM_KIND_CONFLICT);
	test_verify(&fixture->host, "web1");
}

static void test_existing_file(void **state)
{
	struct fixture *fixture = *state;

	test_host_create(&fixture->host, "web1", "idle", "", false);
	assert_int_equal(xm_file_replace(fixture->path, "mine", 4, 0600, false, NULL), 0);
	assert_int_equal(test_call_fails(&fixture->host, "web1", "save",
					 json_pack("{ss}", "path", fixture->path)),
			 XM_KIND_CONFLICT);
	assert_int_equal(files_in(fixture->folder), 1);
}

/* Whatever fails, and when: the domain runs on and nothing is left. */
static void failing_save(struct fixture *fixture, const char *fault)
{
	json_t *operation;

	fixture->host.fault = fault;
	test_host_create(&fixture->host, "web1", "dirty", "working_set=8", false);
	json_decref(save(fixture, "destroy"));
	operation = test_finished(&fixture->host, "web1");
	assert_string_equal(test_string(operation, "state"), "aborted");
	assert_true(strlen(test_string(operation, "error.text")) > 10);
	json_decref(operation);
	assert_int_equal(files_in(fixture->folder), 0);
	test_assert_state(&fixture->host, "web1", "running");
	test_verify(&fixture->host, "web1");
	test_event(&fixture->host, "web1", "aborted");
}

static void test_write_fails(void **state)
{
	failing_save(*state, "transport.send:error:6");
}

static void test_publishing_fails(void **state)
{
	failing_save(*state, "vmm.save.publish:error");
}

static void test_bad_files(void **state)
{
	struct fixture *fixture = *state;
	json_t *answer;
	pid_t pid;

	pid = restore(fixture, NULL, false, &answer);
	assert_string_equal(test_string(answer, "error.kind"), "not-found");
	json_decref(answer);
	test_host_wait(&fixture->host, pid);
	assert_int_equal(xm_file_replace(fixture->path, "no stream", 9, 0600, false, NULL), 0);
	pid = restore(fixture, NULL, false, &answer);
	assert_string_equal(test_string(answer, "error.kind"), "data");
	json_decref(answer);
	assert_int_equal(test_host_wait(&fixture->host, pid), XM_KIND_DATA);
}

/* The file ends too early: the domain that was begun disappears again. */
static void test_cut_file(void **state)
{
	struct fixture *fixture = *state;
	pid_t pid = test_host_create(&fixture->host, "web1", "dirty", "working_set=8", false);
	json_t *answer;

	json_decref(save(fixture, "destroy"));
	assert_int_equal(test_host_wait(&fixture->host, pid), 0);
	assert_int_equal(truncate(fixture->path, 4 << 20), 0);
	pid = restore(fixture, NULL, false, &answer);
	json_decref(answer);
	assert_int_not_equal(test_host_wait(&fixture->host, pid), -1);
	assert_false(test_host_has(&fixture->host, "web1"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_save_and_restore), TEST(test_snapshot_and_copy),
		TEST(test_leave_paused),     TEST(test_same_name_is_refused),
		TEST(test_existing_file),    TEST(test_write_fails),
		TEST(test_publishing_fails), TEST(test_bad_files),
		TEST(test_cut_file),
	};

	test_require_kvm();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
