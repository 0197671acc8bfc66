/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "transport/tcp/internal.h"
#include "transport/transport.h"

/* All channels of a migration may be on their way at once, and a few migrations together. */
enum { BACKLOG = 8 * (1 + TP_CHANNELS_MAX) };

static int explain(int code, const struct addrinfo *at, struct xm_error *err)
{
	char text[TP_ADDRESS_TEXT_MAX];

	tp_address_format(at->ai_addr, at->ai_addrlen, text);
	if (code == -EADDRINUSE)
		return xm_fail(err, XM_KIND_CONFLICT, code,
			       "The port of %s is in use by another program; stop that one, or "
			       "listen on another port",
			       text);
	if (code == -EADDRNOTAVAIL)
		return xm_fail(err, XM_KIND_HOST, code,
			       "Cannot listen on %s: this host does not have that address", text);
	return xm_fail_errno(err, XM_KIND_HOST, code, "Cannot listen on %s", text);
}

static int listen_on(const struct addrinfo *at, int *ret_fd)
{
	static const int yes = 1, no = 0;
	cleanup_close int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)))
		return -errno;
	/* "::" means all of this host, not all of its IPv6 addresses. */
	if (at->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
	if (bind(fd, at->ai_addr, at->ai_addrlen) || listen(fd, BACKLOG))
		return -errno;
	*ret_fd = xm_steal_fd(&fd);
	return 0;
}

int tp_tcp_listen(const char *address, int *ret_fd, struct xm_error *err)
{
	struct addrinfo *list = NULL;
	struct tp_address parsed;
	int rc = tp_address_parse(address, &parsed, err);

	if (rc == 0)
		rc = tp_address_resolve(&parsed, true, &list, err);
	if (rc)
		return rc;
	/* IPv6 first, since its wildcard takes IPv4 as well; a host without IPv6 has the other. */
	rc = -EAFNOSUPPORT;
	for (int pass = 0; pass < 2 && rc; pass++) {
		int family = pass == 0 ? AF_INET6 : AF_INET;

		for (struct addrinfo *at = list; at && rc; at = at->ai_next) {
			if (at->ai_family != family)
				continue;
			rc = listen_on(at, ret_fd);
			if (rc)
				explain(rc, at, err);
		}
	}
	freeaddrinfo(list);
	return rc;
}
