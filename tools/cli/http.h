/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client of the daemon's API (docs/api.md): one JSON request over the unix socket, one
 * JSON answer. Errors that the daemon answers come back with the daemon's own kind and
 * sentence.
 *
 * Threads: an api belongs to one thread.
 */
#ifndef XM_TOOLS_CLI_HTTP_H
#define XM_TOOLS_CLI_HTTP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct api;
struct xm_error;

/* Connects to nothing yet. Fails when the path is too long for a socket. */
int api_open(const char *socket_path, struct api **ret_api, struct xm_error *err);

/* Takes NULL. */
void api_close(struct api *api);

/*
 * A descriptor (a signalfd) that ends a call in flight: when it becomes readable, api_call()
 * gives the call up and returns -EINTR. The descriptor is not read. -1: none.
 */
void api_watch(struct api *api, int fd);

/*
 * Does one request. `path` begins with "/v1/"; `body` is borrowed and may be NULL; `wait_ms` is
 * how long the daemon was asked to wait before it answers, and is added to the time limit.
 * `*ret_answer` is a new reference, or NULL when the answer has no body (204).
 *
 * Fails with the daemon's kind, or: HOST and a code for which api_lost() is true (there is no
 * daemon at the socket, or it went away before it answered), DATA (no answer of ours),
 * CANCELLED and -EINTR (api_watch()).
 */
int api_call(struct api *api, const char *method, const char *path, json_t *body, uint64_t wait_ms,
	     json_t **ret_answer, struct xm_error *err);

/* Whether a failure means that the daemon is not there, so that trying again makes sense. */
bool api_lost(int rc);

/* `text` as one segment of a path: "/v1/domains/" + api_escape(name). The caller frees. */
char *api_escape(struct api *api, const char *text);

#endif
