/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The implementer's view of a session: what tcp/, memory/ and file/ provide behind transport.h.
 * Each op has the contract of the function of the same name there; session.c, send.c and receive.c
 * do what is the same for all: argument checks, numbering, the stream header, statistics, staging
 * and the bandwidth limit.
 *
 * A backend embeds struct tp_session as the first member of its own struct, calls
 * tp_session_init(), and frees itself in its destroy op, which ends in tp_session_finish().
 *
 * Threads: send and receive of one channel and direction come from one thread at a time, shutdown
 * from any, several times. A backend's own fields name their lock in its own file. Session locks
 * are leaves: none is held while another is taken or an op is called.
 */
#ifndef XM_TRANSPORT_BACKEND_H
#define XM_TRANSPORT_BACKEND_H

#include <pthread.h>
#include <stdatomic.h>

#include "transport/limiter.h"
#include "transport/transport.h"

struct tp_ops {
	const char *name;
	bool can_answer;
	unsigned channels_max; /* page channels */
	int (*open_channels)(struct tp_session *session, unsigned count, struct xm_error *err);
	/* Sends all of the parts, or fails. Sizes and seq are in the encoded header. */
	int (*send)(struct tp_session *session, unsigned channel, const struct iovec *parts,
		    int count, struct xm_error *err);
	/*
	 * Fills all of the parts, or fails. `at_start`: a frame, or the stream, begins here. The
	 * peer's clean end is then -ENODATA for a file, and "closed the connection" elsewhere;
	 * later it is a cut.
	 */
	int (*receive)(struct tp_session *session, unsigned channel, const struct iovec *parts,
		       int count, bool at_start, struct xm_error *err);
	int (*finish)(struct tp_session *session, struct xm_error *err); /* NULL: nothing to do */
	void (*timeout_changed)(struct tp_session *session,
				uint32_t timeout_ms); /* NULL: likewise */
	void (*shutdown)(struct tp_session *session);
	void (*destroy)(struct tp_session *session);
};

#define TP_STAGING_BUFFERS 2 /* per channel: one is filled while the other is being sent */
#define TP_DESCRIPTION_MAX 320

struct tp_channel {
	/* The channel's sender; others only look. */
	atomic_ullong sent_seq;

	/* The channel's receiver. */
	uint64_t received_seq;
	uint8_t *body;
	size_t body_capacity;
	uint32_t payload_due; /* announced by the last frame, not yet asked for */

	/* Guarded by `lock`; a lent buffer's contents belong to the borrower. */
	pthread_mutex_t lock;
	pthread_cond_t returned; /* a buffer came back, or the session was shut down */
	struct tp_buffer buffers[TP_STAGING_BUFFERS];
	bool lent[TP_STAGING_BUFFERS];
};

struct tp_session {
	const struct tp_ops *ops;
	char description[TP_DESCRIPTION_MAX]; /* constant after init */

	/*
	 * The stream header goes ahead of the first control frame from the initiator (the end that
	 * connected, or that creates the file) to the other end.
	 */
	bool initiator;
	bool header_sent;     /* channel 0's sender */
	bool header_received; /* channel 0's receiver */

	atomic_bool shut;
	atomic_uint channels_open; /* page channels */
	atomic_uint timeout_ms;
	atomic_ullong deadline_ns; /* when all waiting ends, whatever moves; UINT64_MAX: never */
	atomic_ullong progress_ns; /* when a byte last moved, on any channel, either way */
	atomic_ullong bytes_sent;
	atomic_ullong bytes_received;

	struct tp_limiter limiter; /* has its own lock */
	struct tp_channel channels[1 + TP_CHANNELS_MAX];
};

void tp_session_init(struct tp_session *session, const struct tp_ops *ops, bool initiator,
		     const char *description);
void tp_session_finish(struct tp_session *session);

/* Backends report each byte as it moves: for the statistics, and for the idle timeout. */
void tp_session_sent(struct tp_session *session, size_t bytes);
void tp_session_received(struct tp_session *session, size_t bytes);

/*
 * Until when a call that has been blocked since `since_ns` may wait, if nothing else moves. A call
 * that has waited until then asks again: another channel may have moved in the meantime.
 */
uint64_t tp_session_deadline(const struct tp_session *session, uint64_t since_ns);

/* The errors that all backends have in common. */
int tp_session_timed_out(struct tp_session *session, struct xm_error *err);
int tp_session_closed(struct tp_session *session, bool at_start, struct xm_error *err);

#endif
