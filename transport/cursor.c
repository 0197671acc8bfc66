/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/cursor.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct tp_cursor tp_cursor_start(const struct iovec *parts, int count)
{
	struct tp_cursor cursor = {.parts = parts, .count = count};

	for (int i = 0; i < count; i++)
		cursor.left += parts[i].iov_len;
	tp_cursor_advance(&cursor, 0);
	return cursor;
}

int tp_cursor_window(const struct tp_cursor *cursor, struct iovec *ret_window, int max)
{
	int used = 0;

	for (int i = 0; i < cursor->count && used < max; i++) {
		size_t skip = i == 0 ? cursor->offset : 0;

		if (cursor->parts[i].iov_len == skip)
			continue;
		ret_window[used].iov_base = (uint8_t *)cursor->parts[i].iov_base + skip;
		ret_window[used].iov_len = cursor->parts[i].iov_len - skip;
		used++;
	}
	return used;
}

void tp_cursor_advance(struct tp_cursor *cursor, size_t bytes)
{
	assert(bytes <= cursor->left);
	cursor->left -= bytes;
	cursor->offset += bytes;
	while (cursor->count > 0 && cursor->offset >= cursor->parts->iov_len) {
		cursor->offset -= cursor->parts->iov_len;
		cursor->parts++;
		cursor->count--;
	}
}

static size_t copy(struct tp_cursor *cursor, uint8_t *memory, size_t size, bool to_parts)
{
	size_t done = 0;

	while (done < size && cursor->left > 0) {
		uint8_t *part = (uint8_t *)cursor->parts->iov_base + cursor->offset;
		size_t piece = cursor->parts->iov_len - cursor->offset;

		if (piece > size - done)
			piece = size - done;
		if (to_parts)
			memcpy(part, memory + done, piece);
		else
			memcpy(memory + done, part, piece);
		done += piece;
		tp_cursor_advance(cursor, piece);
	}
	return done;
}

size_t tp_cursor_fill(struct tp_cursor *cursor, const void *from, size_t size)
{
	return copy(cursor, (uint8_t *)(uintptr_t)from, size, true);
}

size_t tp_cursor_drain(struct tp_cursor *cursor, void *to, size_t size)
{
	return copy(cursor, to, size, false);
}
