/* SPDX-License-Identifier: Apache-2.0 */
/* What the options of migrate, save, limits say, as members of an API request. */
#ifndef XM_TOOLS_CLI_LIMITS_H
#define XM_TOOLS_CLI_LIMITS_H

#include <jansson.h>
#include <stdint.h>

struct cli_arguments;
struct xm_error;

/* Adds max_downtime_ms, bandwidth, max_rounds and max_bytes, of the options that were given. */
int limits_add(json_t *body, const struct cli_arguments *args, struct xm_error *err);

/* Adds zstd_level when --zstd was given. */
int limits_add_zstd(json_t *body, const struct cli_arguments *args, struct xm_error *err);

/* Adds `count` under `key` when the option `name` was given. */
int limits_add_count(json_t *body, const struct cli_arguments *args, const char *name,
		     const char *key, uint64_t max, struct xm_error *err);

#endif
