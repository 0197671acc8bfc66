// SPDX-License-Identifier: Apache-2.0
/* The sessions of a world, and a count of what a process holds. */
#include "tests/migrate/world.h"

#include <dirent.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "transport/file/file.h"
#include "transport/memory/memory.h"
#include "transport/tcp/tcp.h"

static unsigned count_entries(const char *path)
{
	unsigned count = 0;
	struct dirent *entry;
	DIR *dir = opendir(path);

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

unsigned world_count_threads(void)
{
	return count_entries("/proc/self/task");
}

unsigned world_count_fds(void)
{
	return count_entries("/proc/self/fd");
}

/* --------------------------------------------------------------------------------- tcp */

static int accept_one(int listener, struct tp_tcp_preamble *ret_preamble)
{
	struct xm_error err = XM_ERROR_INIT;
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		return -1;
	if (tp_tcp_preamble_read(fd, 5000, ret_preamble, &err)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Hands page channels to the session as they come, until the listener is shut. */
static void *accept_channels(void *argument)
{
	struct world *world = argument;
	struct tp_tcp_preamble preamble;
	int fd;

	while ((fd = accept_one(world->listener, &preamble)) >= 0)
		if (tp_tcp_attach(world->target_session, preamble.channel, fd, NULL))
			close(fd);
	return NULL;
}

static void join_tcp(struct world *world)
{
	const uint8_t token[TP_TCP_TOKEN_SIZE] = "a session's id.";
	struct sockaddr_in address;
	socklen_t size = sizeof(address);
	struct tp_tcp_preamble preamble;
	struct xm_error err = XM_ERROR_INIT;
	char text[32];
	int fd;

	assert_ok(tp_tcp_listen("127.0.0.1:0", &world->listener, &err), &err);
	assert_int_equal(getsockname(world->listener, (struct sockaddr *)&address, &size), 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(address.sin_port));
	assert_ok(tp_tcp_connect(text, token, TP_TCP_MIGRATE, NULL, &world->source_session, &err),
		  &err);
	fd = accept_one(world->listener, &preamble);
	assert_true(fd >= 0);
	assert_ok(tp_tcp_accept(fd, NULL, &world->target_session, &err), &err);
	world->accepting = true;
	assert_int_equal(pthread_create(&world->acceptor, NULL, accept_channels, world), 0);
}

/* -------------------------------------------------------------------------------- all */

void world_join(struct world *world)
{
	struct xm_error err = XM_ERROR_INIT;

	world->listener = -1;
	world->file = -1;
	switch (world->transport) {
	case WORLD_MEMORY:
		assert_ok(tp_memory_pair(&world->source_session, &world->target_session, &err),
			  &err);
		return;
	case WORLD_TCP:
		join_tcp(world);
		return;
	case WORLD_FILE:
		world->file = memfd_create("saved-domain", MFD_CLOEXEC);
		assert_true(world->file >= 0);
		assert_ok(tp_file_create(world->file, &world->source_session, &err), &err);
		return;
	}
}

void world_reopen_file(struct world *world)
{
	struct xm_error err = XM_ERROR_INIT;

	tp_destroy(world->source_session);
	world->source_session = NULL;
	assert_int_equal(lseek(world->file, 0, SEEK_SET), 0);
	assert_ok(tp_file_open(world->file, &world->target_session, &err), &err);
}

void world_part(struct world *world)
{
	if (world->accepting) {
		shutdown(world->listener, SHUT_RDWR);
		pthread_join(world->acceptor, NULL);
	}
	tp_destroy(world->source_session);
	tp_destroy(world->target_session);
	if (world->listener >= 0)
		close(world->listener);
	if (world->file >= 0)
		close(world->file);
}
