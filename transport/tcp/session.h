/* SPDX-License-Identifier: Apache-2.0 */
/* The TCP session's own state: channel.c moves bytes, tcp.c makes and ends connections. */
#ifndef XM_TRANSPORT_TCP_SESSION_H
#define XM_TRANSPORT_TCP_SESSION_H

#include "transport/backend.h"
#include "transport/tcp/internal.h"

/*
 * What is read with a frame's header in one call. On the control channel whole frames, and what
 * follows them; on page channels the header and a usual body, and hardly any of the payload, for
 * which there is a better place than here.
 */
#define TP_TCP_AHEAD_CONTROL 4096u
#define TP_TCP_AHEAD_PAGES   1024u

struct tp_tcp_channel {
	/*
	 * -1 until connected, and then constant until destroy. Written under the session's lock;
	 * the channel's own threads start after tp_open_channels(), and need none to read it.
	 */
	int fd;
	/* The channel's receiver: bytes read and not yet asked for. */
	size_t ahead_start;
	size_t ahead_size;
	uint8_t ahead[TP_TCP_AHEAD_CONTROL];
};

struct tp_tcp_session {
	struct tp_session base;

	/* Constant. */
	char congestion[16];
	uint32_t connect_timeout_ms;
	struct sockaddr_storage peer;
	socklen_t peer_size;
	struct tp_tcp_preamble preamble; /* the initiator's, of channel 0 */

	pthread_mutex_t lock; /* the fds, as said above */
	int attached;	      /* eventfd, constant: there is a new channel, or the end */
	struct tp_tcp_channel channels[1 + TP_CHANNELS_MAX];
};

static inline struct tp_tcp_session *tp_tcp_of(struct tp_session *session)
{
	return (struct tp_tcp_session *)session;
}

/* The ops of that name. */
int tp_tcp_send(struct tp_session *session, unsigned channel, const struct iovec *parts, int count,
		struct xm_error *err);
int tp_tcp_receive(struct tp_session *session, unsigned channel, const struct iovec *parts,
		   int count, bool at_start, struct xm_error *err);

#endif
