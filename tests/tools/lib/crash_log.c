/* SPDX-License-Identifier: Apache-2.0 */
/* The logs that outlive their domains, and how many of them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "tests/test.h"
#include "tests/tools/folder.h"
#include "tools/lib/crash_log.h"

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

static void make_log(const char *run_dir, const char *name, const char *text)
{
	cleanup_free char *domains = xm_format("%s/domains", run_dir);
	cleanup_free char *folder = xm_format("%s/%s", domains, name);
	cleanup_free char *log = xm_format("%s/vmm.log", folder);
	struct xm_error err = XM_ERROR_INIT;

	mkdir(domains, 0700);
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_ok(xm_file_replace(log, text, strlen(text), 0600, false, &err), &err);
}

static void keep(const char *run_dir, const char *name, const char *text)
{
	cleanup_free char *folder = xm_format("%s/domains/%s", run_dir, name);
	cleanup_free char *wanted = xm_format("%s/crashed/%s.log", run_dir, name);
	cleanup_free char *path = NULL;
	cleanup_free char *kept = NULL;
	struct xm_error err = XM_ERROR_INIT;

	make_log(run_dir, name, text);
	assert_ok(xt_crash_log_keep(run_dir, name, &path, &err), &err);
	assert_string_equal(path, wanted);
	assert_ok(xm_file_read(path, 100, &kept, NULL, &err), &err);
	assert_string_equal(kept, text);
	assert_int_equal(rmdir(folder), 0);
}

static void test_the_last_of_a_name(void **state)
{
	keep(*state, "web1", "first\n");
	keep(*state, "web1", "second\n");
}

static void test_the_newest_stay(void **state)
{
	for (unsigned n = 0; n < XT_CRASH_LOGS_KEPT + 3; n++) {
		cleanup_free char *name = xm_format("web%u", n);
		cleanup_free char *path = xm_format("%s/crashed/%s.log", (char *)*state, name);
		const struct timespec times[2] = {{.tv_sec = 1000 + n}, {.tv_sec = 1000 + n}};

		keep(*state, name, "x");
		assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	}
	for (unsigned n = 0; n < XT_CRASH_LOGS_KEPT + 3; n++) {
		cleanup_free char *path = xm_format("%s/crashed/web%u.log", (char *)*state, n);

		assert_int_equal(access(path, F_OK) == 0, n >= 3);
	}
}

static void test_without_a_log(void **state)
{
	struct xm_error err = XM_ERROR_INIT;
	char *path = NULL;

	assert_int_equal(xt_crash_log_keep(*state, "web1", &path, &err), -ENOENT);
	assert_int_equal(err.kind, XM_KIND_STORAGE);
	assert_null(path);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_the_last_of_a_name),
		TEST(test_the_newest_stay),
		TEST(test_without_a_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
