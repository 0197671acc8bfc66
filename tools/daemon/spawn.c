/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/daemon/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "tools/daemon/daemon.h"
#include "tools/daemon/domains.h"
#include "tools/lib/control.h"

#define START_FD 3

/*
 * In the child of a process with threads: only what is safe in a signal handler, until exec. The VMM keeps
 * stderr until it has a log of its own.
 */
static void become_vmm(const char *program, int start_fd, int null_fd)
{
	static const char failed[] = "{\"error\":{\"kind\":\"host\",\"text\":"
				     "\"the VMM program cannot be executed; see --vmm\"}}";
	char *const arguments[] = {(char *)program, NULL};
	sigset_t none;

	dup2(null_fd, STDIN_FILENO);
	dup2(null_fd, STDOUT_FILENO);
	if (start_fd == START_FD) /* dup2() would leave it close-on-exec */
		fcntl(START_FD, F_SETFD, 0);
	else
		dup2(start_fd, START_FD);
	close_range(START_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	execv(program, arguments);
	send(START_FD, failed, sizeof(failed) - 1, MSG_NOSIGNAL);
	_exit(127);
}

/* Two forks: the one between leads the new session and ends, so that the VMM is nobody's to wait for. */
static int fork_twice(const char *program, int start_fd, int null_fd, struct xm_error *err)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot start a process for a VMM");
	if (child == 0) {
		pid_t vmm;

		setsid();
		vmm = fork();
		if (vmm == 0)
			become_vmm(program, start_fd, null_fd);
		_exit(vmm < 0);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return xm_fail(err, XM_KIND_HOST, -EAGAIN,
			       "cannot start a process for a VMM: the host has too many");
	return 0;
}

static int start(struct xd_daemon *daemon, int *ret_socket, struct xm_error *err)
{
	const char *program = daemon->options->vmm;
	cleanup_close int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int pair[2];
	int rc;

	if (null_fd < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot open /dev/null");
	if (access(program, X_OK) < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno,
				     "cannot execute the VMM program %s (see --vmm)", program);
	rc = xt_socket_pair(pair, err);
	if (rc)
		return rc;
	rc = fork_twice(program, pair[1], null_fd, err);
	close(pair[1]);
	if (rc) {
		close(pair[0]);
		return rc;
	}
	*ret_socket = pair[0];
	return 0;
}

static int wait_for_word(struct xd_daemon *daemon, int socket, struct xm_error *err)
{
	struct pollfd waits[] = {{.fd = socket, .events = POLLIN},
				 {.fd = daemon->stop_fd, .events = POLLIN}};
	uint64_t deadline_ns = xm_now_ns() + XD_START_MS * XM_NS_PER_MS;
	int rc;

	do {
		uint64_t now_ns = xm_now_ns();
		uint64_t left_ns = now_ns < deadline_ns ? deadline_ns - now_ns : 0;

		rc = poll(waits, 2, (int)(left_ns / XM_NS_PER_MS));
	} while (rc < 0 && errno == EINTR);
	if (waits[0].revents)
		return 0;
	if (waits[1].revents)
		return xm_fail(
			err, XM_KIND_CANCELLED, -ECANCELED,
			"the daemon is stopping; the domain is started nevertheless, if it can");
	return xm_fail(err, XM_KIND_HOST, -ETIMEDOUT, "a VMM was started and said nothing for %u s",
		       XD_START_MS / 1000);
}

static int read_word(int socket, char ret_name[XT_NAME_SIZE], struct xm_error *err)
{
	json_t *answer = NULL;
	const char *name;
	int rc = xt_packet_receive(socket, &answer, NULL, err);

	if (rc)
		return xm_fail(
			err, XM_KIND_INTERNAL, -EPROTO,
			"a VMM was started and died before it had a domain; the daemon's log "
			"may say why");
	name = json_string_value(json_object_get(json_object_get(answer, "result"), "name"));
	if (!name)
		rc = xt_error_from_json(json_object_get(answer, "error"), err);
	else
		rc = xt_name_check(name, err);
	if (!rc)
		strcpy(ret_name, name); /* xt_name_check() has limited its length */
	json_decref(answer);
	return rc;
}

int xd_spawn(struct xd_daemon *daemon, json_t *packet, int fd, char ret_name[XT_NAME_SIZE],
	     struct xm_error *err)
{
	cleanup_close int socket = -1;
	char name[XT_NAME_SIZE];
	int rc;

	json_object_set_new(packet, "run_dir", json_string(daemon->options->run_dir));
	json_object_set_new(packet, "state_dir", json_string(daemon->options->state_dir));
	rc = start(daemon, &socket, err);
	if (!rc)
		rc = xt_packet_send(socket, packet, fd, err);
	if (!rc)
		rc = wait_for_word(daemon, socket, err);
	if (!rc)
		rc = read_word(socket, name, err);
	if (!rc)
		rc = xd_domains_adopt(daemon->domains, name, err);
	if (rc)
		return rc;
	strcpy(ret_name, name);
	return 0;
}
