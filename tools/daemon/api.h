/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/JSON API of docs/api.md, on a unix socket.
 *
 * A request is read whole (its body is at most XD_BODY_MAX), its path looked up in the table of
 * routes, its query and the keys of its body checked against what the route takes, and its handler
 * called, which may wait. Every connection has a thread of its own, and there are at most
 * XD_CONNECTIONS_MAX.
 */
#ifndef XM_TOOLS_DAEMON_API_H
#define XM_TOOLS_DAEMON_API_H

#include <jansson.h>
#include <stdint.h>

#include "common/error.h"

#define XD_BODY_MAX	   (1u << 20)
#define XD_CONNECTIONS_MAX 256u
#define XD_WAIT_MS_MAX	   60000u

struct xd_api;
struct xd_daemon;

struct xd_request {
	struct xd_daemon *daemon;
	const char *name; /* what stands for the '*' of the route, "" for none */
	json_t *body;	  /* an object, empty if the request had none */
	uint64_t after;	  /* from the query, 0 if not given */
	uint64_t wait_ms; /* at most XD_WAIT_MS_MAX */
};

/* What a handler answers: 0 and a body (its own reference), or a failure. NULL is "204, no body". */
typedef int xd_handler(const struct xd_request *request, json_t **ret_body, struct xm_error *err);

/* Binds RUN_DIR/api.sock and serves it. */
int xd_api_start(struct xd_daemon *daemon, struct xd_api **ret_api, struct xm_error *err);

/* Takes no more requests, and waits until all handlers have returned. NULL is fine. */
void xd_api_stop(struct xd_api *api);

#endif
