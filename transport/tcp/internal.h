/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of tcp/ share. */
#ifndef XM_TRANSPORT_TCP_INTERNAL_H
#define XM_TRANSPORT_TCP_INTERNAL_H

#include <netdb.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "transport/tcp/tcp.h"

/* --------------------------------------------------------------- address.c: names and numbers */

#define TP_ADDRESS_TEXT_MAX 300

struct tp_address {
	char host[256]; /* without brackets */
	char port[6];
};

/* "host", "host:port", "v6", "[v6]", "[v6]:port". */
int tp_address_parse(const char *text, struct tp_address *ret_address, struct xm_error *err);

/* All addresses of a name, to be freed with freeaddrinfo(). `passive`: to listen on; "*" is any. */
int tp_address_resolve(const struct tp_address *address, bool passive, struct addrinfo **ret_list,
		       struct xm_error *err);

/* "10.0.0.2:4411", "[::1]:4411". */
void tp_address_format(const struct sockaddr *address, socklen_t size,
		       char ret_text[TP_ADDRESS_TEXT_MAX]);

/* --------------------------------------------------------------- socket.c: one connection */

/* Settings of every connection: no delay, keepalive, how long the peer may be silent. */
int tp_socket_prepare(int fd, const char *congestion, struct xm_error *err);

/* How long sent bytes may stay unacknowledged before the kernel gives the peer up. */
void tp_socket_set_timeout(int fd, uint32_t timeout_ms);

/* A non-blocking connect is started: 0, or -errno. The result comes with tp_socket_connected(). */
int tp_socket_start(int fd, const struct sockaddr *address, socklen_t size);

/* Waits for a started connect: 0, -ETIMEDOUT, or what the network said. */
int tp_socket_connected(int fd, uint64_t until_ns);

/*
 * Waits for POLLIN or POLLOUT: 0, -ETIMEDOUT or another -errno. An error of the socket counts as
 * ready. No channel is ever closed by halves, so who waits for room while the peer closes gets
 * -EPIPE.
 */
int tp_socket_wait(int fd, short events, uint64_t until_ns);

/* All of it or fail, within the time. Returns 0 or -errno; -ECONNRESET for a peer that closed. */
int tp_socket_write(int fd, const void *data, size_t size, uint64_t until_ns);
int tp_socket_read(int fd, void *data, size_t size, uint64_t until_ns);

/* The sentence for a connect that failed with `code`. */
int tp_socket_explain_connect(int code, const char *address, uint32_t timeout_ms,
			      struct xm_error *err);

#endif
