/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded queue of bytes between one writer and one reader, which are different threads.
 *
 * The lock guards the positions only; the bytes between them belong to the reader, the others to
 * the writer, so both copy at the same time.
 */
#ifndef XM_TRANSPORT_MEMORY_QUEUE_H
#define XM_TRANSPORT_MEMORY_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tp_queue {
	uint8_t *data; /* TP_QUEUE_SIZE bytes, constant after init */
	pthread_mutex_t lock;
	pthread_cond_t moved; /* bytes were put or taken, or the queue was closed */
	/* Guarded by `lock`. */
	uint64_t put; /* bytes ever put, and ever taken */
	uint64_t taken;
	bool closed; /* nothing more comes in; what is there can still be taken */
};

#define TP_QUEUE_SIZE (256u << 10)

int tp_queue_init(struct tp_queue *queue);
void tp_queue_finish(struct tp_queue *queue); /* also of zeroed memory */
void tp_queue_close(struct tp_queue *queue);

/*
 * Waits until there is room to put (bytes to take), or until the time `until_ns`, and says how many
 * contiguous bytes there are and where. -EPIPE: closed (for the reader: and empty); -ETIMEDOUT.
 */
int tp_queue_room(struct tp_queue *queue, uint64_t until_ns, uint8_t **ret_at, size_t *ret_size);
int tp_queue_bytes(struct tp_queue *queue, uint64_t until_ns, uint8_t **ret_at, size_t *ret_size);

/* So many of them were written (read). */
void tp_queue_put(struct tp_queue *queue, size_t size);
void tp_queue_take(struct tp_queue *queue, size_t size);

#endif
