/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channel 0 as both ends use it. One thread, the coordinator, tells the story on it; others may only
 * give up (mig_control_give_up()), at any moment, so sending is under a lock.
 */
#ifndef XM_MIGRATE_CONTROL_H
#define XM_MIGRATE_CONTROL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"
#include "proto/messages.h"

struct tp_session;

struct mig_control {
	struct tp_session *session;
	const char *peer;     /* "target" or "source", for sentences */
	pthread_mutex_t lock; /* one sender at a time; nothing else is locked under it */
	bool gave_up;	      /* lock: ABORT or REFUSE was sent or received: nothing more to say */

	/* The coordinator's own. */
	struct pf_buffer body; /* of what it sends next */
	uint8_t *payload;      /* of what it received last */
	size_t payload_capacity;
};

void mig_control_init(struct mig_control *control, struct tp_session *session, const char *peer);
void mig_control_finish(struct mig_control *control);

/* Sends control->body (`with_body` false: an empty one) and the payload. */
int mig_control_send(struct mig_control *control, uint16_t type, bool with_body,
		     const void *payload, uint32_t payload_size, struct xm_error *err);

/*
 * Tells the peer why there is an end to it, once, by a frame of `type` (ABORT or REFUSE), if the session
 * can answer and the sender's lock comes free within a fifth of a second; then the session is shut down, which wakes
 * everybody who waits on it.
 */
void mig_control_give_up(struct mig_control *control, uint16_t type, const struct xm_error *cause);

/*
 * The next frame. The peer's ABORT or REFUSE becomes our error, of the kind and with the sentence that it
 * says; *ret_aborted (may be NULL) tells it from a lost connection.
 */
int mig_control_receive(struct mig_control *control, struct pf_header *ret_header,
			const void **ret_body, bool *ret_aborted, struct xm_error *err);

/* As receive; any other type, or a payload where none belongs, is kind DATA. */
int mig_control_expect(struct mig_control *control, uint16_t type, struct pf_header *ret_header,
		       const void **ret_body, bool *ret_aborted, struct xm_error *err);

/* Reads the frame's payload into control->payload and verifies its checksum. */
int mig_control_payload(struct mig_control *control, const struct pf_header *header,
			struct xm_error *err);

#endif
