/* SPDX-License-Identifier: Apache-2.0 */
#include "args.h"

#include "hypercall.h"
#include "memory.h"
#include "text.h"

#define ARGS_BYTES_MAX 2048u

static void set_choice(const struct arg *arg, const char *value)
{
	for (unsigned i = 0; arg->choices[i]; i++) {
		if (text_equal(arg->choices[i], value)) {
			*arg->value = i;
			return;
		}
	}
	payload_refuse(arg->name, value, "no such choice");
}

static void set_number(const struct arg *arg, const char *value)
{
	uint64_t number;

	if (arg->unlimited && text_equal(arg->unlimited, value)) {
		*arg->value = UINT64_MAX;
		return;
	}
	if (!text_parse(value, &number))
		payload_refuse(arg->name, value, "not a decimal number");
	if (number < arg->min || number > arg->max)
		payload_refuse(arg->name, value, "out of range");
	*arg->value = number;
}

static void set_word(char *word, const struct arg *args, unsigned count)
{
	char *value = word;

	while (*value && *value != '=')
		value++;
	if (*value == '=')
		*value++ = '\0';
	for (unsigned i = 0; i < count; i++) {
		if (!text_equal(args[i].name, word))
			continue;
		if (args[i].choices)
			set_choice(&args[i], value);
		else
			set_number(&args[i], value);
		return;
	}
	payload_refuse(word, value, "this payload has no such parameter");
}

void args_parse(const struct start_info *start, const struct arg *args, unsigned count)
{
	const char *string = (const char *)start->args_gpa;
	char copy[ARGS_BYTES_MAX + 1];
	unsigned used = 0;

	/* One blank more than the string has, so that its last word ends as the others do. */
	for (unsigned i = 0; i < ARGS_BYTES_MAX; i++) {
		bool end = string[i] == '\0';

		if (!end && string[i] != ' ') {
			copy[used++] = string[i];
			continue;
		}
		copy[used] = '\0';
		if (used)
			set_word(copy, args, count);
		used = 0;
		if (end)
			break;
	}
}
