/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xmigrated: what its parts share.
 *
 *	main.c      options, the order of starting and stopping
 *	api.c       HTTP on the unix socket; route.c: which handler; handlers_*.c: the handlers
 *	domains.c   the VMMs of this host: adopted, watched, called; watch.c: one thread for each
 *	spawn.c     starts a VMM
 *	incoming.c  the migration port; handshake.c: what a new connection there is for
 *	operations.c, ids.c, events.c   what the daemon itself remembers
 *
 * The daemon owns no domain. It may end, or be killed, at any time; everything a next one must
 * know lies in RUN_DIR and STATE_DIR.
 *
 * Locks: each part has one, and calls no other part with it held.
 */
#ifndef XM_TOOLS_DAEMON_DAEMON_H
#define XM_TOOLS_DAEMON_DAEMON_H

#include <stdbool.h>

#include "tools/lib/registry.h"

#define XD_LISTEN_MAX 16

struct xd_options {
	const char *run_dir;
	const char *state_dir;
	const char *vmm;		   /* path of xmigrate-vmm */
	const char *listen[XD_LISTEN_MAX]; /* HOST[:PORT], as tp_tcp_listen() takes it */
	unsigned listen_count;
	bool insecure;
};

/* Set up by main() before threads start, constant after that. */
struct xd_daemon {
	const struct xd_options *options;
	struct xt_registry registry;
	int stop_fd; /* an eventfd that is readable from the moment the daemon is to stop */
	struct xd_events *events;
	struct xd_operations *operations;
	struct xd_domains *domains;
	struct xd_incoming *incoming;
};

#endif
