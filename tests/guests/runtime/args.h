/* SPDX-License-Identifier: Apache-2.0 */
/* A payload's parameters: "key=value" words, separated by blanks, in the argument string. */
#ifndef XM_TESTS_GUESTS_ARGS_H
#define XM_TESTS_GUESTS_ARGS_H

#include "contract.h"

#include <stdint.h>

struct arg {
	const char *name;
	uint64_t *value; /* holds the default until a word sets it */
	uint64_t min;	 /* of a number */
	uint64_t max;
	const char *const
		*choices; /* NULL-terminated names, value is the index; or NULL: a number */
	const char
		*unlimited; /* the word that stands for UINT64_MAX instead of a number, or NULL */
};

/* Sets the values. A word that is none of these ends the payload with a message and code 2. */
void args_parse(const struct start_info *start, const struct arg *args, unsigned count);

#endif
