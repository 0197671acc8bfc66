/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of text, built piece by piece in a fixed buffer. What does not fit is dropped, never
 * written. */
#ifndef XM_TESTS_GUESTS_TEXT_H
#define XM_TESTS_GUESTS_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#define TEXT_SIZE 1024u

struct text {
	uint32_t used;
	char bytes[TEXT_SIZE];
};

void text_start(struct text *text);
void text_add(struct text *text, const char *string);
void text_decimal(struct text *text, uint64_t value);
void text_hex(struct text *text, uint64_t value);

/* Appends " key=value", without the blank if it is the line's first word. */
void text_word(struct text *text, const char *key, const char *value);
void text_number(struct text *text, const char *key, uint64_t value);

/* Decimal digits only; false for anything else and for more than 64 bits hold. */
bool text_parse(const char *string, uint64_t *ret_value);

#endif
