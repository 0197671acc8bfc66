/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/daemon/incoming.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "tools/daemon/events.h"
#include "tools/daemon/incoming_internal.h"
#include "transport/tcp/tcp.h"

#define SAY_EVERY_NS  XM_NS_PER_S
#define OUT_OF_FDS_MS 1000 /* before accepting is tried again */

/* ---------------------------------------------------------------------- listening */

static int local_address(int fd, struct xd_address *ret_address, struct xm_error *err)
{
	struct xd_address address = {.size = sizeof(address.addr)};

	if (getsockname(fd, (struct sockaddr *)&address.addr, &address.size) < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot tell where we listen");
	*ret_address = address;
	return 0;
}

static int bind_one(struct xd_incoming *incoming, const char *where, struct xm_error *err)
{
	cleanup_close int fd = -1;
	struct xd_address address;
	int rc = tp_tcp_listen(where, &fd, err);

	if (!rc)
		rc = local_address(fd, &address, err);
	if (rc)
		return rc;
	if (!incoming->anybody && !xd_address_is_loopback(&address))
		return xm_fail(
			err, XM_KIND_REFUSED, -EPERM,
			"--listen %s is refused, because migrations are not encrypted and "
			"others can reach that address: listen on a loopback address and let "
			"peers come through an ssh tunnel, or say --insecure",
			where);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot listen on %s", where);
	incoming->listeners[incoming->count++] = xm_steal_fd(&fd);
	return 0;
}

int xd_incoming_create(struct xd_daemon *daemon, struct xd_incoming **ret_incoming,
		       struct xm_error *err)
{
	struct xd_incoming *incoming = calloc(1, sizeof(*incoming));
	int rc = 0;

	if (!incoming)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	incoming->daemon = daemon;
	incoming->anybody = daemon->options->insecure || xd_address_own_namespace();
	pthread_mutex_init(&incoming->lock, NULL);
	xd_threads_init(&incoming->handshakes, XD_HANDSHAKES_MAX);
	for (unsigned n = 0; !rc && n < daemon->options->listen_count; n++)
		rc = bind_one(incoming, daemon->options->listen[n], err);
	if (rc) {
		xd_incoming_destroy(incoming);
		return rc;
	}
	*ret_incoming = incoming;
	return 0;
}

json_t *xd_incoming_addresses(const struct xd_incoming *incoming)
{
	json_t *list = json_array();

	for (unsigned n = 0; n < incoming->count; n++) {
		char text[XD_ADDRESS_TEXT_MAX];
		struct xd_address address;

		if (local_address(incoming->listeners[n], &address, NULL) < 0)
			continue;
		xd_address_format(&address, text);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

/* ---------------------------------------------------------------------- accepting */

void xd_incoming_dropped(struct xd_incoming *incoming, const char *peer, const char *why)
{
	uint64_t now_ns = xm_now_ns();
	uint64_t left_out;

	pthread_mutex_lock(&incoming->lock);
	if (incoming->said_ns && now_ns - incoming->said_ns < SAY_EVERY_NS) {
		incoming->not_said++;
		pthread_mutex_unlock(&incoming->lock);
		return;
	}
	left_out = incoming->not_said;
	incoming->said_ns = now_ns;
	incoming->not_said = 0;
	pthread_mutex_unlock(&incoming->lock);
	if (left_out > 0)
		xd_events_say(incoming->daemon->events, NULL, "alarm",
			      "a connection from %s was dropped, and %llu before it: %s", peer,
			      (unsigned long long)left_out, why);
	else
		xd_events_say(incoming->daemon->events, NULL, "alarm",
			      "a connection from %s was dropped: %s", peer, why);
}

static void begin_handshake(struct xd_incoming *incoming, int fd, const struct xd_address *peer)
{
	struct xd_handshake *handshake = calloc(1, sizeof(*handshake));
	struct xm_error err = XM_ERROR_INIT;
	char text[XD_ADDRESS_TEXT_MAX];
	int rc;

	xd_address_format(peer, text);
	if (!incoming->anybody && !xd_address_is_loopback(peer))
		rc = xm_fail(&err, XM_KIND_REFUSED, -EPERM,
			     "without --insecure, peers must be on this host");
	else if (!handshake)
		rc = xm_fail(&err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	else {
		handshake->incoming = incoming;
		handshake->fd = fd;
		memcpy(handshake->peer, text, sizeof(text));
		rc = xd_threads_start(&incoming->handshakes, xd_handshake_run, handshake, &err);
	}
	if (rc == 0)
		return;
	close(fd);
	free(handshake);
	xd_incoming_dropped(incoming, text, err.text);
}

static void accept_one(struct xd_incoming *incoming, int listener)
{
	struct xd_address peer = {.size = sizeof(peer.addr)};
	int fd = accept4(listener, (struct sockaddr *)&peer.addr, &peer.size, SOCK_CLOEXEC);
	struct pollfd stop = {.fd = incoming->daemon->stop_fd, .events = POLLIN};

	if (fd >= 0) {
		begin_handshake(incoming, fd, &peer);
		return;
	}
	if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS)
		return;
	/* The connection stays in the queue, so poll() would say so for ever. */
	xm_log(XM_LOG_WARNING, "a connection cannot be accepted: %s", strerror(errno));
	poll(&stop, 1, OUT_OF_FDS_MS);
}

static void *accept_main(void *opaque)
{
	struct xd_incoming *incoming = opaque;
	struct pollfd waits[XD_LISTEN_MAX + 1];

	for (;;) {
		waits[0] = (struct pollfd){.fd = incoming->daemon->stop_fd, .events = POLLIN};
		for (unsigned n = 0; n < incoming->count; n++)
			waits[n + 1] =
				(struct pollfd){.fd = incoming->listeners[n], .events = POLLIN};
		if (poll(waits, incoming->count + 1, -1) < 0)
			continue; /* EINTR */
		if (waits[0].revents)
			return NULL;
		for (unsigned n = 0; n < incoming->count; n++)
			if (waits[n + 1].revents)
				accept_one(incoming, incoming->listeners[n]);
	}
}

int xd_incoming_start(struct xd_incoming *incoming, struct xm_error *err)
{
	int rc = -pthread_create(&incoming->thread, NULL, accept_main, incoming);

	if (rc)
		return xm_fail_errno(err, XM_KIND_HOST, rc, "cannot start a thread");
	incoming->started = true;
	return 0;
}

/* ------------------------------------------------------------------------- ending */

void xd_incoming_stop(struct xd_incoming *incoming)
{
	if (incoming->started)
		pthread_join(incoming->thread, NULL);
	incoming->started = false;
	XM_LOCK_GUARD(&incoming->lock);
	incoming->stopped = true;
	for (const struct xd_handshake *at = incoming->first; at; at = at->next)
		if (at->ours)
			shutdown(at->fd, SHUT_RDWR);
}

void xd_incoming_destroy(struct xd_incoming *incoming)
{
	if (!incoming)
		return;
	xd_threads_finish(&incoming->handshakes);
	for (unsigned n = 0; n < incoming->count; n++)
		close(incoming->listeners[n]);
	pthread_mutex_destroy(&incoming->lock);
	free(incoming);
}
