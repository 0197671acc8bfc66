// SPDX-License-Identifier: Apache-2.0
#include "proto/body.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

static void *arena_alloc(void *opaque, size_t size)
{
	struct pf_arena *arena = opaque;
	const size_t align = _Alignof(max_align_t);
	size_t rounded = (size + align - 1) & ~(align - 1);
	void *memory = arena->space + arena->used;

	if (rounded < size || rounded > arena->size - arena->used) {
		arena->exhausted = true;
		return NULL;
	}
	arena->used += rounded;
	return memory;
}

/* Everything goes at once, with the arena. */
static void arena_free(void *opaque, void *memory)
{
	(void)opaque;
	(void)memory;
}

void pf_arena_init(struct pf_arena *arena, void *space, size_t size)
{
	*arena = (struct pf_arena){
		.allocator = {.alloc = arena_alloc, .free = arena_free, .allocator_data = arena},
		.space = space,
		.size = size,
	};
}

void pf_buffer_finish(struct pf_buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct pf_buffer){0};
}

/* Grows to the next power of two, so that a buffer in use soon stops growing. */
static int buffer_reserve(struct pf_buffer *buffer, size_t size, struct xm_error *err)
{
	size_t capacity = buffer->capacity ? buffer->capacity : 256;
	uint8_t *data;

	if (size <= buffer->capacity)
		return 0;
	while (capacity < size)
		capacity *= 2;
	data = realloc(buffer->data, capacity);
	if (!data)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM,
			       "Out of memory for a message of %zu bytes.", size);
	buffer->data = data;
	buffer->capacity = capacity;
	return 0;
}

int pf_pack(unsigned type, const ProtobufCMessage *message, struct pf_buffer *body,
	    struct xm_error *err)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	int rc;

	if (size > pf_body_cap(type))
		return xm_fail(err, XM_KIND_INTERNAL, -EMSGSIZE,
			       "A %s message would take %zu bytes, more than the %u that the "
			       "stream allows.",
			       pf_type_name(type), size, pf_body_cap(type));
	/* An empty message has an address too, so that callers need no special case. */
	rc = buffer_reserve(body, size ? size : 1, err);
	if (rc != 0)
		return rc;
	body->size = protobuf_c_message_pack(message, body->data);
	assert(body->size == size);
	return 0;
}

int pf_unpack(unsigned type, const ProtobufCMessageDescriptor *descriptor, const void *body,
	      size_t size, struct pf_arena *arena, void *ret_message, struct xm_error *err)
{
	ProtobufCMessage *message;

	if (size > pf_body_cap(type))
		return pf_bad(err, type, "it has %zu bytes, more than %u", size, pf_body_cap(type));
	message = protobuf_c_message_unpack(descriptor, &arena->allocator, size, body);
	if (!message && arena->exhausted)
		return pf_bad(err, type, "it holds more than its limits allow");
	if (!message)
		return pf_bad(err, type, "it is not a protobuf message");
	*(ProtobufCMessage **)ret_message = message;
	return 0;
}

int pf_bad(struct xm_error *err, unsigned type, const char *fmt, ...)
{
	char reason[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	return xm_fail(
		err, XM_KIND_DATA, -EBADMSG,
		"The %s message breaks the protocol: %s. The stream was damaged, or its sender "
		"has a defect.",
		pf_type_name(type), reason);
}
