/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets between daemon and VMM: one JSON object each over a SOCK_SEQPACKET unix socket, at most
 * XT_PACKET_MAX bytes, with at most one file descriptor (docs/vmm-control.md, Control socket).
 *
 * Threads: one receiver and one sender at a time for each socket.
 */
#ifndef XM_TOOLS_CONTROL_H
#define XM_TOOLS_CONTROL_H

#include <jansson.h>
#include <stdint.h>

struct xm_error;

#define XT_PACKET_MAX (256u << 10)

/*
 * A socket bound to `path` (mode 0600), or connected to it. Paths longer than a sockaddr_un holds are fine. Kind
 * NOT_FOUND when nobody listens. Sockets are close-on-exec. `type` is SOCK_SEQPACKET or SOCK_STREAM.
 */
int xt_socket_listen(const char *path, int type, int *ret_fd, struct xm_error *err);
int xt_socket_connect(const char *path, int type, int *ret_fd, struct xm_error *err);

/* A connected pair for the start packet; both ends close-on-exec. */
int xt_socket_pair(int ret_fds[2], struct xm_error *err);

/* Sends `packet`, with a duplicate of `fd` unless that is -1. Kind NETWORK when the peer is gone. */
int xt_packet_send(int socket, const json_t *packet, int fd, struct xm_error *err);

/* As above, but fails with -EAGAIN instead of waiting when the peer does not read. */
int xt_packet_try_send(int socket, const json_t *packet, struct xm_error *err);

/*
 * Waits for a packet. The caller owns *ret_packet (json_decref) and *ret_fd (-1: none came; may be NULL: one that comes
 * is closed). -ENODATA (NETWORK) when the peer closed; kind DATA for a packet that is too long, not a
 * JSON object, or has several descriptors: the connection is of no further use then.
 */
int xt_packet_receive(int socket, json_t **ret_packet, int *ret_fd, struct xm_error *err);

/* A JSON string of text that may come from anywhere: what is not UTF-8 is shown with '?' in its place. */
json_t *xt_json_text(const char *text);

/* {"kind": ..., "text": ...} and back. xt_error_from_json() returns the code; a damaged one is INTERNAL. */
json_t *xt_error_to_json(const struct xm_error *error);
int xt_error_from_json(const json_t *json, struct xm_error *ret_error);

/*
 * For clients: sends {"id", "call", ...arguments} and waits for the answer with that id; events that come
 * in between are dropped, so subscribers use a connection of their own. `arguments` may be NULL, `fd` -1.
 * An "error" in the answer is returned with its kind and text. *ret_result (may be NULL) is the caller's.
 */
int xt_call(int socket, const char *call, const json_t *arguments, int fd, json_t **ret_result,
	    struct xm_error *err);

#endif
