/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/test.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/clock.h"
#include "tools/cli/units.h"

struct quantity {
	const char *text;
	uint64_t value;
};

static void test_sizes(void **state)
{
	static const struct quantity good[] = {
		{"0", 0},
		{"4096", 4096},
		{"1B", 1},
		{"64KiB", 65536},
		{"64K", 65536},
		{"1.5GiB", 1610612736},
		{"500MB", 500000000},
		{"0.5kB", 500},
		{"16777215TiB", 16777215ull << 40},
		{"18446744073709551615", UINT64_MAX},
	};
	struct xm_error err = XM_ERROR_INIT;
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_ok(units_parse_size(good[i].text, &value, &err), &err);
		assert_int_equal(value, good[i].value);
	}
}

static void test_rates(void **state)
{
	static const struct quantity good[] = {
		{"0", 0},
		{"0.0", 0},
		{"100MB/s", 100000000},
		{"1.2GiB/s", 1288490188},
		{"10Gbit/s", 1250000000},
		{"8kbit/s", 1000},
		{"1B/s", 1},
	};
	struct xm_error err = XM_ERROR_INIT;
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_ok(units_parse_rate(good[i].text, &value, &err), &err);
		assert_int_equal(value, good[i].value);
	}
}

static void test_durations(void **state)
{
	static const struct quantity good[] = {
		{"300", 300000000},  {"300ms", 300000000},   {"0.3s", 300000000}, {"50us", 50000},
		{"1ns", 1},	     {"2min", 120000000000}, {"1.5", 1500000},	  {"0", 0},
		{"0.000000001s", 1},
	};
	struct xm_error err = XM_ERROR_INIT;
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_ok(units_parse_duration(good[i].text, XM_NS_PER_MS, &value, &err), &err);
		assert_int_equal(value, good[i].value);
	}
	assert_ok(units_parse_duration("7", XM_NS_PER_S, &value, &err), &err);
	assert_int_equal(value, 7 * XM_NS_PER_S);
}

typedef int parser(const char *text, uint64_t *ret_value, struct xm_error *err);

static int parse_ms(const char *text, uint64_t *ret_value, struct xm_error *err)
{
	return units_parse_duration(text, XM_NS_PER_MS, ret_value, err);
}

static void assert_refused(parser *parse, const char *text, int code)
{
	struct xm_error err = XM_ERROR_INIT;
	uint64_t value = 42;

	if (parse(text, &value, &err) != code)
		fail_msg("'%s' was not refused with %d but: %s", text, code, err.text);
	assert_int_equal(err.kind, XM_KIND_USAGE);
	assert_non_null(strstr(err.text, text));
	assert_int_equal(value, 42);
}

static void test_nonsense_is_refused(void **state)
{
	static const char *const nonsense[] = {
		"",	 "-1",	 "+1",	 "1e3", "1.",  ".5",	"0x10",
		" 1",	 "1 ",	 "1 MB", "MB",	"1mb", "1MiB/", "1.0000000001s",
		"1,5MB", "1..5", "nan",	 "inf", "1h",  "1Mb/s", "1/s",
		"1GiBs",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		assert_refused(units_parse_size, nonsense[i], -EINVAL);
		assert_refused(units_parse_rate, nonsense[i], -EINVAL);
		assert_refused(parse_ms, nonsense[i], -EINVAL);
	}
	assert_refused(units_parse_rate, "100", -EINVAL);
	assert_refused(units_parse_rate, "100MB", -EINVAL);
	assert_refused(units_parse_size, "100MB/s", -EINVAL);
}

static void test_what_does_not_fit_is_refused(void **state)
{
	(void)state;
	assert_refused(units_parse_size, "18446744073709551616", -ERANGE);
	assert_refused(units_parse_size, "99999999999999999999999999", -ERANGE);
	assert_refused(units_parse_size, "16777216TiB", -ERANGE);
	assert_refused(units_parse_size, "18446744073709551615.5KiB", -ERANGE);
	assert_refused(units_parse_rate, "18446744073709551615kB/s", -ERANGE);
	assert_refused(parse_ms, "18446744073709551615", -ERANGE);
	assert_refused(parse_ms, "18446744074s", -ERANGE);
}

static void test_counts(void **state)
{
	static const char *const wrong[] = {"",	  "0",	 "17", "-1",
					    "4x", "1.0", " 4", "18446744073709551617"};
	struct xm_error err = XM_ERROR_INIT;
	uint64_t count = 42;

	(void)state;
	assert_ok(units_parse_count("16", "channels", 1, 16, &count, &err), &err);
	assert_int_equal(count, 16);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(units_parse_count(wrong[i], "channels", 1, 16, &count, &err),
				 -EINVAL);
		assert_non_null(strstr(err.text, "channels"));
		assert_int_equal(count, 16);
	}
}

static void test_what_is_shown(void **state)
{
	char text[UNITS_TEXT_MAX];

	(void)state;
	assert_string_equal(units_show_size(text, 0), "0 B");
	assert_string_equal(units_show_size(text, 1023), "1023 B");
	assert_string_equal(units_show_size(text, 1536), "1.50 KiB");
	assert_string_equal(units_show_size(text, 1395864371), "1.30 GiB");
	assert_string_equal(units_show_size(text, UINT64_MAX), "16.0 EiB");
	assert_string_equal(units_show_rate(text, 203.4e6), "203 MB/s");
	assert_string_equal(units_show_rate(text, 12), "12 B/s");
	assert_string_equal(units_show_ms(text, 1.423), "1.42 ms");
	assert_string_equal(units_show_ms(text, 0), "0.00 ms");
	assert_string_equal(units_show_ms(text, 2100), "2.10 s");
	assert_string_equal(units_show_ms(text, 125000), "2 min 05 s");
}

/* Numbers from outside may be anything that a double can be. */
static void test_strange_numbers_are_shown_in_bounds(void **state)
{
	static const double strange[] = {-1, NAN, INFINITY, -INFINITY, 1e308, 5e-324};
	char text[UNITS_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
		assert_true(strlen(units_show_rate(text, strange[i])) < UNITS_TEXT_MAX);
		assert_true(strlen(units_show_ms(text, strange[i])) < UNITS_TEXT_MAX);
		assert_null(strstr(text, "nan"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_nonsense_is_refused),
		cmocka_unit_test(test_what_does_not_fit_is_refused),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_what_is_shown),
		cmocka_unit_test(test_strange_numbers_are_shown_in_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
