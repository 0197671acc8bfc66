/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/cli/limits.h"

#include <errno.h>

#include "common/clock.h"
#include "common/error.h"
#include "tools/cli/cli.h"
#include "tools/cli/units.h"

#define DOWNTIME_NS_MAX (3600 * XM_NS_PER_S)
#define ROUNDS_MAX	1000000
#define ZSTD_LEVEL_MAX	19

static int add(json_t *body, const char *key, json_t *value, struct xm_error *err)
{
	if (json_object_set_new(body, key, value) < 0)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	return 0;
}

/* JSON numbers of the API are signed 64-bit. */
static int add_integer(json_t *body, const char *key, uint64_t value, const char *text,
		       struct xm_error *err)
{
	if (value > INT64_MAX)
		return xm_fail(err, XM_KIND_USAGE, -ERANGE, "'%s' is too large", text);
	return add(body, key, json_integer((json_int_t)value), err);
}

static int add_downtime(json_t *body, const char *text, struct xm_error *err)
{
	uint64_t ns;
	int rc = units_parse_duration(text, XM_NS_PER_MS, &ns, err);

	if (rc)
		return rc;
	if (ns > DOWNTIME_NS_MAX)
		return xm_fail(err, XM_KIND_USAGE, -ERANGE,
			       "a downtime of %s is longer than an hour; use --no-live instead",
			       text);
	return add(body, "max_downtime_ms", json_real((double)ns / (double)XM_NS_PER_MS), err);
}

int limits_add_count(json_t *body, const struct cli_arguments *args, const char *name,
		     const char *key, uint64_t max, struct xm_error *err)
{
	const char *text = cli_option(args, name);
	uint64_t count;
	int rc;

	if (!text)
		return 0;
	rc = units_parse_count(text, key, 1, max, &count, err);
	return rc ? rc : add_integer(body, key, count, text, err);
}

int limits_add(json_t *body, const struct cli_arguments *args, struct xm_error *err)
{
	const char *downtime = cli_option(args, "max-downtime");
	const char *bandwidth = cli_option(args, "bandwidth");
	const char *bytes = cli_option(args, "max-bytes");
	uint64_t value;
	int rc = downtime ? add_downtime(body, downtime, err) : 0;

	if (!rc && bandwidth) {
		rc = units_parse_rate(bandwidth, &value, err);
		if (!rc)
			rc = add_integer(body, "bandwidth", value, bandwidth, err);
	}
	if (!rc && bytes) {
		rc = units_parse_size(bytes, &value, err);
		if (!rc)
			rc = add_integer(body, "max_bytes", value, bytes, err);
	}
	if (!rc)
		rc = limits_add_count(body, args, "max-rounds", "max_rounds", ROUNDS_MAX, err);
	return rc;
}

int limits_add_zstd(json_t *body, const struct cli_arguments *args, struct xm_error *err)
{
	const char *text = cli_option(args, "zstd");
	uint64_t level = 1;
	int rc = 0;

	if (!text)
		return 0;
	if (text[0])
		rc = units_parse_count(text, "the zstd level", 1, ZSTD_LEVEL_MAX, &level, err);
	return rc ? rc : add_integer(body, "zstd_level", level, text, err);
}
