/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a session's connections, from either end, and ends them. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/fault.h"
#include "transport/tcp/session.h"

#define CONNECT_TIMEOUT_MS 10000u

/* ------------------------------------------------------------------ life */

static void tcp_shutdown(struct tp_session *session)
{
	struct tp_tcp_session *tcp = tp_tcp_of(session);

	/* This wakes everybody who polls, here and at the peer. */
	XM_LOCK_GUARD(&tcp->lock);
	for (unsigned i = 0; i <= TP_CHANNELS_MAX; i++)
		if (tcp->channels[i].fd >= 0)
			shutdown(tcp->channels[i].fd, SHUT_RDWR);
	eventfd_write(tcp->attached, 1);
}

static void tcp_timeout_changed(struct tp_session *session, uint32_t timeout_ms)
{
	struct tp_tcp_session *tcp = tp_tcp_of(session);

	XM_LOCK_GUARD(&tcp->lock);
	for (unsigned i = 0; i <= TP_CHANNELS_MAX; i++)
		if (tcp->channels[i].fd >= 0)
			tp_socket_set_timeout(tcp->channels[i].fd, timeout_ms);
}

static void tcp_destroy(struct tp_session *session)
{
	struct tp_tcp_session *tcp = tp_tcp_of(session);

	for (unsigned i = 0; i <= TP_CHANNELS_MAX; i++)
		if (tcp->channels[i].fd >= 0)
			close(tcp->channels[i].fd);
	close(tcp->attached);
	pthread_mutex_destroy(&tcp->lock);
	tp_session_finish(session);
	free(tcp);
}

static int tcp_open_channels(struct tp_session *session, unsigned count, struct xm_error *err);

static const struct tp_ops tcp_ops = {
	.name = "tcp",
	.can_answer = true,
	.channels_max = TP_CHANNELS_MAX,
	.open_channels = tcp_open_channels,
	.send = tp_tcp_send,
	.receive = tp_tcp_receive,
	.timeout_changed = tcp_timeout_changed,
	.shutdown = tcp_shutdown,
	.destroy = tcp_destroy,
};

/* A session without a connection yet. */
static int tcp_create(const struct tp_tcp_params *params, bool initiator,
		      const struct sockaddr *peer, socklen_t peer_size,
		      struct tp_tcp_session **ret_tcp, struct xm_error *err)
{
	struct tp_tcp_session *tcp = calloc(1, sizeof(*tcp));
	char address[TP_ADDRESS_TEXT_MAX];
	char description[TP_DESCRIPTION_MAX];

	if (!tcp)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "Out of memory for a connection");
	tcp->attached = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (tcp->attached < 0) {
		free(tcp);
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "Cannot make an eventfd");
	}
	tp_address_format(peer, peer_size, address);
	snprintf(description, sizeof(description), "tcp %s", address);
	tp_session_init(&tcp->base, &tcp_ops, initiator, description);
	pthread_mutex_init(&tcp->lock, NULL);
	for (unsigned i = 0; i <= TP_CHANNELS_MAX; i++)
		tcp->channels[i].fd = -1;
	memcpy(&tcp->peer, peer, peer_size);
	tcp->peer_size = peer_size;
	tcp->connect_timeout_ms = CONNECT_TIMEOUT_MS;
	if (params && params->connect_timeout_ms)
		tcp->connect_timeout_ms = params->connect_timeout_ms;
	if (params && params->congestion)
		snprintf(tcp->congestion, sizeof(tcp->congestion), "%s", params->congestion);
	*ret_tcp = tcp;
	return 0;
}

static const char *congestion_of(const struct tp_tcp_session *tcp)
{
	return tcp->congestion[0] ? tcp->congestion : NULL;
}

/* The fd becomes a channel's; false if it has one, or the session has ended. */
static int adopt(struct tp_tcp_session *tcp, unsigned channel, int fd, struct xm_error *err)
{
	XM_LOCK_GUARD(&tcp->lock);
	if (atomic_load(&tcp->base.shut))
		return xm_fail(err, XM_KIND_CANCELLED, -ECANCELED,
			       "The session with %s was ended here", tcp->base.description);
	if (tcp->channels[channel].fd >= 0)
		return xm_fail(err, XM_KIND_DATA, -EEXIST,
			       "A second connection came for channel %u of %s, and was refused",
			       channel, tcp->base.description);
	tp_socket_set_timeout(fd, atomic_load(&tcp->base.timeout_ms));
	tcp->channels[channel].fd = fd;
	eventfd_write(tcp->attached, 1);
	return 0;
}

/* ------------------------------------------------------------------ connecting */

/* Starts a connection of a channel, which from then on tcp_shutdown() can end. */
static int start_channel(struct tp_tcp_session *tcp, unsigned channel, struct xm_error *err)
{
	cleanup_close int fd =
		socket(tcp->peer.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "Cannot create a socket for %s",
				     tcp->base.description);
	rc = tp_socket_prepare(fd, congestion_of(tcp), err);
	if (rc)
		return rc;
	rc = xm_fault("transport.connect");
	if (rc >= 0)
		rc = tp_socket_start(fd, (struct sockaddr *)&tcp->peer, tcp->peer_size);
	if (rc)
		return tp_socket_explain_connect(rc, tcp->base.description, tcp->connect_timeout_ms,
						 err);
	rc = adopt(tcp, channel, fd, err);
	if (rc == 0)
		xm_steal_fd(&fd);
	return rc;
}

/* Waits for it, and says which channel it is. */
static int finish_channel(struct tp_tcp_session *tcp, unsigned channel, uint64_t until_ns,
			  struct xm_error *err)
{
	struct tp_tcp_preamble preamble = tcp->preamble;
	uint8_t bytes[TP_TCP_PREAMBLE_SIZE];
	int fd = tcp->channels[channel].fd;
	int rc = tp_socket_connected(fd, until_ns);

	if (rc == 0) {
		preamble.channel = (uint16_t)channel;
		tp_tcp_preamble_encode(&preamble, bytes);
		rc = tp_socket_write(fd, bytes, sizeof(bytes), until_ns);
	}
	if (rc == 0)
		return 0;
	return tp_socket_explain_connect(rc, tcp->base.description, tcp->connect_timeout_ms, err);
}

/* All are started before any is waited for: one round trip in all. */
static int connect_channels(struct tp_tcp_session *tcp, unsigned count, struct xm_error *err)
{
	uint64_t until_ns = xm_now_ns() + tcp->connect_timeout_ms * XM_NS_PER_MS;
	int rc = 0;

	for (unsigned i = 1; i <= count && rc == 0; i++)
		rc = start_channel(tcp, i, err);
	for (unsigned i = 1; i <= count && rc == 0; i++)
		rc = finish_channel(tcp, i, until_ns, err);
	return rc;
}

static int connect_to(const struct addrinfo *at, const struct tp_tcp_preamble *preamble,
		      const struct tp_tcp_params *params, uint64_t until_ns,
		      struct tp_tcp_session **ret_tcp, struct xm_error *err)
{
	struct tp_tcp_session *tcp = NULL;
	int rc = tcp_create(params, true, at->ai_addr, at->ai_addrlen, &tcp, err);

	if (rc)
		return rc;
	tcp->preamble = *preamble;
	rc = start_channel(tcp, TP_CONTROL, err);
	if (rc == 0)
		rc = finish_channel(tcp, TP_CONTROL, until_ns, err);
	if (rc) {
		tcp_destroy(&tcp->base);
		return rc;
	}
	*ret_tcp = tcp;
	return 0;
}

/* Tries one address after the other, each with an equal share of the time that is left. */
static int connect_any(const struct addrinfo *list, const struct tp_tcp_preamble *preamble,
		       const struct tp_tcp_params *params, struct tp_tcp_session **ret_tcp,
		       struct xm_error *err)
{
	uint32_t timeout_ms = params && params->connect_timeout_ms ? params->connect_timeout_ms
								   : CONNECT_TIMEOUT_MS;
	uint64_t end_ns = xm_now_ns() + timeout_ms * XM_NS_PER_MS;
	unsigned left = 0;
	int rc = -EHOSTUNREACH;

	for (const struct addrinfo *at = list; at; at = at->ai_next)
		left++;
	for (const struct addrinfo *at = list; at && rc; at = at->ai_next, left--) {
		uint64_t now_ns = xm_now_ns();
		uint64_t share_ns = end_ns > now_ns ? (end_ns - now_ns) / left : 0;

		rc = connect_to(at, preamble, params, now_ns + share_ns, ret_tcp, err);
	}
	return rc;
}

int tp_tcp_connect(const char *address, const uint8_t token[TP_TCP_TOKEN_SIZE],
		   enum tp_tcp_purpose purpose, const struct tp_tcp_params *params,
		   struct tp_session **ret_session, struct xm_error *err)
{
	struct tp_tcp_preamble preamble = {.channel = TP_CONTROL, .purpose = purpose};
	struct tp_tcp_session *tcp = NULL;
	struct addrinfo *list = NULL;
	struct tp_address parsed;
	int rc = tp_address_parse(address, &parsed, err);

	if (rc == 0)
		rc = tp_address_resolve(&parsed, false, &list, err);
	if (rc)
		return rc;
	memcpy(preamble.token, token, sizeof(preamble.token));
	rc = connect_any(list, &preamble, params, &tcp, err);
	freeaddrinfo(list);
	if (rc == 0)
		*ret_session = &tcp->base;
	return rc;
}

/* ------------------------------------------------------------------ accepting */

int tp_tcp_accept(int fd, const struct tp_tcp_params *params, struct tp_session **ret_session,
		  struct xm_error *err)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof(peer);
	struct tp_tcp_session *tcp = NULL;
	int rc;

	if (getpeername(fd, (struct sockaddr *)&peer, &size))
		return xm_fail_errno(err, XM_KIND_NETWORK, -errno,
				     "A new connection was lost at once");
	rc = tcp_create(params, false, (struct sockaddr *)&peer, size, &tcp, err);
	if (rc)
		return rc;
	rc = tp_socket_prepare(fd, congestion_of(tcp), err);
	if (rc) {
		tcp_destroy(&tcp->base);
		return rc;
	}
	tcp->channels[TP_CONTROL].fd = fd;
	*ret_session = &tcp->base;
	return 0;
}

int tp_tcp_attach(struct tp_session *session, unsigned channel, int fd, struct xm_error *err)
{
	struct tp_tcp_session *tcp = tp_tcp_of(session);
	int rc;

	if (channel < 1 || channel > TP_CHANNELS_MAX)
		return xm_fail(err, XM_KIND_DATA, -EPROTO,
			       "A connection from %s is for channel %u, which does not exist",
			       session->description, channel);
	rc = tp_socket_prepare(fd, congestion_of(tcp), err);
	return rc ? rc : adopt(tcp, channel, fd, err);
}

static unsigned count_attached(struct tp_tcp_session *tcp, unsigned count)
{
	unsigned attached = 0;

	XM_LOCK_GUARD(&tcp->lock);
	for (unsigned i = 1; i <= count; i++)
		attached += tcp->channels[i].fd >= 0;
	return attached;
}

/* Waits for one more channel. A peer that has hung up opens none, and is not waited for. */
static int await_change(struct tp_tcp_session *tcp, uint64_t until_ns)
{
	struct pollfd waits[] = {
		{.fd = tcp->attached, .events = POLLIN},
		{.fd = tcp->channels[TP_CONTROL].fd, .events = POLLRDHUP},
	};
	uint64_t now_ns = xm_now_ns();
	struct timespec left = xm_timespec(until_ns > now_ns ? until_ns - now_ns : 0);
	eventfd_t count;
	int rc = ppoll(waits, 2, &left, NULL);

	if (rc < 0 && errno != EINTR)
		return -errno;
	if (rc == 0)
		return -ETIMEDOUT;
	if (rc > 0 && waits[1].revents)
		return -ECONNRESET;
	eventfd_read(tcp->attached, &count);
	return 0;
}

static int await_channels(struct tp_tcp_session *tcp, unsigned count, struct xm_error *err)
{
	struct tp_session *session = &tcp->base;
	uint64_t until_ns = tp_session_deadline(session, xm_now_ns());
	int rc = 0;

	while (rc == 0 && count_attached(tcp, count) < count) {
		if (atomic_load(&session->shut))
			return -ECANCELED; /* tp_open_channels() has the sentence */
		rc = await_change(tcp, until_ns);
	}
	if (rc == 0)
		return 0;
	if (atomic_load(&session->shut))
		return -ECANCELED;
	if (rc == -ETIMEDOUT)
		return xm_fail(err, XM_KIND_NETWORK, rc,
			       "%s opened %u of its %u page channels within %g s; check "
			       "the network and the peer",
			       session->description, count_attached(tcp, count), count,
			       atomic_load(&session->timeout_ms) / 1000.0);
	return xm_fail_errno(err, XM_KIND_NETWORK, rc,
			     "%s hung up when it had opened %u of its %u page channels",
			     session->description, count_attached(tcp, count), count);
}

static int tcp_open_channels(struct tp_session *session, unsigned count, struct xm_error *err)
{
	struct tp_tcp_session *tcp = tp_tcp_of(session);

	return session->initiator ? connect_channels(tcp, count, err)
				  : await_channels(tcp, count, err);
}
