/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/memory/memory.h"

#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "transport/backend.h"
#include "transport/cursor.h"
#include "transport/memory/queue.h"

enum { ENDS = 2, CHANNELS = 1 + TP_CHANNELS_MAX };

/* What both ends share; the last one to be destroyed frees it. */
struct pair {
	struct tp_queue queues[ENDS][CHANNELS]; /* [the end that sends] */
	atomic_int ends;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Guarded by `lock`. */
	unsigned opened; /* page channels that the initiator has opened */
	bool closed;
};

struct end {
	struct tp_session base;
	struct pair *pair;
	int index; /* constant; 0: the initiator */
};

static struct end *end_of(struct tp_session *session)
{
	return (struct end *)session;
}

static void pair_destroy(struct pair *pair)
{
	for (int end = 0; end < ENDS; end++)
		for (int channel = 0; channel < CHANNELS; channel++)
			tp_queue_finish(&pair->queues[end][channel]);
	pthread_cond_destroy(&pair->changed);
	pthread_mutex_destroy(&pair->lock);
	free(pair);
}

static struct pair *pair_create(void)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	if (!pair)
		return NULL;
	pthread_mutex_init(&pair->lock, NULL);
	pthread_cond_init(&pair->changed, NULL);
	atomic_init(&pair->ends, ENDS);
	for (int end = 0; end < ENDS; end++) {
		for (int channel = 0; channel < CHANNELS; channel++) {
			if (tp_queue_init(&pair->queues[end][channel])) {
				pair_destroy(pair);
				return NULL;
			}
		}
	}
	return pair;
}

/* With the pair's lock held: until the initiator has opened so many. */
static int wait_opened(struct end *end, unsigned count, struct xm_error *err)
{
	struct pair *pair = end->pair;
	uint64_t until_ns = tp_session_deadline(&end->base, xm_now_ns());
	struct timespec until = xm_timespec(until_ns);

	while (!pair->closed && pair->opened < count)
		if (pthread_cond_clockwait(&pair->changed, &pair->lock, CLOCK_MONOTONIC, &until) ==
		    ETIMEDOUT)
			return tp_session_timed_out(&end->base, err);
	return pair->closed ? tp_session_closed(&end->base, true, err) : 0;
}

static int memory_open_channels(struct tp_session *session, unsigned count, struct xm_error *err)
{
	struct end *end = end_of(session);

	XM_LOCK_GUARD(&end->pair->lock);
	if (!session->initiator)
		return wait_opened(end, count, err);
	end->pair->opened = count;
	pthread_cond_broadcast(&end->pair->changed);
	return end->pair->closed ? tp_session_closed(session, true, err) : 0;
}

static int memory_send(struct tp_session *session, unsigned channel, const struct iovec *parts,
		       int count, struct xm_error *err)
{
	struct end *end = end_of(session);
	struct tp_queue *queue = &end->pair->queues[end->index][channel];
	struct tp_cursor cursor = tp_cursor_start(parts, count);
	uint64_t since_ns = xm_now_ns();

	while (cursor.left > 0) {
		uint64_t until_ns = tp_session_deadline(session, since_ns);
		uint8_t *room = NULL;
		size_t size = 0;
		int rc = tp_queue_room(queue, until_ns, &room, &size);

		if (rc == -ETIMEDOUT && tp_session_deadline(session, since_ns) > xm_now_ns())
			continue;
		if (rc == -ETIMEDOUT)
			return tp_session_timed_out(session, err);
		if (rc)
			return tp_session_closed(session, true, err);
		size = tp_cursor_drain(&cursor, room, size);
		tp_queue_put(queue, size);
		tp_session_sent(session, size);
	}
	return 0;
}

static int memory_receive(struct tp_session *session, unsigned channel, const struct iovec *parts,
			  int count, bool at_start, struct xm_error *err)
{
	struct end *end = end_of(session);
	struct tp_queue *queue = &end->pair->queues[1 - end->index][channel];
	struct tp_cursor cursor = tp_cursor_start(parts, count);
	uint64_t since_ns = xm_now_ns();

	while (cursor.left > 0) {
		uint64_t until_ns = tp_session_deadline(session, since_ns);
		uint8_t *bytes = NULL;
		size_t size = 0;
		int rc = tp_queue_bytes(queue, until_ns, &bytes, &size);

		if (rc == -ETIMEDOUT && tp_session_deadline(session, since_ns) > xm_now_ns())
			continue;
		if (rc == -ETIMEDOUT)
			return tp_session_timed_out(session, err);
		if (rc)
			return tp_session_closed(session, at_start, err);
		size = tp_cursor_fill(&cursor, bytes, size);
		tp_queue_take(queue, size);
		tp_session_received(session, size);
		at_start = false;
	}
	return 0;
}

static void memory_shutdown(struct tp_session *session)
{
	struct pair *pair = end_of(session)->pair;

	for (int end = 0; end < ENDS; end++)
		for (int channel = 0; channel < CHANNELS; channel++)
			tp_queue_close(&pair->queues[end][channel]);
	XM_LOCK_GUARD(&pair->lock);
	pair->closed = true;
	pthread_cond_broadcast(&pair->changed);
}

static void memory_destroy(struct tp_session *session)
{
	struct end *end = end_of(session);

	memory_shutdown(session);
	if (atomic_fetch_sub(&end->pair->ends, 1) == 1)
		pair_destroy(end->pair);
	tp_session_finish(session);
	free(end);
}

static const struct tp_ops memory_ops = {
	.name = "memory",
	.can_answer = true,
	.channels_max = TP_CHANNELS_MAX,
	.open_channels = memory_open_channels,
	.send = memory_send,
	.receive = memory_receive,
	.shutdown = memory_shutdown,
	.destroy = memory_destroy,
};

int tp_memory_pair(struct tp_session **ret_a, struct tp_session **ret_b, struct xm_error *err)
{
	cleanup_free struct end *a = calloc(1, sizeof(*a));
	cleanup_free struct end *b = calloc(1, sizeof(*b));
	struct pair *pair = a && b ? pair_create() : NULL;

	if (!pair)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM,
			       "Out of memory for an in-process session");
	tp_session_init(&a->base, &memory_ops, true, "memory");
	tp_session_init(&b->base, &memory_ops, false, "memory");
	a->pair = b->pair = pair;
	b->index = 1;
	*ret_a = &xm_steal(&a)->base;
	*ret_b = &xm_steal(&b)->base;
	return 0;
}
