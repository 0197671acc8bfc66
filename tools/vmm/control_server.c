/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/vmm/control_server.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "tools/lib/control.h"
#include "tools/vmm/calls.h"
#include "tools/vmm/vmm.h"

#define SEND_TIMEOUT_S 5 /* a client that does not read for so long is disconnected */

struct connection {
	struct vmm_server *server;
	int fd; /* -1: free. Guarded by the server's lock; the connection's threads read it freely. */

	/* The thread that serves the connection owns these. */
	bool subscribed;
	pthread_t pusher; /* if subscribed: sends events */
	uint64_t after;	  /* the pusher's, once it has started */
	bool stop;	  /* set by vmm_events_wake() only */
};

struct vmm_server {
	struct vmm *vmm;
	int listener;
	pthread_t acceptor;
	bool accepting;

	pthread_mutex_t lock;
	bool stopping; /* guarded by lock */
	struct connection connections[VMM_CONNECTIONS_MAX];
};

/* ------------------------------------------------------------------------ one request */

static void answer(struct connection *connection, json_int_t id, json_t *result,
		   const struct xm_error *error)
{
	json_t *packet = result ? json_pack("{sI so}", "id", id, "result", result)
				: json_pack("{sI so}", "id", id, "error", xt_error_to_json(error));
	struct xm_error err = XM_ERROR_INIT;

	if (!packet || xt_packet_send(connection->fd, packet, -1, &err))
		shutdown(connection->fd, SHUT_RDWR);
	json_decref(packet);
}

static void *push_events(void *opaque)
{
	struct connection *connection = opaque;
	struct vmm_events *events = connection->server->vmm->events;
	json_t *packet;
	int rc = 0;

	pthread_setname_np(pthread_self(), "events");
	while (!rc) {
		packet = vmm_events_next(events, &connection->after, &connection->stop);
		if (!packet)
			return NULL;
		rc = xt_packet_send(connection->fd, packet, -1, NULL);
		json_decref(packet);
	}
	/* Who cannot be told is disconnected, which ends the other thread. */
	shutdown(connection->fd, SHUT_RDWR);
	return NULL;
}

/* `after` is taken before the answer goes out, so that the events come behind it. */
static int subscribe(struct connection *connection, json_t *arguments, struct xm_error *err)
{
	json_int_t after = 0;
	json_error_t reason;

	if (json_unpack_ex(arguments, &reason, JSON_STRICT, "{s?I}", "after", &after) || after < 0)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "a bad 'subscribe': it takes 'after', an event's number");
	if (connection->subscribed)
		return xm_fail(err, XM_KIND_CONFLICT, -EALREADY,
			       "this connection has subscribed already");
	connection->after = (uint64_t)after;
	return 0;
}

static void start_pusher(struct connection *connection)
{
	connection->subscribed =
		pthread_create(&connection->pusher, NULL, push_events, connection) == 0;
	if (!connection->subscribed)
		shutdown(connection->fd, SHUT_RDWR);
}

static void serve_request(struct connection *connection, json_t *packet, int *fd)
{
	const json_t *id = json_object_get(packet, "id");
	json_int_t number = json_integer_value(id);
	const char *call = json_string_value(json_object_get(packet, "call"));
	cleanup_free char *name = call ? strdup(call) : NULL;
	struct xm_error err = XM_ERROR_INIT;
	json_t *result = NULL;
	bool subscribing = name && strcmp(name, "subscribe") == 0;
	int rc;

	if (!json_is_integer(id) || !name) {
		xm_fail(&err, XM_KIND_USAGE, -EINVAL, "a request needs 'id', a number, and 'call'");
		answer(connection, number, NULL, &err);
		return;
	}
	json_object_del(packet, "id");
	json_object_del(packet, "call");
	rc = subscribing ? subscribe(connection, packet, &err)
			 : vmm_call(connection->server->vmm, name, packet, fd, &result, &err);
	if (!rc && !result)
		result = json_object();
	answer(connection, number, rc ? NULL : result, &err);
	if (subscribing && !rc)
		start_pusher(connection);
}

/* -------------------------------------------------------------------- one connection */

static bool stopping(struct vmm_server *server)
{
	XM_LOCK_GUARD(&server->lock);
	return server->stopping;
}

/* When all stops, the descriptor stays open until vmm_server_destroy(): see vmm_destroy(). */
static void release_connection(struct connection *connection)
{
	struct vmm_server *server = connection->server;

	if (connection->subscribed) {
		if (!stopping(server))
			vmm_events_wake(server->vmm->events, &connection->stop);
		pthread_join(connection->pusher, NULL);
	}
	XM_LOCK_GUARD(&server->lock);
	if (server->stopping)
		return;
	close(connection->fd);
	connection->fd = -1;
}

static void serve_connection(struct vmm *vmm, void *opaque)
{
	struct connection *connection = opaque;
	struct xm_error err = XM_ERROR_INIT;

	(void)vmm;
	pthread_setname_np(pthread_self(), "control");
	for (;;) {
		json_t *packet;
		int fd;

		if (xt_packet_receive(connection->fd, &packet, &fd, &err))
			break;
		serve_request(connection, packet, &fd);
		json_decref(packet);
		if (fd >= 0)
			close(fd);
	}
	if (err.kind == XM_KIND_DATA)
		xm_log(XM_LOG_WARNING, "a control connection is closed: %s", err.text);
	release_connection(connection);
}

/* A place for the new connection, or NULL when there are too many or all stops. */
static struct connection *take_place(struct vmm_server *server, int fd)
{
	XM_LOCK_GUARD(&server->lock);
	for (size_t i = 0; !server->stopping && i < VMM_CONNECTIONS_MAX; i++) {
		struct connection *connection = &server->connections[i];

		if (connection->fd >= 0)
			continue;
		*connection = (struct connection){.server = server, .fd = fd};
		return connection;
	}
	return NULL;
}

static void welcome(struct vmm_server *server, int fd)
{
	struct timeval timeout = {.tv_sec = SEND_TIMEOUT_S};
	int bytes = XT_PACKET_MAX + (64 << 10);
	struct connection *connection;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	connection = take_place(server, fd);
	if (!connection) {
		close(fd);
		return;
	}
	if (vmm_work(server->vmm, serve_connection, connection, NULL)) {
		XM_LOCK_GUARD(&server->lock);
		close(fd);
		connection->fd = -1;
	}
}

static void *accept_connections(void *opaque)
{
	struct vmm_server *server = opaque;

	pthread_setname_np(pthread_self(), "accept");
	while (!stopping(server)) {
		int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			welcome(server, fd);
		else if (errno != EINTR && errno != ECONNABORTED)
			break; /* vmm_server_stop() shuts the listener down */
	}
	return NULL;
}

/* ------------------------------------------------------------------------ the server */

int vmm_server_create(struct vmm *vmm, const char *path, struct vmm_server **ret_server,
		      struct xm_error *err)
{
	struct vmm_server *server = calloc(1, sizeof(*server));
	int rc;

	if (!server)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	server->vmm = vmm;
	pthread_mutex_init(&server->lock, NULL);
	for (size_t i = 0; i < VMM_CONNECTIONS_MAX; i++)
		server->connections[i].fd = -1;
	rc = xt_socket_listen(path, SOCK_SEQPACKET, &server->listener, err);
	if (rc) {
		free(server);
		return rc;
	}
	*ret_server = server;
	return 0;
}

int vmm_server_start(struct vmm_server *server, struct xm_error *err)
{
	int rc = -pthread_create(&server->acceptor, NULL, accept_connections, server);

	if (rc)
		return xm_fail_errno(err, XM_KIND_HOST, rc, "cannot start a thread");
	server->accepting = true;
	return 0;
}

void vmm_server_stop(struct vmm_server *server)
{
	if (!server)
		return;
	pthread_mutex_lock(&server->lock);
	server->stopping = true;
	for (size_t i = 0; i < VMM_CONNECTIONS_MAX; i++)
		if (server->connections[i].fd >= 0)
			shutdown(server->connections[i].fd, SHUT_RD);
	pthread_mutex_unlock(&server->lock);
	shutdown(server->listener, SHUT_RDWR);
	if (server->accepting)
		pthread_join(server->acceptor, NULL);
	server->accepting = false;
}

void vmm_server_destroy(struct vmm_server *server)
{
	if (!server)
		return;
	for (size_t i = 0; i < VMM_CONNECTIONS_MAX; i++)
		if (server->connections[i].fd >= 0)
			close(server->connections[i].fd);
	close(server->listener);
	pthread_mutex_destroy(&server->lock);
	free(server);
}
