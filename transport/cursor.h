/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A place in a caller's list of iovecs: how far a gathered read or write has come. The list itself
 * is left alone. Threads: a cursor belongs to one.
 */
#ifndef XM_TRANSPORT_CURSOR_H
#define XM_TRANSPORT_CURSOR_H

#include <stddef.h>
#include <sys/uio.h>

#define TP_WINDOW_MAX 128 /* iovecs of one system call */

struct tp_cursor {
	const struct iovec *parts;
	int count;     /* parts left, this one included */
	size_t offset; /* done in this part */
	size_t left;   /* bytes left in all */
};

struct tp_cursor tp_cursor_start(const struct iovec *parts, int count);

/* The next up to `max` parts that are not done, for a system call; returns how many. */
int tp_cursor_window(const struct tp_cursor *cursor, struct iovec *ret_window, int max);

/* `bytes` more are done; at most `left`. */
void tp_cursor_advance(struct tp_cursor *cursor, size_t bytes);

/* Copies min(size, left) bytes between memory and the parts, advances, and returns how many. */
size_t tp_cursor_fill(struct tp_cursor *cursor, const void *from, size_t size);
size_t tp_cursor_drain(struct tp_cursor *cursor, void *to, size_t size);

#endif
