/* SPDX-License-Identifier: Apache-2.0 */
/* What names things: domain names, UUIDs, session and operation ids, points in time; and where files are. */
#ifndef XM_TOOLS_IDENT_H
#define XM_TOOLS_IDENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct xm_error;

#define XT_RUN_DIR_DEFAULT   "/run/xmigrate"
#define XT_STATE_DIR_DEFAULT "/var/lib/xmigrate"

#define XT_NAME_SIZE 64 /* a domain's name with its NUL: 1..63 of [A-Za-z0-9._-] */
#define XT_ID_BYTES  16 /* of a UUID, a session id, an operation id */
#define XT_UUID_SIZE 37 /* "01234567-89ab-..." and NUL */
#define XT_HEX_SIZE  33 /* 32 hex digits and NUL */
#define XT_TIME_SIZE 32 /* "2026-11-21T00:00:00Z" and NUL, with room */

/*
 * A name is a file's name and stands in URLs, so it begins with a letter or digit; one that reads as a UUID
 * would be ambiguous, since commands take either. Kind CONFIG.
 */
int xt_name_check(const char *name, struct xm_error *err);

/* Random bytes from the kernel. Ends the process if it has none: nothing could be safe then. */
void xt_random_id(uint8_t ret_id[XT_ID_BYTES]);

/* A random UUID (RFC 4122, version 4). */
void xt_uuid_generate(uint8_t ret_uuid[XT_ID_BYTES]);
void xt_uuid_format(const uint8_t uuid[XT_ID_BYTES], char ret_text[XT_UUID_SIZE]);
bool xt_uuid_parse(const char *text, uint8_t ret_uuid[XT_ID_BYTES]);

/* Session and operation ids are written as 32 lower-case hex digits, and read in exactly that form. */
void xt_hex_format(const uint8_t id[XT_ID_BYTES], char ret_text[XT_HEX_SIZE]);
bool xt_hex_parse(const char *text, uint8_t ret_id[XT_ID_BYTES]);

/* Now, in UTC, as ISO 8601. */
void xt_time_now(char ret_text[XT_TIME_SIZE]);

/* mkdir -p, each folder made with `mode`. Kind HOST. */
int xt_make_folders(const char *path, unsigned mode, struct xm_error *err);

#endif
