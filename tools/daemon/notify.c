/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/daemon/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"

/* The protocol of sd_notify(3): a datagram to a unix socket, '@' for the abstract namespace. */
static void say(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t length = path ? strlen(path) : 0;
	cleanup_close int fd = -1;

	if (length < 2 || length >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, length);
	if (addr.sun_path[0] == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&addr,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
}

void xd_notify_ready(int ready_fd)
{
	say("READY=1");
	if (ready_fd >= 0) {
		xm_write_full(ready_fd, "ready\n", strlen("ready\n"));
		close(ready_fd);
	}
}

void xd_notify_stopping(void)
{
	say("STOPPING=1");
}
