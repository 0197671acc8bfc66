/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions over TCP: one connection per channel.
 *
 * Each connection begins with a preamble of 48 bytes in clear that says which session (a random
 * token) and which channel it is, so that the daemon that listens can read exactly that and hand
 * the socket to the process that has the domain. Little-endian:
 *
 *	 0  12  "XMCONNECT", padded with zeros
 *	12   2  version, 1
 *	14   2  channel, 0..TP_CHANNELS_MAX
 *	16   1  purpose, enum tp_tcp_purpose
 *	17  11  zeros
 *	28  16  token
 *	44   4  low 32 bits of XXH3-64 of the bytes before
 *
 * Every socket sends without delay and is kept alive; it is given up when its bytes stay
 * unacknowledged for the session's timeout, or when the host behind it does not answer for half a
 * minute. Buffers are left to the kernel's autotuning.
 *
 * The source:	tp_tcp_connect(), HELLO ... READY, tp_open_channels()
 * The target:	tp_tcp_listen(), accept(), tp_tcp_preamble_read(); channel 0 becomes a session by
 *		tp_tcp_accept(), other channels join it by tp_tcp_attach() as they arrive, while
 *		somebody waits for them in tp_open_channels()
 */
#ifndef XM_TRANSPORT_TCP_TCP_H
#define XM_TRANSPORT_TCP_TCP_H

#include <stdint.h>

struct tp_session;
struct xm_error;

#define TP_TCP_PORT	     4411
#define TP_TCP_PREAMBLE_SIZE 48
#define TP_TCP_TOKEN_SIZE    16

struct tp_tcp_params {
	const char *congestion; /* a kernel's congestion control, "cubic"; NULL: the system's */
	uint32_t connect_timeout_ms; /* of a whole connect, after name resolution; 0: 10000 */
};

enum tp_tcp_purpose { TP_TCP_MIGRATE = 1, TP_TCP_QUERY = 2 };

struct tp_tcp_preamble {
	uint16_t channel;
	enum tp_tcp_purpose purpose;
	uint8_t token[TP_TCP_TOKEN_SIZE];
};

/*
 * Connects channel 0 and sends its preamble. `address` is a name or number with or without a port:
 * "host2", "host2:4411", "10.0.0.2", "fe80::1%eth0", "[::1]:4411". Every address that the name has
 * is tried. Kind USAGE for an address that cannot be read, NETWORK for one that cannot be reached,
 * HOST for a congestion control that this kernel lacks. `params` may be NULL, and is not kept.
 */
int tp_tcp_connect(const char *address, const uint8_t token[TP_TCP_TOKEN_SIZE],
		   enum tp_tcp_purpose purpose, const struct tp_tcp_params *params,
		   struct tp_session **ret_session, struct xm_error *err);

/* Makes a session of a connection whose preamble was read. Takes `fd` over on success. */
int tp_tcp_accept(int fd, const struct tp_tcp_params *params, struct tp_session **ret_session,
		  struct xm_error *err);

/*
 * Adds page channel `channel` to an accepted session. That the token is the session's was checked
 * by the caller. Takes `fd` over on success; a second connection for the same channel is refused
 * (DATA). May be called by any thread until tp_destroy().
 */
int tp_tcp_attach(struct tp_session *session, unsigned channel, int fd, struct xm_error *err);

/*
 * Reads exactly 48 bytes of a new connection, within `timeout_ms` in all. Kind DATA for anything
 * that is not a preamble, NETWORK for a peer that goes away or is too slow.
 */
int tp_tcp_preamble_read(int fd, uint32_t timeout_ms, struct tp_tcp_preamble *ret_preamble,
			 struct xm_error *err);

/* The decoding by itself: pure, for the fuzzer and for tests. */
int tp_tcp_preamble_decode(const uint8_t bytes[TP_TCP_PREAMBLE_SIZE],
			   struct tp_tcp_preamble *ret_preamble, struct xm_error *err);
void tp_tcp_preamble_encode(const struct tp_tcp_preamble *preamble,
			    uint8_t ret_bytes[TP_TCP_PREAMBLE_SIZE]);

/*
 * A listening socket (close-on-exec, blocking). `address` as for tp_tcp_connect(), and "*" or
 * "*:4411" for all of this host's, IPv6 and IPv4; port 0 takes any free one. Kind CONFLICT when the
 * port is in use.
 */
int tp_tcp_listen(const char *address, int *ret_fd, struct xm_error *err);

#endif
