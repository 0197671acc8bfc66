/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/lib/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/file.h"
#include "tests/test.h"
#include "tests/tools/folder.h"

#define MIB (1ull << 20)

struct fixture {
	char *folder;
	char *meminfo;
	struct xt_registry registry;
};

/* A host with 160 MiB, of which 150 may be claimed. */
static int setup(void **state)
{
	static const char meminfo[] = "MemTotal:         163840 kB\n"
				      "MemFree:            1000 kB\n"
				      "MemAvailable:     122880 kB\n"
				      "Hugetlb:               0 kB\n";
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	fixture->folder = test_folder_make();
	fixture->meminfo = xm_format("%s/meminfo", fixture->folder);
	if (xm_file_replace(fixture->meminfo, meminfo, strlen(meminfo), 0600, false, NULL))
		return -1;
	fixture->registry =
		(struct xt_registry){.run_dir = fixture->folder, .meminfo = fixture->meminfo};
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	test_folder_remove(fixture->folder);
	free(fixture->meminfo);
	free(fixture);
	return 0;
}

static struct xt_domain_record record_of(const char *name, uint8_t uuid, uint64_t mib)
{
	struct xt_domain_record record = {.uuid = {uuid}, .memory_bytes = mib * MIB, .vcpus = 1};

	strcpy(record.name, name);
	return record;
}

static int claim(struct fixture *fixture, const struct xt_domain_record *record,
		 struct xt_claim **ret_claim, struct xm_error *err)
{
	return xt_claim_make(&fixture->registry, record, "name = 'x'\n", ret_claim, err);
}

static bool exists(struct fixture *fixture, const char *path)
{
	char *whole = xm_format("%s/%s", fixture->folder, path);
	struct stat st;
	bool there = lstat(whole, &st) == 0;

	free(whole);
	return there;
}

static void test_claim_and_release(void **state)
{
	struct fixture *fixture = *state;
	struct xt_domain_record record = record_of("web1", 0xaa, 32);
	struct xm_error err = XM_ERROR_INIT;
	struct xt_domain_record *records;
	struct xt_claim *web1;
	size_t count;

	record.epoch = 7;
	record.pid = 4711;
	strcpy(record.session, "00112233445566778899aabbccddeeff");
	strcpy(record.created_at, "2026-11-21T00:00:00Z");
	assert_ok(claim(fixture, &record, &web1, &err), &err);
	assert_true(exists(fixture, "domains/web1/config.cfg"));
	assert_true(exists(fixture, "uuids/aa000000-0000-0000-0000-000000000000"));
	assert_ok(xt_registry_list(&fixture->registry, &records, &count, &err), &err);
	assert_int_equal(count, 1);
	assert_memory_equal(&records[0], &record, sizeof(record));
	free(records);
	xt_claim_release(web1);
	assert_false(exists(fixture, "domains/web1"));
	assert_false(exists(fixture, "uuids/aa000000-0000-0000-0000-000000000000"));
	assert_ok(claim(fixture, &record, &web1, &err), &err);
	xt_claim_release(web1);
}

static void test_collisions(void **state)
{
	struct fixture *fixture = *state;
	struct xt_domain_record first = record_of("web1", 1, 16);
	struct xt_domain_record same_name = record_of("web1", 2, 16);
	struct xt_domain_record same_uuid = record_of("web2", 1, 16);
	struct xm_error err = XM_ERROR_INIT;
	struct xt_claim *claimed;
	struct xt_claim *other;

	assert_ok(claim(fixture, &first, &claimed, &err), &err);
	assert_int_equal(claim(fixture, &same_name, &other, &err), -EEXIST);
	assert_int_equal(err.kind, XM_KIND_CONFLICT);
	assert_non_null(strstr(err.text, "web1"));
	assert_int_equal(claim(fixture, &same_uuid, &other, &err), -EEXIST);
	assert_int_equal(err.kind, XM_KIND_CONFLICT);
	assert_false(exists(fixture, "domains/web2"));
	xt_claim_release(claimed);
}

static void test_memory(void **state)
{
	struct fixture *fixture = *state;
	struct xt_domain_record big = record_of("big", 1, 110);
	struct xt_domain_record fits = record_of("fits", 2, 40);
	struct xt_domain_record too_much = record_of("more", 3, 42);
	struct xt_domain_record not_available = record_of("now", 4, 122);
	struct xm_error err = XM_ERROR_INIT;
	struct xt_host_memory memory;
	struct xt_claim *claims[2];

	assert_int_not_equal(claim(fixture, &not_available, &claims[0], &err), 0);
	assert_int_equal(err.kind, XM_KIND_HOST);
	assert_non_null(strstr(err.text, "available"));
	assert_ok(claim(fixture, &big, &claims[0], &err), &err);
	assert_int_not_equal(claim(fixture, &too_much, &claims[1], &err), 0);
	assert_int_equal(err.kind, XM_KIND_HOST);
	assert_non_null(strstr(err.text, "reserved"));
	too_much.huge_page_bytes = 2 * MIB; /* which the kernel counts */
	assert_ok(claim(fixture, &too_much, &claims[1], &err), &err);
	xt_claim_release(claims[1]);
	assert_ok(claim(fixture, &fits, &claims[1], &err), &err);
	assert_ok(xt_registry_memory(&fixture->registry, &memory, &err), &err);
	assert_int_equal(memory.total_bytes, 160 * MIB);
	assert_int_equal(memory.reserved_bytes, 150 * MIB);
	xt_claim_release(claims[0]);
	xt_claim_release(claims[1]);
}

/* A process that claims and is then killed, as a VMM may be. */
static void leave_stale_claim(struct fixture *fixture, const struct xt_domain_record *record)
{
	pid_t child = fork();
	struct xt_claim *claimed;
	int status;

	if (child == 0) {
		if (claim(fixture, record, &claimed, NULL))
			_exit(1);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
}

static void test_stale_claim_is_taken_over(void **state)
{
	struct fixture *fixture = *state;
	struct xt_domain_record record = record_of("web1", 1, 100);
	struct xt_domain_record other_uuid = record_of("web1", 2, 100);
	struct xt_domain_record other_name = record_of("web2", 2, 100);
	struct xm_error err = XM_ERROR_INIT;
	struct xt_domain_record *records;
	struct xt_claim *claimed;
	size_t count;

	leave_stale_claim(fixture, &record);
	assert_ok(xt_registry_list(&fixture->registry, &records, &count, &err), &err);
	assert_int_equal(count, 0);
	free(records);
	/* The same name with another UUID: the old UUID's entry must not stay behind. */
	assert_ok(claim(fixture, &other_uuid, &claimed, &err), &err);
	assert_false(exists(fixture, "uuids/01000000-0000-0000-0000-000000000000"));
	xt_claim_release(claimed);
	leave_stale_claim(fixture, &other_uuid);
	assert_ok(claim(fixture, &other_name, &claimed, &err), &err);
	xt_claim_release(claimed);
}

static void note_stale(void *opaque, const struct xt_domain_record *record)
{
	*(struct xt_domain_record *)opaque = *record;
}

static void test_sweep(void **state)
{
	struct fixture *fixture = *state;
	struct xt_domain_record dead = record_of("dead", 1, 20);
	struct xt_domain_record alive = record_of("alive", 2, 20);
	struct xt_domain_record seen = {0};
	struct xm_error err = XM_ERROR_INIT;
	struct xt_claim *claimed;

	leave_stale_claim(fixture, &dead);
	assert_ok(claim(fixture, &alive, &claimed, &err), &err);
	assert_ok(xt_registry_sweep(&fixture->registry, note_stale, &seen, &err), &err);
	assert_string_equal(seen.name, "dead");
	assert_int_equal(seen.memory_bytes, 20 * MIB);
	assert_false(exists(fixture, "domains/dead"));
	assert_true(exists(fixture, "domains/alive"));
	xt_claim_release(claimed);
}

/* What a process leaves that died between two steps of a claim. */
static void test_half_made_claim(void **state)
{
	struct fixture *fixture = *state;
	struct xt_domain_record record = record_of("half", 1, 20);
	struct xm_error err = XM_ERROR_INIT;
	struct xt_claim *claimed;
	char *folder;

	assert_ok(xt_registry_init(&fixture->registry, &err), &err);
	folder = xm_format("%s/domains/half", fixture->folder);
	assert_int_equal(mkdir(folder, 0700), 0);
	free(folder);
	assert_ok(claim(fixture, &record, &claimed, &err), &err);
	xt_claim_release(claimed);
}

/* Two processes want the same name at the same time: exactly one gets it. */
static void test_race(void **state)
{
	struct fixture *fixture = *state;
	struct xt_domain_record record = record_of("web1", 1, 16);
	int winners = 0;
	pid_t children[4];
	int hold[2];
	int told[2];

	assert_int_equal(pipe(hold), 0);
	assert_int_equal(pipe(told), 0);
	for (int i = 0; i < 4; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			struct xt_claim *claimed;
			char won = claim(fixture, &record, &claimed, NULL) == 0;

			close(hold[1]);
			_exit(write(told[1], &won, 1) != 1 || read(hold[0], &won, 1) != 0);
		}
	}
	/* Whoever won keeps the claim until all have tried. */
	for (int i = 0; i < 4; i++) {
		char won;

		assert_int_equal(read(told[0], &won, 1), 1);
		winners += won;
	}
	close(hold[1]);
	for (int i = 0; i < 4; i++) {
		int status;

		waitpid(children[i], &status, 0);
		assert_int_equal(status, 0);
	}
	assert_int_equal(winners, 1);
	close(hold[0]);
	close(told[0]);
	close(told[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_claim_and_release),
		TEST(test_collisions),
		TEST(test_memory),
		TEST(test_stale_claim_is_taken_over),
		TEST(test_sweep),
		TEST(test_half_made_claim),
		TEST(test_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
