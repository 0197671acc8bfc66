/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where migrations may come from. The stream is neither encrypted nor authenticated, so
 * without --insecure it is taken where nobody else can be: on loopback addresses, or in a network
 * namespace of the daemon's own.
 *
 * Threads: any; nothing here has state.
 */
#ifndef XM_TOOLS_DAEMON_ADDRESS_H
#define XM_TOOLS_DAEMON_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#define XD_ADDRESS_TEXT_MAX 80 /* "[IPv6%scope]:port" and its NUL */

struct xd_address {
	struct sockaddr_storage addr;
	socklen_t size;
};

/* "127.0.0.1:4411", "[::1]:4411" */
void xd_address_format(const struct xd_address *address, char text[XD_ADDRESS_TEXT_MAX]);

/* 127.0.0.0/8, also as an IPv4 address in an IPv6 one, and ::1. */
bool xd_address_is_loopback(const struct xd_address *address);

/* Is the network namespace another one than the first process's? "No" when that cannot be known. */
bool xd_address_own_namespace(void);

#endif
