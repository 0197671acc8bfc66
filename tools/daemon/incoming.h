/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The migration port. A connection is accepted if it may come from where it comes (address.h), and
 * says in a preamble what it is for, in limited time and by limited numbers: the control channel of a
 * new migration starts a VMM and goes to it, a page channel goes to the VMM whose session it names, and a
 * question about a session is answered here from the session records.
 */
#ifndef XM_TOOLS_DAEMON_INCOMING_H
#define XM_TOOLS_DAEMON_INCOMING_H

#include <jansson.h>

#include "common/error.h"

struct xd_daemon;
struct xd_incoming;

#define XD_HANDSHAKES_MAX 64u
#define XD_HANDSHAKE_MS	  5000u

/* Binds every address of the options, or fails with nothing bound. */
int xd_incoming_create(struct xd_daemon *daemon, struct xd_incoming **ret_incoming,
		       struct xm_error *err);

/* Begins to accept. */
int xd_incoming_start(struct xd_incoming *incoming, struct xm_error *err);

/* The addresses that were bound, as an array of strings. */
json_t *xd_incoming_addresses(const struct xd_incoming *incoming);

/* Accepts no more, and ends handshakes; what was handed to a VMM goes on. stop_fd is readable already. */
void xd_incoming_stop(struct xd_incoming *incoming);
void xd_incoming_destroy(struct xd_incoming *incoming);

#endif
