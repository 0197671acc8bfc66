/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/error.h"
#include "common/file.h"
#include "transport/tcp/internal.h"
#include "transport/transport.h"

/*
 * A host that vanished without a word is noticed after IDLE + COUNT x INTERVAL seconds even on a
 * channel on which nobody sends: within the default idle timeout.
 */
enum { KEEPALIVE_IDLE_S = 10, KEEPALIVE_INTERVAL_S = 5, KEEPALIVE_COUNT = 3 };

#define CONGESTION_LIST "/proc/sys/net/ipv4/tcp_available_congestion_control"

static int set_congestion(int fd, const char *name, struct xm_error *err)
{
	char available[256] = "";
	FILE *list;
	int code;

	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) == 0)
		return 0;
	code = -errno;
	list = fopen(CONGESTION_LIST, "re");
	if (list) {
		if (fgets(available, sizeof(available), list))
			available[strcspn(available, "\n")] = '\0';
		fclose(list);
	}
	return xm_fail(
		err, XM_KIND_HOST, code,
		"This kernel does not offer the TCP congestion control '%.64s' here; it has: %s",
		name, available);
}

void tp_socket_set_timeout(int fd, uint32_t timeout_ms)
{
	unsigned value = timeout_ms;

	/* Only tightens what poll() does anyway, so a kernel without it is no failure. */
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, sizeof(value));
}

int tp_socket_prepare(int fd, const char *congestion, struct xm_error *err)
{
	static const struct {
		int level, option, value;
	} options[] = {
		{IPPROTO_TCP, TCP_NODELAY, 1},
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
		{IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
		{IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT},
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (setsockopt(fd, options[i].level, options[i].option, &options[i].value,
			       sizeof(options[i].value)))
			return xm_fail_errno(err, XM_KIND_INTERNAL, -errno,
					     "A socket does not take option %d of level %d",
					     options[i].option, options[i].level);
	tp_socket_set_timeout(fd, TP_TIMEOUT_MS);
	return congestion ? set_congestion(fd, congestion, err) : 0;
}

int tp_socket_start(int fd, const struct sockaddr *address, socklen_t size)
{
	if (connect(fd, address, size) == 0 || errno == EINPROGRESS || errno == EINTR)
		return 0;
	return -errno;
}

int tp_socket_wait(int fd, short events, uint64_t until_ns)
{
	struct pollfd poll_fd = {.fd = fd, .events = events | POLLRDHUP};

	for (;;) {
		uint64_t now_ns = xm_now_ns();
		struct timespec left = xm_timespec(until_ns > now_ns ? until_ns - now_ns : 0);
		int rc = ppoll(&poll_fd, 1, &left, NULL);

		if (rc > 0 && (poll_fd.revents & (events | POLLERR | POLLHUP)))
			return 0;
		if (rc > 0)
			return -EPIPE; /* no room, and the peer has closed: there will never be */
		if (rc == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

int tp_socket_connected(int fd, uint64_t until_ns)
{
	int result = 0;
	socklen_t size = sizeof(result);
	int rc = tp_socket_wait(fd, POLLOUT, until_ns);

	if (rc)
		return rc;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &size))
		return -errno;
	return -result;
}

int tp_socket_write(int fd, const void *data, size_t size, uint64_t until_ns)
{
	const char *next = data;

	while (size > 0) {
		ssize_t done = send(fd, next, size, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (done >= 0) {
			next += done;
			size -= (size_t)done;
		} else if (errno == EAGAIN) {
			int rc = tp_socket_wait(fd, POLLOUT, until_ns);

			if (rc)
				return rc;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

int tp_socket_read(int fd, void *data, size_t size, uint64_t until_ns)
{
	char *next = data;

	while (size > 0) {
		ssize_t done = recv(fd, next, size, MSG_DONTWAIT);

		if (done > 0) {
			next += done;
			size -= (size_t)done;
		} else if (done == 0) {
			return -ECONNRESET;
		} else if (errno == EAGAIN) {
			int rc = tp_socket_wait(fd, POLLIN, until_ns);

			if (rc)
				return rc;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

int tp_socket_explain_connect(int code, const char *address, uint32_t timeout_ms,
			      struct xm_error *err)
{
	switch (code) {
	case -ECONNREFUSED:
		return xm_fail(err, XM_KIND_NETWORK, code,
			       "Nothing listens at %s; start xmigrated there, or check the port",
			       address);
	case -ETIMEDOUT:
		return xm_fail(err, XM_KIND_NETWORK, code,
			       "%s did not answer within %g s; check the address, that the host is "
			       "up, and that no firewall drops this port",
			       address, timeout_ms / 1000.0);
	case -ENETUNREACH:
	case -EHOSTUNREACH:
		return xm_fail_errno(err, XM_KIND_NETWORK, code,
				     "%s cannot be reached from this host; check the address and "
				     "the routes",
				     address);
	default:
		return xm_fail_errno(err, XM_KIND_NETWORK, code, "Connecting to %s failed",
				     address);
	}
}
