/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

void text_start(struct text *text)
{
	text->used = 0;
}

static void add_byte(struct text *text, char byte)
{
	if (text->used < TEXT_SIZE)
		text->bytes[text->used++] = byte;
}

void text_add(struct text *text, const char *string)
{
	while (*string)
		add_byte(text, *string++);
}

void text_decimal(struct text *text, uint64_t value)
{
	char digits[21];
	unsigned at = sizeof(digits) - 1;

	digits[at] = '\0';
	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	text_add(text, digits + at);
}

void text_hex(struct text *text, uint64_t value)
{
	text_add(text, "0x");
	for (int shift = 60; shift >= 0; shift -= 4)
		add_byte(text, "0123456789abcdef"[value >> shift & 15]);
}

void text_word(struct text *text, const char *key, const char *value)
{
	if (text->used)
		add_byte(text, ' ');
	text_add(text, key);
	add_byte(text, '=');
	text_add(text, value);
}

void text_number(struct text *text, const char *key, uint64_t value)
{
	text_word(text, key, "");
	text_decimal(text, value);
}

bool text_parse(const char *string, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (!*string)
		return false;
	for (; *string; string++) {
		uint64_t digit = (uint64_t)(*string - '0');

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*ret_value = value;
	return true;
}
