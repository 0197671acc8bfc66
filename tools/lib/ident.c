/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/lib/ident.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/error.h"

static bool alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int xt_name_check(const char *name, struct xm_error *err)
{
	uint8_t uuid[XT_ID_BYTES];
	size_t length = strlen(name);

	if (length == 0 || length >= XT_NAME_SIZE)
		return xm_fail(err, XM_KIND_CONFIG, -EINVAL,
			       "a domain's name has 1 to %d characters, not %zu", XT_NAME_SIZE - 1,
			       length);
	for (size_t i = 0; i < length; i++)
		if (!alphanumeric(name[i]) && (i == 0 || !strchr("._-", name[i])))
			return xm_fail(
				err, XM_KIND_CONFIG, -EINVAL,
				"character %zu of the name is not allowed: a domain's name is "
				"made of letters, digits, '.', '_' and '-', and begins with a "
				"letter or digit",
				i + 1);
	if (xt_uuid_parse(name, uuid))
		return xm_fail(err, XM_KIND_CONFIG, -EINVAL,
			       "the name '%s' reads as a UUID; choose one that does not", name);
	return 0;
}

void xt_random_id(uint8_t ret_id[XT_ID_BYTES])
{
	/* Requests this small are never cut short, and can only fail before the pool is ready. */
	while (getrandom(ret_id, XT_ID_BYTES, 0) != XT_ID_BYTES)
		if (errno != EINTR)
			abort();
}

void xt_uuid_generate(uint8_t ret_uuid[XT_ID_BYTES])
{
	xt_random_id(ret_uuid);
	ret_uuid[6] = (ret_uuid[6] & 0x0f) | 0x40;
	ret_uuid[8] = (ret_uuid[8] & 0x3f) | 0x80;
}

static bool dash_before(size_t byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void xt_uuid_format(const uint8_t uuid[XT_ID_BYTES], char ret_text[XT_UUID_SIZE])
{
	for (size_t i = 0; i < XT_ID_BYTES; i++) {
		if (dash_before(i))
			*ret_text++ = '-';
		sprintf(ret_text, "%02x", uuid[i]);
		ret_text += 2;
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static bool hex_byte(const char *text, uint8_t *ret_byte)
{
	int high = hex_digit(text[0]);
	int low = high < 0 ? -1 : hex_digit(text[1]);

	if (low < 0)
		return false;
	*ret_byte = (uint8_t)(high << 4 | low);
	return true;
}

bool xt_uuid_parse(const char *text, uint8_t ret_uuid[XT_ID_BYTES])
{
	uint8_t uuid[XT_ID_BYTES];
	char lower[XT_UUID_SIZE];
	const char *at = lower;

	if (strlen(text) != XT_UUID_SIZE - 1)
		return false;
	for (size_t i = 0; i < XT_UUID_SIZE; i++)
		lower[i] = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] + 32) : text[i];
	for (size_t i = 0; i < XT_ID_BYTES; i++) {
		if (dash_before(i) && *at++ != '-')
			return false;
		if (!hex_byte(at, &uuid[i]))
			return false;
		at += 2;
	}
	memcpy(ret_uuid, uuid, sizeof(uuid));
	return true;
}

void xt_hex_format(const uint8_t id[XT_ID_BYTES], char ret_text[XT_HEX_SIZE])
{
	for (size_t i = 0; i < XT_ID_BYTES; i++)
		sprintf(ret_text + 2 * i, "%02x", id[i]);
}

bool xt_hex_parse(const char *text, uint8_t ret_id[XT_ID_BYTES])
{
	uint8_t id[XT_ID_BYTES];

	if (strlen(text) != XT_HEX_SIZE - 1)
		return false;
	for (size_t i = 0; i < XT_ID_BYTES; i++)
		if (!hex_byte(text + 2 * i, &id[i]))
			return false;
	memcpy(ret_id, id, sizeof(id));
	return true;
}

void xt_time_now(char ret_text[XT_TIME_SIZE])
{
	time_t now = time(NULL);
	struct tm utc;

	gmtime_r(&now, &utc);
	strftime(ret_text, XT_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

int xt_make_folders(const char *path, unsigned mode, struct xm_error *err)
{
	cleanup_free char *copy = strdup(path);

	if (!copy)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory making %s", path);
	for (char *slash = copy; slash;) {
		slash = strchr(slash + 1, '/');
		if (slash)
			*slash = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot make the folder %s",
					     copy);
		if (slash)
			*slash = '/';
	}
	return 0;
}
