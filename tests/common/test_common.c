/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/bitmap.h"
#include "common/cleanup.h"
#include "common/fault.h"
#include "common/file.h"

static void error_keeps_the_first_sentence_and_adds_context(void **state)
{
	struct xm_error err = XM_ERROR_INIT;

	(void)state;
	assert_int_equal(xm_fail_errno(&err, XM_KIND_STORAGE, -ENOSPC, "cannot write %s", "/a"),
			 -ENOSPC);
	assert_string_equal(err.text, "cannot write /a: No space left on device");
	assert_int_equal(xm_context(&err, "saving '%s'", "web1"), -ENOSPC);
	assert_string_equal(err.text, "saving 'web1': cannot write /a: No space left on device");
	assert_int_equal(err.kind, XM_KIND_STORAGE);
	assert_int_equal(xm_fail(NULL, XM_KIND_DATA, -EIO, "nobody listens"), -EIO);
}

static void error_text_is_cut_and_terminated(void **state)
{
	struct xm_error err = XM_ERROR_INIT;
	char huge[3000];

	(void)state;
	memset(huge, 'x', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	xm_fail_errno(&err, XM_KIND_DATA, -EIO, "%s", huge);
	assert_int_equal(strlen(err.text), XM_ERROR_TEXT_MAX - 1);
	xm_context(&err, "%s", huge);
	assert_int_equal(strlen(err.text), XM_ERROR_TEXT_MAX - 1);
}

static void kind_names_go_both_ways(void **state)
{
	(void)state;
	for (int kind = XM_KIND_NONE; kind <= XM_KIND_UNRESOLVED; kind++)
		assert_int_equal(xm_kind_from_name(xm_kind_name(kind)), kind);
	assert_int_equal(xm_kind_from_name("no such kind"), XM_KIND_INTERNAL);
}

static void bitmap_ranges_and_searches(void **state)
{
	uint64_t map[4] = {0};

	(void)state;
	xm_bitmap_set_range(map, 3, 130);
	assert_false(xm_bitmap_test(map, 2));
	assert_true(xm_bitmap_test(map, 3));
	assert_true(xm_bitmap_test(map, 132));
	assert_false(xm_bitmap_test(map, 133));
	assert_int_equal(xm_bitmap_count(map, 256), 130);
	assert_int_equal(xm_bitmap_count(map, 100), 97);
	assert_int_equal(xm_bitmap_next_set(map, 256, 0), 3);
	assert_int_equal(xm_bitmap_next_clear(map, 256, 3), 133);
	assert_int_equal(xm_bitmap_next_set(map, 256, 133), 256);
	assert_int_equal(xm_bitmap_next_clear(map, 100, 3), 100);
	assert_int_equal(xm_bitmap_next_set(map, 3, 0), 3);
}

/* Every search and count against the obvious bit-by-bit one. */
static void bitmap_agrees_with_the_obvious(void **state)
{
	uint64_t map[3];
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 200; round++) {
		uint64_t bits = (uint64_t)(rand_r(&seed) % 192) + 1;
		uint64_t expected = 0;

		for (int word = 0; word < 3; word++)
			map[word] =
				((uint64_t)rand_r(&seed) << 33) & ((uint64_t)rand_r(&seed) << 20);
		for (uint64_t bit = 0; bit < bits; bit++) {
			uint64_t set = bit;

			expected += xm_bitmap_test(map, bit);
			while (set < bits && !xm_bitmap_test(map, set))
				set++;
			assert_int_equal(xm_bitmap_next_set(map, bits, bit), set);
		}
		assert_int_equal(xm_bitmap_count(map, bits), expected);
	}
}

static void *set_every_second(void *argument)
{
	uint64_t *map = argument;

	for (uint64_t bit = 0; bit < 64 * 1024; bit += 2)
		xm_bitmap_set_atomic(map, bit);
	return NULL;
}

static void bitmap_bits_set_by_two_threads_are_all_taken(void **state)
{
	cleanup_free uint64_t *map = calloc(1024, sizeof(*map));
	pthread_t thread;
	uint64_t taken = 0;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, set_every_second, map), 0);
	for (int pass = 0; pass < 50; pass++)
		for (size_t word = 0; word < 1024; word++)
			taken += (uint64_t)__builtin_popcountll(
				xm_bitmap_take_word_atomic(map, word));
	pthread_join(thread, NULL);
	for (size_t word = 0; word < 1024; word++)
		taken += (uint64_t)__builtin_popcountll(xm_bitmap_take_word_atomic(map, word));
	assert_int_equal(taken, 32 * 1024);
}

static void fault_fires_at_its_point_and_count_only(void **state)
{
	struct xm_error err;

	(void)state;
	assert_ok(xm_fault_arm("a.b:error:2,c:skip", &err), &err);
	assert_int_equal(xm_fault("a.b"), 0);
	assert_int_equal(xm_fault("a.b"), -EIO);
	assert_int_equal(xm_fault("a.b"), 0);
	assert_int_equal(xm_fault("c"), 1);
	assert_int_equal(xm_fault("c"), 1);
	assert_int_equal(xm_fault("other"), 0);
	assert_ok(xm_fault_arm(NULL, &err), &err);
	assert_int_equal(xm_fault("c"), 0);
}

static void fault_refuses_what_it_cannot_read(void **state)
{
	static const char *const bad[] = {"a",	       "a:explode", "a:error:0",
					  "a:error:x", ":",	    "a:delay"};
	struct xm_error err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(xm_fault_arm(bad[i], &err), -EINVAL);
		assert_int_equal(err.kind, XM_KIND_USAGE);
		assert_false(xm_fault_armed);
	}
}

static void fault_die_kills_the_process(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	if (child == 0) {
		xm_fault_arm("here:die", NULL);
		xm_fault("here");
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static int make_folder(void **state)
{
	char *folder = strdup("/tmp/xm-test-common.XXXXXX");

	*state = folder;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	cleanup_free char *folder = *state;

	return rmdir(folder);
}

static void file_is_replaced_whole_or_not_at_all(void **state)
{
	cleanup_free char *path = xm_format("%s/file", (char *)*state);
	cleanup_free char *inside = xm_format("%s/missing/file", (char *)*state);
	cleanup_free char *data = NULL;
	struct xm_error err;
	struct stat st;
	size_t size;

	assert_ok(xm_file_replace(path, "one", 3, 0600, true, &err), &err);
	assert_ok(xm_file_replace(path, "second", 6, 0640, false, &err), &err);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_ok(xm_file_read(path, 100, &data, &size, &err), &err);
	assert_int_equal(size, 6);
	assert_string_equal(data, "second");
	assert_int_equal(xm_file_replace(inside, "x", 1, 0600, false, &err), -ENOENT);
	assert_int_equal(err.kind, XM_KIND_STORAGE);
	unlink(path);
}

static void file_read_refuses_what_is_too_long_or_not_a_file(void **state)
{
	cleanup_free char *path = xm_format("%s/file", (char *)*state);
	char *data = NULL;
	struct xm_error err;

	assert_ok(xm_file_replace(path, "12345", 5, 0600, false, &err), &err);
	assert_int_equal(xm_file_read(path, 4, &data, NULL, &err), -EFBIG);
	assert_int_equal(xm_file_read(*state, 4, &data, NULL, &err), -EINVAL);
	unlink(path);
	assert_int_equal(xm_file_read(path, 4, &data, NULL, &err), -ENOENT);
	assert_int_equal(err.kind, XM_KIND_NOT_FOUND);
	assert_null(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(error_keeps_the_first_sentence_and_adds_context),
		cmocka_unit_test(error_text_is_cut_and_terminated),
		cmocka_unit_test(kind_names_go_both_ways),
		cmocka_unit_test(bitmap_ranges_and_searches),
		cmocka_unit_test(bitmap_agrees_with_the_obvious),
		cmocka_unit_test(bitmap_bits_set_by_two_threads_are_all_taken),
		cmocka_unit_test(fault_fires_at_its_point_and_count_only),
		cmocka_unit_test(fault_refuses_what_it_cannot_read),
		cmocka_unit_test(fault_die_kills_the_process),
		cmocka_unit_test_setup_teardown(file_is_replaced_whole_or_not_at_all, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(file_read_refuses_what_is_too_long_or_not_a_file,
						make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
