/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/cli/console.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "tools/cli/cli.h"

#define ESCAPE	    0x1d /* Ctrl-] */
#define CHUNK_BYTES 4096

enum { POLL_SOCKET, POLL_SIGNAL, POLL_INPUT, POLL_COUNT };

struct console {
	int socket;
	char *domain;
	bool raw;
	struct termios before; /* valid while raw */
};

static int fail_open(const char *path, const char *domain, int code, struct xm_error *err)
{
	enum xm_kind kind = code == -EACCES || code == -EPERM ? XM_KIND_HOST : XM_KIND_CONFLICT;

	return xm_fail_errno(err, kind, code, "cannot attach to the console of '%s' at %s", domain,
			     path);
}

static int connect_socket(const char *path, const char *domain, int *ret_fd, struct xm_error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_close int fd = -1;

	if (strlen(path) >= sizeof(address.sun_path))
		return fail_open(path, domain, -ENAMETOOLONG, err);
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return fail_open(path, domain, -errno, err);
	*ret_fd = xm_steal_fd(&fd);
	return 0;
}

int console_open(const char *socket_path, const char *domain, struct console **ret_console,
		 struct xm_error *err)
{
	struct console *console = calloc(1, sizeof(*console));
	int rc;

	*ret_console = NULL;
	if (console)
		console->domain = strdup(domain);
	if (!console || !console->domain) {
		free(console);
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	}
	console->socket = -1;
	rc = connect_socket(socket_path, domain, &console->socket, err);
	if (rc)
		console_close(console);
	else
		*ret_console = console;
	return rc;
}

static int make_raw(struct console *console, struct xm_error *err)
{
	struct termios raw;

	if (!isatty(STDIN_FILENO))
		return 0;
	if (tcgetattr(STDIN_FILENO, &console->before) < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot read the terminal's mode");
	raw = console->before;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot set the terminal's mode");
	console->raw = true;
	fprintf(stderr, "attached to '%s'; Ctrl-] leaves\r\n", console->domain);
	return 0;
}

static void restore_terminal(struct console *console)
{
	if (!console->raw)
		return;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &console->before);
	console->raw = false;
	fputc('\n', stderr);
}

/* Returns 1 when the domain closed its end. */
static int copy_output(struct console *console, struct xm_error *err)
{
	char chunk[CHUNK_BYTES];
	ssize_t got = read(console->socket, chunk, sizeof(chunk));
	int rc;

	if (got < 0 && errno == EINTR)
		return 0;
	if (got == 0 || (got < 0 && errno == ECONNRESET))
		return 1;
	if (got < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot read the console of '%s'",
				     console->domain);
	rc = xm_write_full(STDOUT_FILENO, chunk, (size_t)got);
	return rc ? xm_fail_errno(err, XM_KIND_STORAGE, rc, "cannot write the output") : 0;
}

static int send_full(int socket, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t sent = send(socket, data, size, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -errno;
		data += sent;
		size -= (size_t)sent;
	}
	return 0;
}

/* Returns 1 at Ctrl-], 2 when there is no more input. */
static int copy_input(struct console *console, struct xm_error *err)
{
	char chunk[CHUNK_BYTES];
	ssize_t got = read(STDIN_FILENO, chunk, sizeof(chunk));
	char *escape = NULL;
	int rc;

	if (got < 0 && errno == EINTR)
		return 0;
	if (got <= 0)
		return 2;
	if (console->raw)
		escape = memchr(chunk, ESCAPE, (size_t)got);
	rc = send_full(console->socket, chunk, escape ? (size_t)(escape - chunk) : (size_t)got);
	/* EPIPE: the end of the domain is read from the socket, after its last words. */
	if (rc && rc != -EPIPE)
		return xm_fail_errno(err, XM_KIND_HOST, rc, "cannot write to the console of '%s'",
				     console->domain);
	return escape ? 1 : 0;
}

static int copy_both_ways(struct console *console, int signal_fd, int *ret_signal,
			  struct xm_error *err)
{
	struct pollfd polls[POLL_COUNT] = {
		[POLL_SOCKET] = {.fd = console->socket, .events = POLLIN},
		[POLL_SIGNAL] = {.fd = signal_fd, .events = POLLIN},
		[POLL_INPUT] = {.fd = STDIN_FILENO, .events = POLLIN},
	};
	struct signalfd_siginfo info;
	int rc = 0;

	while (!rc) {
		int ready = poll(polls, POLL_COUNT, -1);

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready < 0)
			return xm_fail_errno(err, XM_KIND_INTERNAL, -errno, "cannot poll");
		if (polls[POLL_SIGNAL].revents) {
			if (xm_read_full(signal_fd, &info, sizeof(info)) == 0)
				*ret_signal = (int)info.ssi_signo;
			return 0;
		}
		if (polls[POLL_SOCKET].revents)
			rc = copy_output(console, err);
		if (!rc && polls[POLL_INPUT].revents)
			rc = copy_input(console, err);
		if (rc == 2) {
			polls[POLL_INPUT].fd = -1;
			polls[POLL_INPUT].revents = 0;
			rc = 0;
		}
	}
	return rc < 0 ? rc : 0;
}

int console_run(struct console *console, struct xm_error *err)
{
	cleanup_close int signal_fd = -1;
	sigset_t set;
	sigset_t before;
	int received = 0;
	int rc;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, &before);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (signal_fd < 0)
		rc = xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot make a signalfd");
	else
		rc = make_raw(console, err);
	if (!rc)
		rc = copy_both_ways(console, signal_fd, &received, err);
	restore_terminal(console);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (received)
		raise(received);
	return rc;
}

void console_close(struct console *console)
{
	if (!console)
		return;
	restore_terminal(console);
	xm_cleanup_close(&console->socket);
	free(console->domain);
	free(console);
}

int command_console(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	struct console *console = NULL;
	json_t *domain = NULL;
	int rc = cli_call_domain(cli, "GET", args->words[0], "", NULL, 0, &domain, err);

	if (rc)
		return rc;
	rc = console_open(cli_text(domain, "console"), cli_text(domain, "name"), &console, err);
	json_decref(domain);
	if (!rc)
		rc = console_run(console, err);
	console_close(console);
	return rc;
}
