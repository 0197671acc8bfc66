/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/lib/config.h"

#include <string.h>

#include "tests/test.h"

static void test_everything(void **state)
{
	static const char text[] = "# a comment with 'quotes\n"
				   "name = 'web1'\n"
				   "uuid = \"01234567-89AB-cdef-0123-456789abcdef\"; vcpus = 4\n"
				   "memory=1024\n"
				   "payload = \"guests/dirty.elf\"\n"
				   "payload_args = [ 'rate=200', # in the middle\n"
				   "                 'pattern=zipf' ]\n"
				   "log_dirty = 'ring'\n"
				   "ring_entries = 8192\n"
				   "huge_pages = '2M'\n"
				   "prefault = 1\n";
	struct xm_error err = XM_ERROR_INIT;
	struct xt_config config;
	char uuid[XT_UUID_SIZE];

	(void)state;
	assert_ok(xt_config_parse(text, "/etc/xmigrate/web1.cfg", &config, &err), &err);
	assert_string_equal(config.name, "web1");
	assert_true(config.has_uuid);
	xt_uuid_format(config.uuid, uuid);
	assert_string_equal(uuid, "01234567-89ab-cdef-0123-456789abcdef");
	assert_int_equal(config.memory_bytes, 1024ull << 20);
	assert_int_equal(config.vcpus, 4);
	assert_string_equal(config.payload, "/etc/xmigrate/guests/dirty.elf");
	assert_string_equal(config.payload_args, "rate=200 pattern=zipf");
	assert_int_equal(config.log_kind, HV_LOG_RING);
	assert_int_equal(config.ring_entries, 8192);
	assert_int_equal(config.huge_page_bytes, 2u << 20);
	assert_true(config.prefault);
	xt_config_finish(&config);
}

static void test_defaults(void **state)
{
	struct xm_error err = XM_ERROR_INIT;
	struct xt_config config;

	(void)state;
	assert_ok(xt_config_parse("name='a'\nmemory=16\n", "a.cfg", &config, &err), &err);
	assert_false(config.has_uuid);
	assert_int_equal(config.vcpus, 1);
	assert_null(config.payload);
	assert_string_equal(config.payload_args, "");
	assert_int_equal(config.log_kind, HV_LOG_DEFAULT);
	assert_int_equal(config.huge_page_bytes, 0);
	assert_false(config.prefault);
	xt_config_finish(&config);
}

/* Each says what is wrong, and where. */
static void test_bad(void **state)
{
	static const struct {
		const char *text;
		const char *begin;
		const char *contains;
	} cases[] = {
		{"name = \"a\"\nmemory = 16\nmemroy = 2\n",
		 "x.cfg:3: ", "unknown setting 'memroy'"},
		{"name = \"a\"\n\nmemory = 17\n", "x.cfg:3: ", "even"},
		{"name = \"a\"\nmemory = 8\n", "x.cfg:2: ", "from 16 to"},
		{"name = \"a\"\nmemory = 99999999999999999999\n", "x.cfg:2: ", "memory"},
		{"name = \"a\"\nmemory = \"much\"\n", "x.cfg:2: ", "memory"},
		{"name = \"a\"\nmemory = [ 1, 2 ]\n", "x.cfg:2: ", "memory"},
		{"memory = 16\n", "x.cfg: ", "'name' is missing"},
		{"name = \"a\"\n", "x.cfg: ", "'memory' is missing"},
		{"memory = 16\n# more\nname = \"../a\"\n", "x.cfg:3: ", "letter or digit"},
		{"memory = 16\nname = \"\"\n", "x.cfg:2: ", "1 to 63"},
		{"memory = 16\nname = \"01234567-89ab-cdef-0123-456789abcdef\"\n",
		 "x.cfg:2: ", "UUID"},
		{"name = \"a\"\nmemory = 16\nuuid = \"1234\"\n", "x.cfg:3: ", "uuid"},
		{"name = \"a\"\nmemory = 16\nvcpus = 65\n", "x.cfg:3: ", "from 1 to 64"},
		{"name = \"a\"\nmemory = 16\nlog_dirty = \"rnig\"\n", "x.cfg:3: ", "\"ring\""},
		{"name = \"a\"\nmemory = 16\nring_entries = 1000\n", "x.cfg:3: ", "power of two"},
		{"name = \"a\"\nmemory = 16\nhuge_pages = \"4M\"\n", "x.cfg:3: ", "\"2M\""},
		{"name = \"a\"\nmemory = 16\nhuge_pages = \"1G\"\n", "x.cfg:3: ", "multiple"},
		{"name = \"a\"\nmemory = 16\nprefault = 2\n", "x.cfg:3: ", "from 0 to 1"},
		{"name = \"a\"\nmemory 16\n", "x.cfg:2: ", "syntax error"},
		{"name = \"a\nmemory = 16\n", "x.cfg:1: ", "error"},
		{"name = \"a\"\nmemory = 16\npayload_args = [ 'a',\n 'b'\n", "x.cfg:", "error"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct xm_error err = XM_ERROR_INIT;
		struct xt_config config;

		assert_int_not_equal(xt_config_parse(cases[i].text, "x.cfg", &config, &err), 0);
		assert_int_equal(err.kind, XM_KIND_CONFIG);
		if (strncmp(err.text, cases[i].begin, strlen(cases[i].begin)) != 0 ||
		    !strstr(err.text, cases[i].contains))
			fail_msg("case %zu: %s", i, err.text);
	}
}

/* The line counts right behind strings, lists and comments that look like something else. */
static void test_line_after_traps(void **state)
{
	static const char text[] = "payload_args = [ \"a ] # ;\",\n"
				   " 'b \\' [', # ] not the end\n"
				   "\n"
				   "]\n"
				   "name = \"a\" # memory = 3\n"
				   "memory = 16; memroy = 3\n";
	struct xm_error err = XM_ERROR_INIT;
	struct xt_config config;

	(void)state;
	assert_int_not_equal(xt_config_parse(text, "x.cfg", &config, &err), 0);
	assert_string_equal(err.text, "x.cfg:6: unknown setting 'memroy'");
}

static void test_missing_file(void **state)
{
	struct xm_error err = XM_ERROR_INIT;
	struct xt_config config;

	(void)state;
	assert_int_not_equal(xt_config_read("/nonexistent/a.cfg", &config, NULL, &err), 0);
	assert_int_equal(err.kind, XM_KIND_NOT_FOUND);
	assert_non_null(strstr(err.text, "/nonexistent/a.cfg"));
}

static void test_rename(void **state)
{
	static const char text[] = "# mine\nname='a'; memory = 32 # enough\n";
	static const uint8_t uuid[XT_ID_BYTES] = {0xab, 1, 2, 3};
	struct xm_error err = XM_ERROR_INIT;
	struct xt_config config;
	char *renamed;
	char *again;

	(void)state;
	renamed = xt_config_rename(text, "b", uuid);
	assert_non_null(renamed);
	assert_non_null(strstr(renamed, "# mine"));
	assert_non_null(strstr(renamed, "memory = 32 # enough"));
	assert_ok(xt_config_parse(renamed, "b.cfg", &config, &err), &err);
	assert_string_equal(config.name, "b");
	assert_true(config.has_uuid);
	assert_memory_equal(config.uuid, uuid, XT_ID_BYTES);
	assert_int_equal(config.memory_bytes, 32u << 20);
	xt_config_finish(&config);
	again = xt_config_rename(renamed, "b", uuid);
	assert_string_equal(again, renamed);
	free(again);
	free(renamed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything),   cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_bad),	     cmocka_unit_test(test_line_after_traps),
		cmocka_unit_test(test_missing_file), cmocka_unit_test(test_rename),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
