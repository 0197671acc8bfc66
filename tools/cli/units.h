/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantities as an operator types them, and as he reads them.
 *
 * Sizes:     1048576, 64KiB, 1.5GiB, 500MB. K, M, G and T alone are binary, as in xl.cfg;
 *            kB, MB, GB and TB are powers of 1000.
 * Rates:     100MB/s, 1.2GiB/s, 10Gbit/s; a rate needs its unit, but for 0, which means
 *            "no limit".
 * Durations: 300ms, 0.3s, 50us, 2min; the caller says what a bare number means.
 *
 * Numbers are plain decimals with at most nine digits after the point: no sign, no
 * exponent, no space. What does not fit 64 bits is refused, never cut. All parsers
 * return 0, or -EINVAL or -ERANGE with kind USAGE and a sentence that shows the text and an
 * example of a right one.
 */
#ifndef XM_TOOLS_CLI_UNITS_H
#define XM_TOOLS_CLI_UNITS_H

#include <stddef.h>
#include <stdint.h>

struct xm_error;

int units_parse_size(const char *text, uint64_t *ret_bytes, struct xm_error *err);
int units_parse_rate(const char *text, uint64_t *ret_bytes_per_s, struct xm_error *err);

/* A bare number counts in `bare_unit_ns` (XM_NS_PER_MS: milliseconds). */
int units_parse_duration(const char *text, uint64_t bare_unit_ns, uint64_t *ret_ns,
			 struct xm_error *err);

/* A whole number within [min, max]; `what` names it in the sentence ("channels"). */
int units_parse_count(const char *text, const char *what, uint64_t min, uint64_t max,
		      uint64_t *ret_count, struct xm_error *err);

/* Room for any text that the functions below make. */
#define UNITS_TEXT_MAX 32

/* Each writes into `buffer` and returns it: "1.3 GiB", "203 MB/s", "1.42 ms". */
const char *units_show_size(char buffer[UNITS_TEXT_MAX], uint64_t bytes);
const char *units_show_rate(char buffer[UNITS_TEXT_MAX], double bytes_per_s);
const char *units_show_ms(char buffer[UNITS_TEXT_MAX], double ms);

#endif
