// SPDX-License-Identifier: Apache-2.0
#include "migrate/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "transport/transport.h"

#define GIVE_UP_WAIT_NS (200 * XM_NS_PER_MS)

void mig_control_init(struct mig_control *control, struct tp_session *session, const char *peer)
{
	memset(control, 0, sizeof(*control));
	control->session = session;
	control->peer = peer;
	pthread_mutex_init(&control->lock, NULL);
}

void mig_control_finish(struct mig_control *control)
{
	pf_buffer_finish(&control->body);
	free(control->payload);
	control->payload = NULL;
	pthread_mutex_destroy(&control->lock);
}

int mig_control_send(struct mig_control *control, uint16_t type, bool with_body,
		     const void *payload, uint32_t payload_size, struct xm_error *err)
{
	struct tp_frame frame = {
		.type = type,
		.flags = PF_FLAG_MANDATORY,
		.body = with_body ? control->body.data : NULL,
		.body_size = with_body ? (uint32_t)control->body.size : 0,
	};
	XM_LOCK_GUARD(&control->lock);

	return tp_send(control->session, TP_CONTROL, &frame, payload, payload_size, err);
}

/* What a peer reads must be text that the stream allows, whatever got into the sentence. */
static void copy_text(char *to, size_t size, const char *from)
{
	size_t i = 0;

	for (; from[i] && i + 1 < size; i++) {
		unsigned char c = (unsigned char)from[i];

		to[i] = (c < 0x20 && c != '\n') || c >= 0x7f ? '?' : from[i];
	}
	to[i] = '\0';
}

static void send_failure(struct mig_control *control, uint16_t type, const struct xm_error *cause)
{
	struct pf_refuse refuse = {.kind = cause->kind ? cause->kind : XM_KIND_INTERNAL};
	struct pf_buffer body = {0};
	struct tp_frame frame = {.type = type, .flags = PF_FLAG_MANDATORY};

	copy_text(refuse.text, sizeof(refuse.text), cause->text);
	if (pf_refuse_encode(&refuse, &body, NULL) == 0) {
		frame.body = body.data;
		frame.body_size = (uint32_t)body.size;
		tp_send(control->session, TP_CONTROL, &frame, NULL, 0, NULL);
	}
	pf_buffer_finish(&body);
}

void mig_control_give_up(struct mig_control *control, uint16_t type, const struct xm_error *cause)
{
	struct timespec until;

	/* By the wall clock, since ThreadSanitizer knows no other lock with a time limit. */
	clock_gettime(CLOCK_REALTIME, &until);
	until = xm_timespec((uint64_t)until.tv_sec * XM_NS_PER_S + (uint64_t)until.tv_nsec +
			    GIVE_UP_WAIT_NS);
	if (tp_can_answer(control->session) &&
	    pthread_mutex_timedlock(&control->lock, &until) == 0) {
		if (!control->gave_up)
			send_failure(control, type, cause);
		control->gave_up = true;
		pthread_mutex_unlock(&control->lock);
	}
	tp_shutdown(control->session);
}

static int errno_of_kind(enum xm_kind kind)
{
	switch (kind) {
	case XM_KIND_REFUSED:
		return -EPERM;
	case XM_KIND_CANCELLED:
		return -ECANCELED;
	case XM_KIND_DATA:
		return -EBADMSG;
	case XM_KIND_CONFLICT:
		return -EEXIST;
	case XM_KIND_HOST:
		return -ENOMEM;
	default:
		return -ECONNABORTED;
	}
}

static int failure_received(struct mig_control *control, const struct pf_header *header,
			    const void *body, struct xm_error *err)
{
	struct pf_refuse refuse;
	int rc = pf_refuse_decode(body, header->body_size, &refuse, err);

	if (rc)
		return rc;
	pthread_mutex_lock(&control->lock);
	control->gave_up = true;
	pthread_mutex_unlock(&control->lock);
	return xm_fail(err, refuse.kind, errno_of_kind(refuse.kind), "the %s %s: %s", control->peer,
		       header->type == PF_TYPE_REFUSE ? "refused" : "gave up", refuse.text);
}

int mig_control_receive(struct mig_control *control, struct pf_header *ret_header,
			const void **ret_body, bool *ret_aborted, struct xm_error *err)
{
	struct pf_header header;
	const void *body;
	int rc;

	rc = tp_receive(control->session, TP_CONTROL, &header, &body, err);
	if (rc)
		return rc;
	if (header.type == PF_TYPE_ABORT || header.type == PF_TYPE_REFUSE) {
		if (ret_aborted)
			*ret_aborted = true;
		return failure_received(control, &header, body, err);
	}
	*ret_header = header;
	*ret_body = body;
	return 0;
}

int mig_control_expect(struct mig_control *control, uint16_t type, struct pf_header *ret_header,
		       const void **ret_body, bool *ret_aborted, struct xm_error *err)
{
	struct pf_header header;
	const void *body;
	const char *name;
	int rc;

	rc = mig_control_receive(control, &header, &body, ret_aborted, err);
	if (rc)
		return rc;
	if (header.type != type) {
		name = pf_type_name(header.type);
		return xm_fail(err, XM_KIND_DATA, -EPROTO,
			       "the %s broke the protocol: a frame %s (type %u) came where %s "
			       "belongs",
			       control->peer, name ? name : "of unknown type", header.type,
			       pf_type_name(type));
	}
	*ret_header = header;
	*ret_body = body;
	return 0;
}

int mig_control_payload(struct mig_control *control, const struct pf_header *header,
			struct xm_error *err)
{
	struct iovec part;
	uint8_t *grown;
	int rc;

	if (header->payload_size > control->payload_capacity) {
		grown = realloc(control->payload, header->payload_size);
		if (!grown)
			return xm_fail(err, XM_KIND_HOST, -ENOMEM,
				       "no memory for %u bytes that the %s announced",
				       header->payload_size, control->peer);
		control->payload = grown;
		control->payload_capacity = header->payload_size;
	}
	if (header->payload_size == 0)
		return 0;
	part = (struct iovec){.iov_base = control->payload, .iov_len = header->payload_size};
	rc = tp_receive_payload(control->session, TP_CONTROL, &part, 1, err);
	if (rc)
		return rc;
	if (pf_checksum(control->payload, header->payload_size) != header->payload_sum)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "the payload of a %s frame was damaged on its way (its checksum "
			       "differs)",
			       pf_type_name(header->type));
	return 0;
}
