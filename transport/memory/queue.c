/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/memory/queue.h"

#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/clock.h"

int tp_queue_init(struct tp_queue *queue)
{
	*queue = (struct tp_queue){.data = malloc(TP_QUEUE_SIZE)};
	if (!queue->data)
		return -ENOMEM;
	pthread_mutex_init(&queue->lock, NULL);
	pthread_cond_init(&queue->moved, NULL);
	return 0;
}

void tp_queue_finish(struct tp_queue *queue)
{
	if (!queue->data)
		return;
	free(queue->data);
	pthread_cond_destroy(&queue->moved);
	pthread_mutex_destroy(&queue->lock);
}

void tp_queue_close(struct tp_queue *queue)
{
	XM_LOCK_GUARD(&queue->lock);
	queue->closed = true;
	pthread_cond_broadcast(&queue->moved);
}

/* With the lock held. Returns nonzero once the time has come. */
static int wait_moved(struct tp_queue *queue, uint64_t until_ns)
{
	struct timespec until = xm_timespec(until_ns);

	return pthread_cond_clockwait(&queue->moved, &queue->lock, CLOCK_MONOTONIC, &until);
}

/* The part of [position, position + size) of the ring that is contiguous in memory. */
static void locate(struct tp_queue *queue, uint64_t position, size_t size, uint8_t **ret_at,
		   size_t *ret_size)
{
	size_t start = position % TP_QUEUE_SIZE;

	*ret_at = queue->data + start;
	*ret_size = size < TP_QUEUE_SIZE - start ? size : TP_QUEUE_SIZE - start;
}

int tp_queue_room(struct tp_queue *queue, uint64_t until_ns, uint8_t **ret_at, size_t *ret_size)
{
	XM_LOCK_GUARD(&queue->lock);
	while (!queue->closed && queue->put - queue->taken == TP_QUEUE_SIZE)
		if (wait_moved(queue, until_ns) == ETIMEDOUT)
			return -ETIMEDOUT;
	if (queue->closed)
		return -EPIPE;
	locate(queue, queue->put, TP_QUEUE_SIZE - (queue->put - queue->taken), ret_at, ret_size);
	return 0;
}

int tp_queue_bytes(struct tp_queue *queue, uint64_t until_ns, uint8_t **ret_at, size_t *ret_size)
{
	XM_LOCK_GUARD(&queue->lock);
	while (!queue->closed && queue->put == queue->taken)
		if (wait_moved(queue, until_ns) == ETIMEDOUT)
			return -ETIMEDOUT;
	if (queue->put == queue->taken)
		return -EPIPE;
	locate(queue, queue->taken, queue->put - queue->taken, ret_at, ret_size);
	return 0;
}

void tp_queue_put(struct tp_queue *queue, size_t size)
{
	XM_LOCK_GUARD(&queue->lock);
	queue->put += size;
	pthread_cond_signal(&queue->moved);
}

void tp_queue_take(struct tp_queue *queue, size_t size)
{
	XM_LOCK_GUARD(&queue->lock);
	queue->taken += size;
	pthread_cond_signal(&queue->moved);
}
