/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/cli/units.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/error.h"

struct unit {
	const char *name;
	uint64_t factor;
};

#define KIB (1ull << 10)
#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define TIB (1ull << 40)

static const struct unit size_units[] = {
	{"", 1},      {"B", 1},	    {"K", KIB},	     {"KiB", KIB},	 {"M", MIB},
	{"MiB", MIB}, {"G", GIB},   {"GiB", GIB},    {"T", TIB},	 {"TiB", TIB},
	{"kB", 1000}, {"KB", 1000}, {"MB", 1000000}, {"GB", 1000000000}, {"TB", 1000000000000},
	{NULL, 0},
};

static const struct unit rate_units[] = {
	{"B/s", 1},	      {"kB/s", 1000},	  {"KB/s", 1000},	 {"MB/s", 1000000},
	{"GB/s", 1000000000}, {"KiB/s", KIB},	  {"MiB/s", MIB},	 {"GiB/s", GIB},
	{"kbit/s", 125},      {"Mbit/s", 125000}, {"Gbit/s", 125000000}, {NULL, 0},
};

static const struct unit duration_units[] = {
	{"us", XM_NS_PER_US},	   {"ms", XM_NS_PER_MS},
	{"s", XM_NS_PER_S},	   {"ns", 1},
	{"min", 60 * XM_NS_PER_S}, {NULL, 0},
};

#define FRACTION_DIGITS_MAX 9

/* A decimal as exact integers: whole + fraction / scale. */
struct decimal {
	uint64_t whole;
	uint64_t fraction;
	uint64_t scale;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Reads digits; false when they do not fit 64 bits. */
static bool read_digits(const char **at, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (; is_digit(**at); ++*at)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(**at - '0'), &value))
			return false;
	*ret_value = value;
	return true;
}

/* Reads "12" or "0.25"; `*at` is left at the unit. */
static int read_decimal(const char **at, struct decimal *ret_decimal)
{
	struct decimal decimal = {.scale = 1};
	const char *digits;

	if (!is_digit(**at))
		return -EINVAL;
	if (!read_digits(at, &decimal.whole))
		return -ERANGE;
	if (**at == '.') {
		digits = ++*at;
		if (!is_digit(*digits) || strspn(digits, "0123456789") > FRACTION_DIGITS_MAX)
			return -EINVAL;
		read_digits(at, &decimal.fraction);
		for (; digits < *at; digits++)
			decimal.scale *= 10;
	}
	*ret_decimal = decimal;
	return 0;
}

static int scale(const struct decimal *decimal, uint64_t factor, uint64_t *ret_value)
{
	unsigned __int128 value = (unsigned __int128)decimal->whole * factor;

	value += (unsigned __int128)decimal->fraction * factor / decimal->scale;
	if (value > UINT64_MAX)
		return -ERANGE;
	*ret_value = (uint64_t)value;
	return 0;
}

static const struct unit *find_unit(const struct unit *units, const char *name)
{
	for (; units->name; units++)
		if (strcmp(units->name, name) == 0)
			return units;
	return NULL;
}

static int parse(const char *text, const struct unit *units, uint64_t bare_factor,
		 uint64_t *ret_value)
{
	struct decimal decimal;
	const char *at = text;
	const struct unit *unit;
	uint64_t factor = bare_factor;
	int rc = read_decimal(&at, &decimal);

	if (rc)
		return rc;
	if (*at) {
		unit = find_unit(units, at);
		if (!unit)
			return -EINVAL;
		factor = unit->factor;
	} else if (bare_factor == 0 && (decimal.whole || decimal.fraction)) {
		return -EINVAL;
	}
	return scale(&decimal, factor, ret_value);
}

static int fail_parse(struct xm_error *err, int rc, const char *text, const char *what,
		      const char *examples)
{
	if (rc == -ERANGE)
		return xm_fail(err, XM_KIND_USAGE, rc, "'%s' is too large for a %s", text, what);
	return xm_fail(err, XM_KIND_USAGE, rc, "'%s' is not a %s; write it like %s", text, what,
		       examples);
}

int units_parse_size(const char *text, uint64_t *ret_bytes, struct xm_error *err)
{
	int rc = parse(text, size_units, 1, ret_bytes);

	return rc ? fail_parse(err, rc, text, "size", "64MiB, 1.5GiB or 500MB") : 0;
}

int units_parse_rate(const char *text, uint64_t *ret_bytes_per_s, struct xm_error *err)
{
	int rc = parse(text, rate_units, 0, ret_bytes_per_s);

	return rc ? fail_parse(err, rc, text, "rate", "100MB/s, 1.2GiB/s or 10Gbit/s (0: no limit)")
		  : 0;
}

int units_parse_duration(const char *text, uint64_t bare_unit_ns, uint64_t *ret_ns,
			 struct xm_error *err)
{
	int rc = parse(text, duration_units, bare_unit_ns, ret_ns);

	return rc ? fail_parse(err, rc, text, "duration", "300ms, 0.3s or 2min") : 0;
}

int units_parse_count(const char *text, const char *what, uint64_t min, uint64_t max,
		      uint64_t *ret_count, struct xm_error *err)
{
	const char *at = text;
	uint64_t count;

	if (!is_digit(*at) || !read_digits(&at, &count) || *at || count < min || count > max)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "'%s' is not right for %s: a whole number from %llu to %llu is",
			       text, what, (unsigned long long)min, (unsigned long long)max);
	*ret_count = count;
	return 0;
}

/* Three significant digits, which is what an eye can use: 1.42, 14.2, 142, 1423. */
static void show(char buffer[UNITS_TEXT_MAX], double value, const char *unit)
{
	int digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;

	snprintf(buffer, UNITS_TEXT_MAX, "%.*f %s", digits, value, unit);
}

const char *units_show_size(char buffer[UNITS_TEXT_MAX], uint64_t bytes)
{
	static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	int name = 0;

	for (; value >= 1024 && name < 6; name++)
		value /= 1024;
	if (name == 0)
		snprintf(buffer, UNITS_TEXT_MAX, "%u B", (unsigned)bytes);
	else
		show(buffer, value, names[name]);
	return buffer;
}

const char *units_show_rate(char buffer[UNITS_TEXT_MAX], double bytes_per_s)
{
	static const char *const names[] = {"B/s", "kB/s", "MB/s", "GB/s", "TB/s"};
	double value = isfinite(bytes_per_s) && bytes_per_s > 0 ? fmin(bytes_per_s, 1e18) : 0;
	int name = 0;

	for (; value >= 1000 && name < 4; name++)
		value /= 1000;
	if (name == 0)
		snprintf(buffer, UNITS_TEXT_MAX, "%.0f B/s", value);
	else
		show(buffer, value, names[name]);
	return buffer;
}

const char *units_show_ms(char buffer[UNITS_TEXT_MAX], double ms)
{
	double value = isfinite(ms) && ms > 0 ? fmin(ms, 1e15) : 0;

	if (value < 1000) {
		show(buffer, value, "ms");
	} else if (value < 120000) {
		show(buffer, value / 1000, "s");
	} else {
		unsigned long long s = (unsigned long long)(value / 1000);

		snprintf(buffer, UNITS_TEXT_MAX, "%llu min %02llu s", s / 60, s % 60);
	}
	return buffer;
}
