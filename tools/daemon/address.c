/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/daemon/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/cleanup.h"

void xd_address_format(const struct xd_address *address, char text[XD_ADDRESS_TEXT_MAX])
{
	const struct sockaddr *addr = (const struct sockaddr *)&address->addr;
	char host[64], port[8];

	if (getnameinfo(addr, address->size, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(text, XD_ADDRESS_TEXT_MAX, "an unknown address");
	else
		snprintf(text, XD_ADDRESS_TEXT_MAX,
			 addr->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

bool xd_address_is_loopback(const struct xd_address *address)
{
	if (address->addr.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&address->addr;

		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	}
	if (address->addr.ss_family == AF_INET6) {
		const struct in6_addr *in6 =
			&((const struct sockaddr_in6 *)&address->addr)->sin6_addr;

		return IN6_IS_ADDR_LOOPBACK(in6) ||
		       (IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == 127);
	}
	return false;
}

/* PID 2 where no container hides it: a kernel thread, and those are in the first namespaces. */
static bool is_kthreadd(void)
{
	cleanup_fclose FILE *file = fopen("/proc/2/stat", "re");
	int parent;

	return file && fscanf(file, "2 (kthreadd) %*c %d", &parent) == 1 && parent == 0;
}

/*
 * The first process's namespace is what counts. It may hide from us although we are root (it may have
 * a capability that we lack); the kernel's own thread does not.
 */
bool xd_address_own_namespace(void)
{
	struct stat ours, first;

	if (stat("/proc/self/ns/net", &ours) < 0)
		return false;
	if (stat("/proc/1/ns/net", &first) < 0 &&
	    (!is_kthreadd() || stat("/proc/2/ns/net", &first) < 0))
		return false;
	return ours.st_ino != first.st_ino || ours.st_dev != first.st_dev;
}
