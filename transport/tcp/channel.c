/* SPDX-License-Identifier: Apache-2.0 */
/* Moves bytes through the sockets: few system calls, and a wait only when there must be one. */
#include <errno.h>
#include <poll.h>

#include "common/clock.h"
#include "common/error.h"
#include "transport/cursor.h"
#include "transport/tcp/session.h"

/* Waits for the socket, as long as something moves on any channel of the session. */
static int wait_moving(struct tp_session *session, int fd, short events, uint64_t since_ns,
		       struct xm_error *err)
{
	for (;;) {
		uint64_t until_ns = tp_session_deadline(session, since_ns);
		int rc = tp_socket_wait(fd, events, until_ns);

		if (rc == 0)
			return 0;
		if (rc == -EPIPE)
			return tp_session_closed(session, true, err);
		if (rc != -ETIMEDOUT)
			return xm_fail_errno(err, XM_KIND_NETWORK, rc, "Waiting for %s failed",
					     session->description);
		if (tp_session_deadline(session, since_ns) <= xm_now_ns())
			return tp_session_timed_out(session, err);
	}
}

static int lost(struct tp_session *session, int code, struct xm_error *err)
{
	return xm_fail_errno(err, XM_KIND_NETWORK, code,
			     "The connection to %s was lost; check the network and the peer's log",
			     session->description);
}

int tp_tcp_send(struct tp_session *session, unsigned channel, const struct iovec *parts, int count,
		struct xm_error *err)
{
	int fd = tp_tcp_of(session)->channels[channel].fd;
	struct tp_cursor cursor = tp_cursor_start(parts, count);
	uint64_t since_ns = xm_now_ns();

	while (cursor.left > 0) {
		struct iovec window[TP_WINDOW_MAX];
		struct msghdr message = {.msg_iov = window};
		ssize_t done;
		int rc;

		message.msg_iovlen = (size_t)tp_cursor_window(&cursor, window, TP_WINDOW_MAX);
		done = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (done >= 0) {
			tp_session_sent(session, (size_t)done);
			tp_cursor_advance(&cursor, (size_t)done);
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return lost(session, -errno, err);
		rc = wait_moving(session, fd, POLLOUT, since_ns, err);
		if (rc)
			return rc;
	}
	return 0;
}

static void use_ahead(struct tp_tcp_channel *channel, struct tp_cursor *cursor)
{
	size_t size =
		tp_cursor_fill(cursor, channel->ahead + channel->ahead_start, channel->ahead_size);

	channel->ahead_start += size;
	channel->ahead_size -= size;
}

/*
 * One recvmsg into what is left of the parts, and into the read-ahead behind them if a frame begins
 * here. Returns what recvmsg returns.
 */
static ssize_t receive_some(struct tp_tcp_channel *channel, struct tp_cursor *cursor,
			    size_t ahead_max)
{
	struct iovec window[TP_WINDOW_MAX];
	struct msghdr message = {.msg_iov = window};
	int count = tp_cursor_window(cursor, window, TP_WINDOW_MAX - 1);
	ssize_t size;

	if (ahead_max > 0)
		window[count++] = (struct iovec){channel->ahead, ahead_max};
	message.msg_iovlen = (size_t)count;
	size = recvmsg(channel->fd, &message, MSG_DONTWAIT);
	if (size <= 0)
		return size;
	if ((size_t)size > cursor->left) {
		channel->ahead_start = 0;
		channel->ahead_size = (size_t)size - cursor->left;
		tp_cursor_advance(cursor, cursor->left);
	} else {
		tp_cursor_advance(cursor, (size_t)size);
	}
	return size;
}

int tp_tcp_receive(struct tp_session *session, unsigned channel, const struct iovec *parts,
		   int count, bool at_start, struct xm_error *err)
{
	struct tp_tcp_channel *from = &tp_tcp_of(session)->channels[channel];
	struct tp_cursor cursor = tp_cursor_start(parts, count);
	size_t ahead = channel == TP_CONTROL ? TP_TCP_AHEAD_CONTROL : TP_TCP_AHEAD_PAGES;
	size_t wanted = cursor.left;
	uint64_t since_ns = xm_now_ns();

	use_ahead(from, &cursor);
	while (cursor.left > 0) {
		ssize_t size = receive_some(from, &cursor, at_start ? ahead : 0);
		int rc;

		if (size > 0) {
			tp_session_received(session, (size_t)size);
			continue;
		}
		if (size == 0)
			return tp_session_closed(session, at_start && cursor.left == wanted, err);
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return lost(session, -errno, err);
		rc = wait_moving(session, from->fd, POLLIN, since_ns, err);
		if (rc)
			return rc;
	}
	return 0;
}
