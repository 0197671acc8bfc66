/* SPDX-License-Identifier: Apache-2.0 */
/* What incoming.c (accepting) and handshake.c (a thread for each new connection) share. */
#ifndef XM_TOOLS_DAEMON_INCOMING_INTERNAL_H
#define XM_TOOLS_DAEMON_INCOMING_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "tools/daemon/address.h"
#include "tools/daemon/daemon.h"
#include "tools/daemon/incoming.h"
#include "tools/daemon/threads.h"

struct xd_handshake {
	struct xd_incoming *incoming;
	struct xd_handshake *next; /* by incoming's lock */
	int fd;
	bool ours; /* by incoming's lock: stopping may end the connection, no VMM has it */
	char peer[XD_ADDRESS_TEXT_MAX];
};

struct xd_incoming {
	struct xd_daemon *daemon;
	bool anybody; /* peers need not be on loopback */
	int listeners[XD_LISTEN_MAX];
	unsigned count;
	bool started;
	pthread_t thread;
	struct xd_threads handshakes;
	pthread_mutex_t lock; /* guards: */
	struct xd_handshake *first;
	bool stopped;
	uint64_t said_ns;  /* when a dropped connection was last an event */
	uint64_t not_said; /* dropped since then */
};

/*
 * A connection came to nothing. Peers that nobody knows cause this, so it is an event once a
 * second at most, with the number of those left out.
 */
void xd_incoming_dropped(struct xd_incoming *incoming, const char *peer, const char *why);

/* A thread's work, for a handshake that xd_incoming accepted and that this frees. */
void xd_handshake_run(void *opaque);

#endif
