/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/daemon/api.h"

#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/log.h"
#include "tools/daemon/daemon.h"
#include "tools/daemon/route.h"
#include "tools/daemon/text.h"

#define IDLE_S 30u /* a client that neither sends nor reads is cut off */

struct xd_api {
	struct xd_daemon *daemon;
	struct MHD_Daemon *http;
	char *path;
};

/* A request while it comes in; owned by its connection. */
struct incoming {
	char *data;
	size_t size;
	bool too_large;
};

static unsigned status_of(enum xm_kind kind)
{
	static const unsigned statuses[] = {
		[XM_KIND_INTERNAL] = 500,  [XM_KIND_USAGE] = 400,    [XM_KIND_CONFIG] = 400,
		[XM_KIND_NOT_FOUND] = 404, [XM_KIND_CONFLICT] = 409, [XM_KIND_HOST] = 503,
		[XM_KIND_NETWORK] = 502,   [XM_KIND_REFUSED] = 422,  [XM_KIND_DATA] = 502,
		[XM_KIND_CANCELLED] = 409, [XM_KIND_STORAGE] = 507,  [XM_KIND_UNRESOLVED] = 409,
	};

	return kind > XM_KIND_NONE && kind <= XM_KIND_UNRESOLVED ? statuses[kind] : 500;
}

/* Sends text, which is freed later. "Connection: close": no idle connections to count. */
static enum MHD_Result send_text(struct MHD_Connection *connection, unsigned status, char *text)
{
	size_t size = text ? strlen(text) : 0;
	struct MHD_Response *response =
		MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);
	enum MHD_Result result;

	if (!response) {
		free(text);
		return MHD_NO;
	}
	if (text)
		MHD_add_response_header(response, "Content-Type", "application/json");
	MHD_add_response_header(response, "Connection", "close");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result send_error(struct MHD_Connection *connection, struct xm_error *err)
{
	json_t *body;
	char *text;

	xd_text_clean(err->text);
	body = json_pack("{s:{s:s, s:s}}", "error", "kind", xm_kind_name(err->kind), "text",
			 err->text);
	text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	return text ? send_text(connection, status_of(err->kind), text) : MHD_NO;
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, unsigned status, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	if (body && !text)
		return MHD_NO;
	return send_text(connection, status, text);
}

static int check_peer(struct MHD_Connection *connection, struct xm_error *err)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (!info || getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return xm_fail(err, XM_KIND_REFUSED, -EACCES, "cannot tell who is asking");
	if (peer.uid != 0 && peer.uid != geteuid())
		return xm_fail(err, XM_KIND_REFUSED, -EACCES,
			       "user %u may not command this daemon: only root and user %u may",
			       peer.uid, geteuid());
	return 0;
}

/* One key of the query; the first wrong one is kept in err. */
struct query {
	struct xd_request *request;
	const struct xd_route *route;
	struct xm_error *err;
	int rc;
};

static enum MHD_Result query_key(void *opaque, enum MHD_ValueKind kind, const char *key,
				 const char *value)
{
	struct query *query = opaque;
	uint64_t *into = NULL;
	char *end;

	(void)kind;
	if (query->route->query && !strcmp(key, "after"))
		into = &query->request->after;
	else if (query->route->query && !strcmp(key, "wait_ms"))
		into = &query->request->wait_ms;
	if (!into) {
		query->rc =
			xm_fail(query->err, XM_KIND_USAGE, -EINVAL, "%s %s does not take ?%.64s",
				query->route->method, query->route->path, key);
		return MHD_NO;
	}
	errno = 0;
	*into = value ? strtoull(value, &end, 10) : 0;
	if (!value || *value < '0' || *value > '9' || *end || errno || *into > INT64_MAX) {
		query->rc = xm_fail(query->err, XM_KIND_USAGE, -EINVAL, "?%s=%.64s is not a number",
				    key, value ? value : "");
		return MHD_NO;
	}
	return MHD_YES;
}

static int read_query(struct MHD_Connection *connection, const struct xd_route *route,
		      struct xd_request *request, struct xm_error *err)
{
	struct query query = {.request = request, .route = route, .err = err};

	MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, query_key, &query);
	if (request->wait_ms > XD_WAIT_MS_MAX)
		request->wait_ms = XD_WAIT_MS_MAX;
	return query.rc;
}

/* Calls the handler with the connection's time limit off, because the handler may wait for longer. */
static int call_handler(struct MHD_Connection *connection, const struct xd_route *route,
			const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	int rc;

	MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
	rc = route->handler(request, ret_body, err);
	MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, IDLE_S);
	return rc;
}

static enum MHD_Result serve(struct xd_api *api, struct MHD_Connection *connection,
			     const char *method, const char *path, const struct incoming *incoming)
{
	struct xm_error err = XM_ERROR_INIT;
	struct xd_request request = {.daemon = api->daemon};
	const struct xd_route *route = NULL;
	char name[XD_ROUTE_NAME_MAX];
	json_t *body = NULL;
	enum MHD_Result result;
	int rc;

	if (incoming->too_large)
		rc = xm_fail(&err, XM_KIND_USAGE, -EMSGSIZE,
			     "the request's body is larger than %u bytes", XD_BODY_MAX);
	else
		rc = xd_route_find(method, path, &route, name, &err);
	if (!rc)
		rc = read_query(connection, route, &request, &err);
	if (!rc)
		rc = xd_route_body(route, incoming->data, incoming->size, &request.body, &err);
	if (!rc) {
		request.name = name;
		rc = call_handler(connection, route, &request, &body, &err);
	}
	xm_log(XM_LOG_DEBUG, "%s %.200s: %s", method, path, rc ? err.text : "done");
	result = rc ? send_error(connection, &err) : send_answer(connection, route->status, body);
	json_decref(body);
	json_decref(request.body);
	return result;
}

/* A body that is too large is read and thrown away, so that the client gets to the answer. */
static void take_data(struct incoming *incoming, const char *data, size_t size)
{
	char *grown;

	if (size > XD_BODY_MAX - incoming->size)
		incoming->too_large = true;
	if (incoming->too_large)
		return;
	grown = realloc(incoming->data, incoming->size + size);
	if (!grown) {
		incoming->too_large = true;
		return;
	}
	memcpy(grown + incoming->size, data, size);
	incoming->data = grown;
	incoming->size += size;
}

/* libmicrohttpd calls this once with the headers, then with each piece of the body, then once more. */
static enum MHD_Result on_request(void *opaque, struct MHD_Connection *connection, const char *path,
				  const char *method, const char *version, const char *data,
				  size_t *size, void **state)
{
	struct incoming *incoming = *state;
	struct xm_error err = XM_ERROR_INIT;

	(void)version;
	if (!incoming) {
		if (check_peer(connection, &err) < 0)
			return send_error(connection, &err);
		*state = calloc(1, sizeof(struct incoming));
		return *state ? MHD_YES : MHD_NO;
	}
	if (*size > 0) {
		take_data(incoming, data, *size);
		*size = 0;
		return MHD_YES;
	}
	return serve(opaque, connection, method, path, incoming);
}

static void on_completed(void *opaque, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode code)
{
	struct incoming *incoming = *state;

	(void)opaque;
	(void)connection;
	(void)code;
	if (incoming)
		free(incoming->data);
	free(incoming);
	*state = NULL;
}

/* The daemon's lock is held, so a socket that lies there belongs to nobody. */
static int listen_at(const char *path, int *ret_fd, struct xm_error *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	cleanup_close int fd = -1;
	mode_t mask;
	int rc;

	if (strlen(path) >= sizeof(addr.sun_path))
		return xm_fail(err, XM_KIND_USAGE, -ENAMETOOLONG,
			       "%s is too long for a socket's path; choose a shorter --run-dir",
			       path);
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot make a socket for %s",
				     path);
	unlink(path);
	mask = umask(0117); /* no other thread makes files yet */
	rc = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
	umask(mask);
	if (rc < 0 || listen(fd, (int)XD_CONNECTIONS_MAX) < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot listen on %s", path);
	*ret_fd = xm_steal_fd(&fd);
	return 0;
}

int xd_api_start(struct xd_daemon *daemon, struct xd_api **ret_api, struct xm_error *err)
{
	struct xd_api *api = calloc(1, sizeof(*api));
	int fd = -1, rc;

	if (!api)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	api->daemon = daemon;
	api->path = xm_format("%s/api.sock", daemon->options->run_dir);
	rc = api->path ? listen_at(api->path, &fd, err)
		       : xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	if (rc)
		goto out;
	api->http = MHD_start_daemon(
		MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL |
			MHD_USE_ITC,
		0, NULL, NULL, on_request, api, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_LIMIT, XD_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		IDLE_S, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
	if (!api->http) {
		rc = xm_fail(err, XM_KIND_HOST, -EIO, "cannot serve HTTP on %s", api->path);
		close(fd);
		goto out;
	}
	*ret_api = api;
	return 0;
out:
	xd_api_stop(api);
	return rc;
}

void xd_api_stop(struct xd_api *api)
{
	if (!api)
		return;
	if (api->http) {
		MHD_stop_daemon(api->http); /* closes the listening socket as well */
		unlink(api->path);
	}
	free(api->path);
	free(api);
}
