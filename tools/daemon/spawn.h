/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting VMMs: a process in a session of its own, adopted by the first process, so that the daemon's
 * end is nothing to it (docs/vmm-control.md, Starting).
 *
 * Threads: any.
 */
#ifndef XM_TOOLS_DAEMON_SPAWN_H
#define XM_TOOLS_DAEMON_SPAWN_H

#include <jansson.h>

#include "common/error.h"
#include "tools/lib/ident.h"

struct xd_daemon;

/* How long a VMM may take until its domain exists: populating all of a large memory takes its time. */
#define XD_START_MS 300000u

/*
 * Starts a VMM, gives it the start packet (run_dir and state_dir are added to `packet`) with `fd` (-1: none), and waits
 * for its word. Its failure comes back with its kind and text. On success the domain is adopted,
 * and its name is in ret_name.
 */
int xd_spawn(struct xd_daemon *daemon, json_t *packet, int fd, char ret_name[XT_NAME_SIZE],
	     struct xm_error *err);

#endif
