/* SPDX-License-Identifier: Apache-2.0 */
/* The receiving half of a session: frames in order, checked, unknown ones skipped. */
#include <errno.h>
#include <stdlib.h>

#include "common/error.h"
#include "transport/internal.h"

/* A payload that nobody understands is dropped through a buffer of this size. */
#define DROP_SIZE (64u << 10)

static int receive_one(struct tp_session *session, unsigned channel, void *data, size_t size,
		       bool at_start, struct xm_error *err)
{
	struct iovec part = {data, size};
	int rc = 0;

	if (size > 0)
		rc = session->ops->receive(session, channel, &part, 1, at_start, err);
	return rc ? tp_explain(session, rc, err) : 0;
}

static int grow_body(struct tp_channel *channel, size_t size, struct xm_error *err)
{
	uint8_t *body;

	if (size <= channel->body_capacity)
		return 0;
	body = realloc(channel->body, size);
	if (!body)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM,
			       "Out of memory for a frame's body of %zu bytes", size);
	channel->body = body;
	channel->body_capacity = size;
	return 0;
}

static int receive_stream_header(struct tp_session *session, struct xm_error *err)
{
	uint8_t bytes[PF_STREAM_HEADER_SIZE];
	int rc = receive_one(session, TP_CONTROL, bytes, sizeof(bytes), true, err);

	if (rc == 0)
		rc = pf_stream_header_decode(bytes, err);
	if (rc == 0)
		session->header_received = true;
	return rc;
}

/* A frame that was lost, repeated or put on another channel is found here. */
static int check_place(struct tp_session *session, unsigned channel, const struct pf_header *header,
		       struct xm_error *err)
{
	uint64_t expected = session->channels[channel].received_seq + 1;

	if (header->channel != channel)
		return xm_fail(err, XM_KIND_DATA, -EPROTO,
			       "A frame for channel %u arrived on channel %u of %s",
			       header->channel, channel, session->description);
	if (header->seq != expected)
		return xm_fail(err, XM_KIND_DATA, -EPROTO,
			       "Frame %llu of channel %u of %s was expected, and %llu arrived",
			       (unsigned long long)expected, channel, session->description,
			       (unsigned long long)header->seq);
	return 0;
}

static int receive_header(struct tp_session *session, unsigned channel,
			  struct pf_header *ret_header, struct xm_error *err)
{
	uint8_t bytes[PF_FRAME_HEADER_SIZE];
	int rc = receive_one(session, channel, bytes, sizeof(bytes), true, err);

	if (rc == 0)
		rc = pf_header_decode(bytes, ret_header, err);
	if (rc == 0)
		rc = check_place(session, channel, ret_header, err);
	return rc;
}

static int receive_body(struct tp_session *session, unsigned channel,
			const struct pf_header *header, struct xm_error *err)
{
	struct tp_channel *to = &session->channels[channel];
	int rc = grow_body(to, header->body_size, err);

	if (rc == 0)
		rc = receive_one(session, channel, to->body, header->body_size, false, err);
	if (rc)
		return rc;
	if (pf_checksum(to->body, header->body_size) != header->body_sum)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "The body of frame %llu on channel %u of %s is damaged (checksum)",
			       (unsigned long long)header->seq, channel, session->description);
	return 0;
}

static int drop_payload(struct tp_session *session, unsigned channel, uint32_t size,
			struct xm_error *err)
{
	struct tp_channel *to = &session->channels[channel];
	int rc = grow_body(to, DROP_SIZE, err);

	while (rc == 0 && size > 0) {
		uint32_t piece = size < DROP_SIZE ? size : DROP_SIZE;

		rc = receive_one(session, channel, to->body, piece, false, err);
		size -= piece;
	}
	return rc;
}

int tp_receive(struct tp_session *session, unsigned channel, struct pf_header *ret_header,
	       const void **ret_body, struct xm_error *err)
{
	struct tp_channel *from = &session->channels[channel];
	struct pf_header header;
	int rc = tp_channel_check(session, channel, err);

	if (rc == 0 && from->payload_due > 0)
		rc = xm_fail(err, XM_KIND_INTERNAL, -EINVAL,
			     "The payload of the last frame on channel %u was not read", channel);
	if (rc == 0)
		rc = tp_fault(session, "transport.receive", err);
	if (rc < 0)
		return tp_explain(session, rc, err);
	if (channel == TP_CONTROL && !session->initiator && !session->header_received) {
		rc = receive_stream_header(session, err);
		if (rc)
			return rc;
	}
	for (;;) {
		rc = tp_deadline_check(session, err);
		if (rc == 0)
			rc = receive_header(session, channel, &header, err);
		if (rc == 0)
			rc = receive_body(session, channel, &header, err);
		if (rc)
			return rc;
		from->received_seq++;
		if (pf_type_name(header.type))
			break;
		/* An unknown type that is not mandatory: a newer peer's, and not needed by us. */
		rc = drop_payload(session, channel, header.payload_size, err);
		if (rc)
			return rc;
	}
	from->payload_due = header.payload_size;
	*ret_header = header;
	*ret_body = from->body;
	return 0;
}

int tp_receive_payload(struct tp_session *session, unsigned channel, const struct iovec *parts,
		       int count, struct xm_error *err)
{
	struct tp_channel *from = &session->channels[channel];
	uint64_t size = 0;
	int rc;

	for (int i = 0; i < count; i++)
		size += parts[i].iov_len;
	if (size != from->payload_due || size == 0)
		return xm_fail(err, XM_KIND_INTERNAL, -EINVAL,
			       "A payload of %u bytes was to be read as %llu", from->payload_due,
			       (unsigned long long)size);
	rc = tp_channel_check(session, channel, err);
	if (rc)
		return rc;
	rc = session->ops->receive(session, channel, parts, count, false, err);
	if (rc)
		return tp_explain(session, rc, err);
	from->payload_due = 0;
	return 0;
}
