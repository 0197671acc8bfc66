/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/vmm/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "hypervisor/hypervisor.h"
#include "tools/lib/control.h"

struct client {
	int fd;		   /* -1: free */
	uint64_t position; /* of the next byte it gets, counted from the first ever said */
};

struct vmm_console {
	int listener;
	int wake; /* an eventfd: there is output, or it is over */
	pthread_t thread;
	bool thread_started;

	pthread_mutex_t lock;
	/* Guarded by lock. */
	uint64_t said; /* bytes that the guest has ever said; the last ones are in `kept` */
	uint8_t kept[VMM_CONSOLE_KEPT];
	struct hv_domain *domain;
	bool closing;

	struct client clients[VMM_CONSOLE_CLIENTS]; /* the thread's own */
};

static void wake(struct vmm_console *console)
{
	uint64_t one = 1;
	ssize_t wrote;

	/* It fails only when the counter is full, and then the thread is awake. */
	do
		wrote = write(console->wake, &one, sizeof(one));
	while (wrote < 0 && errno == EINTR);
}

void vmm_console_output(struct vmm_console *console, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	pthread_mutex_lock(&console->lock);
	for (size_t done = 0; done < size;) {
		size_t at = console->said % VMM_CONSOLE_KEPT;
		size_t part =
			size - done < VMM_CONSOLE_KEPT - at ? size - done : VMM_CONSOLE_KEPT - at;

		memcpy(console->kept + at, bytes + done, part);
		console->said += part;
		done += part;
	}
	pthread_mutex_unlock(&console->lock);
	wake(console);
}

static uint8_t kept_at(const struct vmm_console *console, uint64_t position)
{
	return console->kept[position % VMM_CONSOLE_KEPT];
}

void vmm_console_last_line(struct vmm_console *console, char *buffer, size_t size)
{
	uint64_t oldest, from, to;
	size_t used = 0;

	XM_LOCK_GUARD(&console->lock);
	to = console->said;
	oldest = to > VMM_CONSOLE_KEPT ? to - VMM_CONSOLE_KEPT : 0;
	while (to > oldest &&
	       (kept_at(console, to - 1) == '\n' || kept_at(console, to - 1) == '\r'))
		to--;
	for (from = to; from > oldest && kept_at(console, from - 1) != '\n';)
		from--;
	/* A guest's bytes: what is no printable character is not for a sentence. */
	for (; from < to && used + 1 < size; from++) {
		uint8_t byte = kept_at(console, from);

		buffer[used++] = byte >= 0x20 && byte < 0x7f ? (char)byte : '?';
	}
	buffer[used] = '\0';
}

static void drop(struct client *client)
{
	close(client->fd);
	client->fd = -1;
}

static void accept_client(struct vmm_console *console)
{
	int fd = accept4(console->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	for (size_t i = 0; i < VMM_CONSOLE_CLIENTS; i++) {
		struct client *client = &console->clients[i];

		if (client->fd >= 0)
			continue;
		client->fd = fd;
		pthread_mutex_lock(&console->lock);
		client->position =
			console->said > VMM_CONSOLE_KEPT ? console->said - VMM_CONSOLE_KEPT : 0;
		pthread_mutex_unlock(&console->lock);
		return;
	}
	close(fd);
}

/* Copies out what the client gets next; returns how much, or -1 if it has fallen too far behind. */
static ssize_t peek(struct vmm_console *console, const struct client *client, uint8_t *buffer,
		    size_t size)
{
	uint64_t left;
	size_t at;

	XM_LOCK_GUARD(&console->lock);
	left = console->said - client->position;
	if (left > VMM_CONSOLE_KEPT)
		return -1;
	at = client->position % VMM_CONSOLE_KEPT;
	size = left < size ? (size_t)left : size;
	size = size < VMM_CONSOLE_KEPT - at ? size : VMM_CONSOLE_KEPT - at;
	memcpy(buffer, console->kept + at, size);
	return (ssize_t)size;
}

/* Sends until all is sent (false) or the client's socket is full (true). */
static bool send_output(struct vmm_console *console, struct client *client)
{
	uint8_t buffer[4096];

	for (;;) {
		ssize_t size = peek(console, client, buffer, sizeof(buffer));
		ssize_t sent;

		if (size == 0)
			return false;
		sent = size < 0 ? -1 : send(client->fd, buffer, (size_t)size, MSG_NOSIGNAL);
		if (sent < 0 && size > 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (sent < 0) {
			drop(client);
			return false;
		}
		client->position += (uint64_t)sent;
	}
}

static void take_input(struct vmm_console *console, struct client *client)
{
	struct hv_domain *domain;
	uint8_t buffer[4096];
	ssize_t got = recv(client->fd, buffer, sizeof(buffer), 0);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		drop(client);
		return;
	}
	pthread_mutex_lock(&console->lock);
	domain = console->domain;
	pthread_mutex_unlock(&console->lock);
	if (domain)
		hv_console_input(domain, buffer, (size_t)got);
}

static bool closing(struct vmm_console *console)
{
	XM_LOCK_GUARD(&console->lock);
	return console->closing;
}

/* Slots 0 and 1 are the listener and the wake-up, the others the clients'. */
static void serve_once(struct vmm_console *console)
{
	struct pollfd waits[2 + VMM_CONSOLE_CLIENTS] = {
		{.fd = console->listener, .events = POLLIN},
		{.fd = console->wake, .events = POLLIN},
	};
	uint64_t count;

	for (size_t i = 0; i < VMM_CONSOLE_CLIENTS; i++) {
		struct client *client = &console->clients[i];
		bool full = client->fd >= 0 && send_output(console, client);

		waits[2 + i] = (struct pollfd){.fd = client->fd,
					       .events = full ? POLLIN | POLLOUT : POLLIN};
	}
	if (poll(waits, 2 + VMM_CONSOLE_CLIENTS, -1) < 0)
		return;
	if (waits[1].revents && read(console->wake, &count, sizeof(count)) < 0)
		return;
	for (size_t i = 0; i < VMM_CONSOLE_CLIENTS; i++)
		if (waits[2 + i].fd >= 0 && waits[2 + i].revents & (POLLIN | POLLHUP | POLLERR))
			take_input(console, &console->clients[i]);
	if (waits[0].revents)
		accept_client(console);
}

static void *console_thread(void *opaque)
{
	struct vmm_console *console = opaque;

	pthread_setname_np(pthread_self(), "console");
	while (!closing(console))
		serve_once(console);
	for (size_t i = 0; i < VMM_CONSOLE_CLIENTS; i++)
		if (console->clients[i].fd >= 0)
			send_output(console, &console->clients[i]);
	return NULL;
}

int vmm_console_create(const char *path, struct vmm_console **ret_console, struct xm_error *err)
{
	struct vmm_console *console = calloc(1, sizeof(*console));
	int rc;

	if (!console)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	pthread_mutex_init(&console->lock, NULL);
	console->listener = -1;
	for (size_t i = 0; i < VMM_CONSOLE_CLIENTS; i++)
		console->clients[i].fd = -1;
	console->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = console->wake < 0 ? xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot make an eventfd")
			       : xt_socket_listen(path, SOCK_STREAM, &console->listener, err);
	if (!rc) {
		rc = -pthread_create(&console->thread, NULL, console_thread, console);
		console->thread_started = rc == 0;
		if (rc)
			xm_fail_errno(err, XM_KIND_HOST, rc, "cannot start a thread");
	}
	if (rc) {
		vmm_console_destroy(console);
		return rc;
	}
	*ret_console = console;
	return 0;
}

void vmm_console_attach(struct vmm_console *console, struct hv_domain *domain)
{
	XM_LOCK_GUARD(&console->lock);
	console->domain = domain;
}

void vmm_console_stop(struct vmm_console *console)
{
	if (!console || !console->thread_started)
		return;
	pthread_mutex_lock(&console->lock);
	console->closing = true;
	pthread_mutex_unlock(&console->lock);
	wake(console);
	pthread_join(console->thread, NULL);
	console->thread_started = false;
}

void vmm_console_destroy(struct vmm_console *console)
{
	if (!console)
		return;
	vmm_console_stop(console);
	for (size_t i = 0; i < VMM_CONSOLE_CLIENTS; i++)
		if (console->clients[i].fd >= 0)
			drop(&console->clients[i]);
	if (console->listener >= 0)
		close(console->listener);
	if (console->wake >= 0)
		close(console->wake);
	pthread_mutex_destroy(&console->lock);
	free(console);
}
