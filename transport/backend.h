/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The implementer's view of a session: what tcp/, memory/ and file/ provide behind transport.h.
 * Each op has the contract of the function of the same name there; transport/session.c
 * does what is the same for all (argument checks, numbering, statistics, the bandwidth limit).
 */
#ifndef XM_TRANSPORT_BACKEND_H
#define XM_TRANSPORT_BACKEND_H

#include "transport/transport.h"

struct tp_ops {
	const char *name;
	bool can_answer;
	unsigned channels_max;
	int (*open_channels)(struct tp_session *session, unsigned count, struct xm_error *err);
	/* Sends header, body and payload as one frame; sizes and seq are in the encoded header. */
	int (*send)(struct tp_session *session, unsigned channel, const struct iovec *parts,
		    int count, struct xm_error *err);
	/* Fills all of the parts, or fails. `at_start`: a clean end of the peer is -ENODATA. */
	int (*receive)(struct tp_session *session, unsigned channel, const struct iovec *parts,
		       int count, bool at_start, struct xm_error *err);
	int (*finish)(struct tp_session *session, struct xm_error *err);
	void (*shutdown)(struct tp_session *session);
	void (*destroy)(struct tp_session *session);
};

#endif
