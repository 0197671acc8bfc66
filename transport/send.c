/* SPDX-License-Identifier: Apache-2.0 */
/* The sending half of a session: staging buffers, numbering, and one gathered write per frame. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "transport/internal.h"

/*
 * Half of a small L2 cache: the batch is copied in, looked at for zeros, hashed and sent while it
 * is still there, and two buffers of a channel fit into 1 MiB together with what else a core is
 * doing.
 */
#define BUFFER_CAPACITY	 (256u << 10)
#define BUFFER_ALIGNMENT 4096u

size_t tp_buffer_capacity(const struct tp_session *session)
{
	(void)session;
	return BUFFER_CAPACITY;
}

/* With the channel's lock held. Memory comes at the first use: a receiver never needs any. */
static int lend(struct tp_channel *channel, struct tp_buffer **ret_buffer)
{
	for (unsigned i = 0; i < TP_STAGING_BUFFERS; i++) {
		struct tp_buffer *buffer = &channel->buffers[i];

		if (channel->lent[i])
			continue;
		if (!buffer->data)
			buffer->data = aligned_alloc(BUFFER_ALIGNMENT, BUFFER_CAPACITY);
		if (!buffer->data)
			return -ENOMEM;
		buffer->capacity = BUFFER_CAPACITY;
		channel->lent[i] = true;
		*ret_buffer = buffer;
		return 0;
	}
	return -EBUSY;
}

int tp_buffer_get(struct tp_session *session, unsigned channel, struct tp_buffer **ret_buffer,
		  struct xm_error *err)
{
	int rc = tp_channel_check(session, channel, err);

	if (rc)
		return rc;
	struct tp_channel *from = &session->channels[channel];

	XM_LOCK_GUARD(&from->lock);
	while (!atomic_load(&session->shut)) {
		rc = lend(from, ret_buffer);
		if (rc == -ENOMEM)
			return xm_fail(err, XM_KIND_INTERNAL, rc,
				       "Out of memory for a staging buffer of %u bytes",
				       BUFFER_CAPACITY);
		if (rc == 0)
			return 0;
		pthread_cond_wait(&from->returned, &from->lock);
	}
	return tp_explain(session, -ECANCELED, err);
}

void tp_buffer_put(struct tp_session *session, unsigned channel, struct tp_buffer *buffer)
{
	struct tp_channel *to = &session->channels[channel];
	ptrdiff_t slot = buffer - to->buffers;

	assert(slot >= 0 && slot < TP_STAGING_BUFFERS);
	XM_LOCK_GUARD(&to->lock);
	assert(to->lent[slot]);
	to->lent[slot] = false;
	pthread_cond_signal(&to->returned);
}

static int check_sizes(const struct tp_frame *frame, uint32_t payload_size, struct xm_error *err)
{
	if (frame->body_size <= PF_BODY_MAX && payload_size <= PF_PAYLOAD_MAX)
		return 0;
	return xm_fail(err, XM_KIND_INTERNAL, -EMSGSIZE,
		       "A frame of type %u with %u + %u bytes is over the stream's limits",
		       frame->type, frame->body_size, payload_size);
}

static void describe_frame(struct tp_session *session, unsigned channel,
			   const struct tp_frame *frame, const void *payload, uint32_t payload_size,
			   struct pf_header *ret_header)
{
	uint64_t sum = frame->payload_sum;

	/* A batch's sum was made of its page hashes while the pages were in the cache. */
	if (frame->type != PF_TYPE_PAGES)
		sum = pf_checksum(payload, payload_size);
	*ret_header = (struct pf_header){
		.type = frame->type,
		.flags = frame->flags,
		.channel = (uint16_t)channel,
		.seq = atomic_load(&session->channels[channel].sent_seq) + 1,
		.body_size = frame->body_size,
		.payload_size = payload_size,
		.body_sum = pf_checksum(frame->body, frame->body_size),
		.payload_sum = sum,
	};
}

static int send_parts(struct tp_session *session, unsigned channel, const struct tp_frame *frame,
		      const void *payload, uint32_t payload_size, struct xm_error *err)
{
	uint8_t stream_header[PF_STREAM_HEADER_SIZE];
	uint8_t bytes[PF_FRAME_HEADER_SIZE];
	struct pf_header header;
	struct iovec parts[4];
	int count = 0;

	if (channel == TP_CONTROL && session->initiator && !session->header_sent) {
		pf_stream_header_encode(stream_header);
		parts[count++] = (struct iovec){stream_header, sizeof(stream_header)};
		session->header_sent = true;
	}
	describe_frame(session, channel, frame, payload, payload_size, &header);
	pf_header_encode(&header, bytes);
	parts[count++] = (struct iovec){bytes, sizeof(bytes)};
	if (frame->body_size)
		parts[count++] = (struct iovec){(void *)(uintptr_t)frame->body, frame->body_size};
	if (payload_size)
		parts[count++] = (struct iovec){(void *)(uintptr_t)payload, payload_size};
	return session->ops->send(session, channel, parts, count, err);
}

static int send_frame(struct tp_session *session, unsigned channel, const struct tp_frame *frame,
		      const void *payload, uint32_t payload_size, struct xm_error *err)
{
	uint64_t bytes = (uint64_t)PF_FRAME_HEADER_SIZE + frame->body_size + payload_size;
	int rc = tp_channel_check(session, channel, err);

	if (rc == 0)
		rc = check_sizes(frame, payload_size, err);
	if (rc)
		return rc;
	if (channel != TP_CONTROL && tp_limiter_take(&session->limiter, bytes))
		return tp_explain(session, -ECANCELED, err);

	rc = tp_fault(session, "transport.send", err);
	if (rc == 0)
		rc = send_parts(session, channel, frame, payload, payload_size, err);
	if (rc < 0)
		return tp_explain(session, rc, err);
	/* The one sender of the channel is the only writer; others may look. */
	atomic_fetch_add(&session->channels[channel].sent_seq, 1);
	return 0;
}

int tp_send(struct tp_session *session, unsigned channel, const struct tp_frame *frame,
	    const void *payload, uint32_t payload_size, struct xm_error *err)
{
	return send_frame(session, channel, frame, payload, payload_size, err);
}

int tp_submit(struct tp_session *session, unsigned channel, const struct tp_frame *frame,
	      struct tp_buffer *buffer, uint32_t payload_size, struct xm_error *err)
{
	int rc;

	assert(payload_size <= buffer->capacity);
	rc = send_frame(session, channel, frame, buffer->data, payload_size, err);
	tp_buffer_put(session, channel, buffer);
	return rc;
}

uint64_t tp_last_seq(const struct tp_session *session, unsigned channel)
{
	return atomic_load(&session->channels[channel].sent_seq);
}
