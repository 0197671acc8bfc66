// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "proto/body.h"

bool pf_name_valid(const uint8_t *name, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		uint8_t c = name[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		bool digit = c >= '0' && c <= '9';

		if (!letter && !digit && c != '.' && c != '_' && c != '-')
			return false;
	}
	return size > 0;
}

static bool in_range(uint8_t byte, uint8_t low, uint8_t high)
{
	return byte >= low && byte <= high;
}

/*
 * The length of the UTF-8 sequence at `s`, 0 if it is not one. Only the second byte's range depends
 * on the first: it excludes longer forms than needed (E0, F0), surrogates (ED) and what is above
 * U+10FFFF (F4).
 */
static size_t sequence_length(const uint8_t *s, size_t left)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t length;

	if (s[0] < 0x80)
		return 1;
	if (in_range(s[0], 0xc2, 0xdf))
		length = 2;
	else if (in_range(s[0], 0xe0, 0xef))
		length = 3;
	else if (in_range(s[0], 0xf0, 0xf4))
		length = 4;
	else
		return 0;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	if (left < length || !in_range(s[1], low, high))
		return 0;
	for (size_t i = 2; i < length; i++)
		if (!in_range(s[i], 0x80, 0xbf))
			return 0;
	return length;
}

/* As sequence_length(), and 0 for a control character that is not allowed. */
static size_t character_length(const uint8_t *s, size_t left, bool lines)
{
	if (lines && (s[0] == '\t' || s[0] == '\n' || s[0] == '\r'))
		return 1;
	if (s[0] < 0x20 || s[0] == 0x7f)
		return 0;
	return sequence_length(s, left);
}

bool pf_text_valid(const uint8_t *text, size_t size, bool lines)
{
	for (size_t at = 0; at < size;) {
		size_t length = character_length(text + at, size - at, lines);

		if (length == 0)
			return false;
		at += length;
	}
	return true;
}

void pf_text_clean(char *text)
{
	size_t size = strlen(text);

	for (size_t at = 0; at < size;) {
		size_t length = character_length((uint8_t *)text + at, size - at, true);

		if (length == 0) {
			text[at] = '?';
			length = 1;
		}
		at += length;
	}
}

ProtobufCBinaryData pf_from_bytes(const uint8_t *bytes, size_t size)
{
	/* protobuf-c's struct has no const; packing does not write. */
	return (ProtobufCBinaryData){.len = size, .data = (uint8_t *)bytes};
}

ProtobufCBinaryData pf_from_text(const char *text)
{
	return pf_from_bytes((const uint8_t *)text, strlen(text));
}

static void copy(char *ret_text, const ProtobufCBinaryData *data)
{
	if (data->len > 0)
		memcpy(ret_text, data->data, data->len);
	ret_text[data->len] = '\0';
}

static int check_length(unsigned type, const char *field, const ProtobufCBinaryData *data,
			size_t capacity, struct xm_error *err)
{
	if (data->len >= capacity)
		return pf_bad(err, type, "its %s has %zu bytes, more than %zu", field, data->len,
			      capacity - 1);
	return 0;
}

int pf_to_name(unsigned type, const char *field, const ProtobufCBinaryData *data, char *ret_name,
	       size_t capacity, struct xm_error *err)
{
	int rc = check_length(type, field, data, capacity, err);

	if (rc != 0)
		return rc;
	if (!pf_name_valid(data->data, data->len))
		return pf_bad(err, type, "its %s is not a name of letters, digits, '.', '_', '-'",
			      field);
	copy(ret_name, data);
	return 0;
}

int pf_to_text(unsigned type, const char *field, const ProtobufCBinaryData *data, bool lines,
	       char *ret_text, size_t capacity, struct xm_error *err)
{
	int rc = check_length(type, field, data, capacity, err);

	if (rc != 0)
		return rc;
	if (!pf_text_valid(data->data, data->len, lines))
		return pf_bad(err, type, "its %s is not plain UTF-8 text", field);
	copy(ret_text, data);
	return 0;
}

int pf_to_bytes(unsigned type, const char *field, const ProtobufCBinaryData *data,
		uint8_t *ret_bytes, size_t size, struct xm_error *err)
{
	if (data->len != size)
		return pf_bad(err, type, "its %s has %zu bytes instead of %zu", field, data->len,
			      size);
	memcpy(ret_bytes, data->data, size);
	return 0;
}
