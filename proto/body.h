/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the message functions share: bodies to and from protobuf-c's structs, and the rules for
 * text. Inside proto/ only.
 *
 * A message is unpacked into an arena: a block of memory of fixed size, so that whatever a hostile
 * body claims to hold, unpacking it takes that much and no more. It is gone with the function that
 * unpacked; nothing is freed one by one.
 */
#ifndef XM_PROTO_BODY_H
#define XM_PROTO_BODY_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "proto/frame.h"
#include "proto/messages.h"

struct pf_arena {
	ProtobufCAllocator allocator; /* what protobuf-c is given */
	uint8_t *space;
	size_t size;
	size_t used;
	bool exhausted; /* an allocation did not fit */
};

/* `space` is aligned for any type. */
void pf_arena_init(struct pf_arena *arena, void *space, size_t size);

/* Enough for any valid message but STATIC, STATE and PAGES, and some unknown fields. */
#define PF_SMALL_ARENA 8192

/* Declares an arena on the stack. */
#define PF_STACK_ARENA(name, bytes)                                                                \
	_Alignas(max_align_t) uint8_t name##_space[bytes];                                         \
	struct pf_arena name;                                                                      \
	pf_arena_init(&name, name##_space, sizeof(name##_space))

/* Caps of a frame type; the general ones for types that we do not know. */
uint32_t pf_body_cap(unsigned type);
uint32_t pf_payload_cap(unsigned type);

int pf_pack(unsigned type, const ProtobufCMessage *message, struct pf_buffer *body,
	    struct xm_error *err);

/* *ret_message lives in the arena. */
int pf_unpack(unsigned type, const ProtobufCMessageDescriptor *descriptor, const void *body,
	      size_t size, struct pf_arena *arena, void *ret_message, struct xm_error *err);

/* Records that a message breaks the protocol (DATA) and returns -EBADMSG. */
int pf_bad(struct xm_error *err, unsigned type, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* ------------------------------------------------------------------------ text */

bool pf_name_valid(const uint8_t *name, size_t size);

/* UTF-8 without control characters, or with tab and line ends if `lines`. */
bool pf_text_valid(const uint8_t *text, size_t size, bool lines);

/* Replaces what is not allowed in text with lines by '?', in place. */
void pf_text_clean(char *text);

/* Fields of type bytes, as this text of ours and as these bytes. */
ProtobufCBinaryData pf_from_text(const char *text);
ProtobufCBinaryData pf_from_bytes(const uint8_t *bytes, size_t size);

/* Checks and copies a name; capacity counts the NUL. `field` is for the error. */
int pf_to_name(unsigned type, const char *field, const ProtobufCBinaryData *data, char *ret_name,
	       size_t capacity, struct xm_error *err);
int pf_to_text(unsigned type, const char *field, const ProtobufCBinaryData *data, bool lines,
	       char *ret_text, size_t capacity, struct xm_error *err);
int pf_to_bytes(unsigned type, const char *field, const ProtobufCBinaryData *data,
		uint8_t *ret_bytes, size_t size, struct xm_error *err);

#endif
