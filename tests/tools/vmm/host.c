/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/tools/vmm/host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "migrate/migrate.h"
#include "tests/tools/folder.h"
#include "tools/lib/control.h"
#include "tools/lib/session_record.h"
#include "transport/tcp/tcp.h"
#include "transport/transport.h"

#define START_FD 3

/* -------------------------------------------------------------------- VMM processes */

static pid_t fork_vmm(struct test_host *host, int start_fd)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (host->fault)
			setenv("XMIGRATE_FAULT", host->fault, 1);
		if (start_fd == START_FD)
			fcntl(START_FD, F_SETFD, 0);
		else
			dup2(start_fd, START_FD);
		execl(TEST_VMM, TEST_VMM, (char *)NULL);
		_exit(127);
	}
	pthread_mutex_lock(&host->lock);
	for (int i = 0; i < TEST_VMMS_MAX; i++) {
		if (host->vmms[i])
			continue;
		host->vmms[i] = pid;
		break;
	}
	pthread_mutex_unlock(&host->lock);
	return pid;
}

/* For any thread: NULL if the VMM died without an answer. */
static json_t *start_vmm(struct test_host *host, json_t *packet, int fd, pid_t *ret_pid)
{
	json_t *answer = NULL;
	int pair[2];

	json_object_set_new(packet, "run_dir", json_string(host->folder));
	json_object_set_new(packet, "state_dir", json_string(host->folder));
	if (xt_socket_pair(pair, NULL))
		abort();
	*ret_pid = fork_vmm(host, pair[1]);
	close(pair[1]);
	xt_packet_send(pair[0], packet, fd, NULL);
	xt_packet_receive(pair[0], &answer, NULL, NULL);
	close(pair[0]);
	json_decref(packet);
	return answer;
}

json_t *test_host_vmm(struct test_host *host, json_t *packet, pid_t *ret_pid)
{
	json_t *answer = start_vmm(host, packet, -1, ret_pid);

	assert_non_null(answer);
	return answer;
}

int test_host_wait(struct test_host *host, pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			fail_msg("no such VMM");
	XM_LOCK_GUARD(&host->lock);
	for (int i = 0; i < TEST_VMMS_MAX; i++)
		if (host->vmms[i] == pid)
			host->vmms[i] = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool test_host_has(struct test_host *host, const char *name)
{
	cleanup_free char *path = xm_format("%s/domains/%s", host->folder, name);

	return access(path, F_OK) == 0;
}

/* ----------------------------------------------------------------- the migration port */

/* Which of our domains expects that session? */
static bool find_session(struct test_host *host, const uint8_t token[XT_ID_BYTES],
			 char name[XT_NAME_SIZE])
{
	struct xt_domain_record *records;
	char hex[XT_HEX_SIZE];
	bool found = false;
	size_t count;

	xt_hex_format(token, hex);
	if (xt_registry_list(&host->registry, &records, &count, NULL))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(records[i].session, hex) != 0)
			continue;
		strcpy(name, records[i].name);
		found = true;
	}
	free(records);
	return found;
}

static void attach(struct test_host *host, const struct tp_tcp_preamble *preamble, int fd)
{
	cleanup_close int control = -1;
	char name[XT_NAME_SIZE];
	cleanup_free char *path = NULL;
	json_t *arguments = json_pack("{si}", "channel", (int)preamble->channel);

	if (find_session(host, preamble->token, name))
		path = xm_format("%s/domains/%s/vmm.sock", host->folder, name);
	if (path && xt_socket_connect(path, SOCK_SEQPACKET, &control, NULL) == 0)
		xt_call(control, "attach", arguments, fd, NULL, NULL);
	json_decref(arguments);
	close(fd);
}

static void receive(struct test_host *host, const struct tp_tcp_preamble *preamble, int fd)
{
	char token[XT_HEX_SIZE];
	pid_t pid;

	xt_hex_format(preamble->token, token);
	json_decref(start_vmm(
		host,
		json_pack("{ss ss ss}", "start", "incoming", "peer", "a test", "token", token), fd,
		&pid));
	close(fd);
}

static int decide(void *opaque, const uint8_t *session, struct pf_outcome *ret_outcome,
		  struct xm_error *err)
{
	struct test_host *host = opaque;

	return xt_session_decide(host->folder, session, ret_outcome, err);
}

static void answer_query(struct test_host *host, int fd)
{
	struct tp_session *session;

	if (tp_tcp_accept(fd, NULL, &session, NULL)) {
		close(fd);
		return;
	}
	mig_answer_query(session, decide, host, NULL);
	tp_destroy(session);
}

static void *serve_port(void *opaque)
{
	struct test_host *host = opaque;
	int fd;

	for (fd = accept4(host->listener, NULL, NULL, SOCK_CLOEXEC); fd >= 0;
	     fd = accept4(host->listener, NULL, NULL, SOCK_CLOEXEC)) {
		struct tp_tcp_preamble preamble;

		if (tp_tcp_preamble_read(fd, 5000, &preamble, NULL))
			close(fd);
		else if (preamble.purpose == TP_TCP_QUERY)
			answer_query(host, fd);
		else if (preamble.channel > 0)
			attach(host, &preamble, fd);
		else
			receive(host, &preamble, fd);
	}
	return NULL;
}

void test_host_start(struct test_host *host)
{
	struct sockaddr_in address;
	socklen_t size = sizeof(address);
	struct xm_error err = XM_ERROR_INIT;

	*host = (struct test_host){.folder = test_folder_make()};
	host->registry.run_dir = host->folder;
	pthread_mutex_init(&host->lock, NULL);
	assert_ok(tp_tcp_listen("127.0.0.1:0", &host->listener, &err), &err);
	assert_int_equal(getsockname(host->listener, (struct sockaddr *)&address, &size), 0);
	host->address = xm_format("127.0.0.1:%u", ntohs(address.sin_port));
	assert_int_equal(pthread_create(&host->thread, NULL, serve_port, host), 0);
}

void test_host_stop(struct test_host *host)
{
	shutdown(host->listener, SHUT_RDWR);
	pthread_join(host->thread, NULL);
	close(host->listener);
	for (int i = 0; i < TEST_VMMS_MAX; i++) {
		if (!host->vmms[i])
			continue;
		kill(host->vmms[i], SIGKILL);
		waitpid(host->vmms[i], NULL, 0);
	}
	pthread_mutex_destroy(&host->lock);
	free(host->address);
	test_folder_remove(host->folder);
}

/* ---------------------------------------------------------------------------- calls */

int test_connect(struct test_host *host, const char *name)
{
	cleanup_free char *path = xm_format("%s/domains/%s/vmm.sock", host->folder, name);
	struct xm_error err = XM_ERROR_INIT;
	int fd;

	assert_ok(xt_socket_connect(path, SOCK_SEQPACKET, &fd, &err), &err);
	return fd;
}

static int call(struct test_host *host, const char *name, const char *what, json_t *arguments,
		json_t **ret_result, struct xm_error *err)
{
	cleanup_close int fd = test_connect(host, name);
	int rc = xt_call(fd, what, arguments, -1, ret_result, err);

	json_decref(arguments);
	return rc;
}

json_t *test_call(struct test_host *host, const char *name, const char *what, json_t *arguments)
{
	struct xm_error err = XM_ERROR_INIT;
	json_t *result = NULL;

	assert_ok(call(host, name, what, arguments, &result, &err), &err);
	return result;
}

enum xm_kind test_call_fails(struct test_host *host, const char *name, const char *what,
			     json_t *arguments)
{
	struct xm_error err = XM_ERROR_INIT;

	assert_int_not_equal(call(host, name, what, arguments, NULL, &err), 0);
	return err.kind;
}

static json_t *find(const json_t *json, const char *path)
{
	cleanup_free char *copy = strdup(path);
	char *rest = copy;
	char *key;

	for (key = strsep(&rest, "."); key; key = strsep(&rest, "."))
		json = json_object_get(json, key);
	return (json_t *)json;
}

const char *test_string(const json_t *json, const char *path)
{
	const char *value = json_string_value(find(json, path));

	if (!value)
		fail_msg("no text at %s", path);
	return value;
}

json_int_t test_number(const json_t *json, const char *path)
{
	json_t *value = find(json, path);

	if (!json_is_integer(value))
		fail_msg("no number at %s", path);
	return json_integer_value(value);
}

void test_assert_state(struct test_host *host, const char *name, const char *state)
{
	json_t *info = test_call(host, name, "info", NULL);

	assert_string_equal(test_string(info, "state"), state);
	json_decref(info);
}

json_t *test_finished(struct test_host *host, const char *name)
{
	json_int_t after = 0;

	for (;;) {
		json_t *operation =
			test_call(host, name, "operation",
				  json_pack("{sI si}", "after", after, "wait_ms", 30000));

		if (json_is_true(json_object_get(operation, "finished")))
			return operation;
		if (test_number(operation, "sequence") <= after)
			fail_msg("the operation does not end");
		after = test_number(operation, "sequence");
		json_decref(operation);
	}
}

json_t *test_bequeathed(struct test_host *host, const char *id)
{
	cleanup_free char *path = xm_format("%s/finished/%s.json", host->folder, id);
	cleanup_free char *text = NULL;
	struct xm_error err = XM_ERROR_INIT;
	json_t *operation;

	assert_ok(xm_file_read(path, XT_PACKET_MAX, &text, NULL, &err), &err);
	operation = json_loads(text, 0, NULL);
	assert_non_null(operation);
	return operation;
}

void test_event(struct test_host *host, const char *name, const char *what)
{
	cleanup_close int fd = test_connect(host, name);
	struct xm_error err = XM_ERROR_INIT;
	bool found = false;

	assert_ok(xt_call(fd, "subscribe", NULL, -1, NULL, &err), &err);
	while (!found) {
		json_t *packet;

		if (xt_packet_receive(fd, &packet, NULL, &err))
			fail_msg("no event '%s': %s", what, err.text);
		found = strcmp(test_string(packet, "event.what"), what) == 0;
		json_decref(packet);
	}
}

void test_host_gone(struct test_host *host, const char *name)
{
	cleanup_free char *path = xm_format("%s/domains/%s/lock", host->folder, name);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);

	/* A VMM holds this lock until it has let go of the name, or is dead. */
	if (fd >= 0)
		flock(fd, LOCK_EX);
	assert_false(test_host_has(host, name));
}

/* --------------------------------------------------------------------------- domains */

static json_t *wait_report(struct test_host *host, const char *name, const char *word)
{
	json_int_t after = 0;

	for (;;) {
		json_t *report = test_call(host, name, "report",
					   json_pack("{sI si}", "after", after, "wait_ms", 30000));

		if (test_number(report, "sequence") <= after)
			fail_msg("%s does not report %s", name, word);
		if (strstr(test_string(report, "line"), word))
			return report;
		after = test_number(report, "sequence");
		json_decref(report);
	}
}

pid_t test_host_create(struct test_host *host, const char *name, const char *payload,
		       const char *args, bool paused)
{
	cleanup_free char *config =
		xm_format("name = \"%s\"\nmemory = 64\npayload = \"%s/%s.elf\"\n"
			  "payload_args = \"%s\"\n",
			  name, TEST_PAYLOADS, payload, args);
	json_t *answer;
	pid_t pid;

	answer = test_host_vmm(host,
			       json_pack("{ss ss ss sb}", "start", "create", "config", config,
					 "config_path", "test.cfg", "paused", paused),
			       &pid);
	assert_string_equal(test_string(answer, "result.name"), name);
	json_decref(answer);
	if (!paused)
		json_decref(wait_report(host, name, "cmd=ready"));
	return pid;
}

void test_verify(struct test_host *host, const char *name)
{
	static unsigned long asked;
	cleanup_free char *id = xm_format("id=v%lu", ++asked);
	cleanup_free char *line = xm_format("verify %s\n", id);
	json_t *report;

	json_decref(test_call(host, name, "input", json_pack("{ss}", "text", line)));
	report = wait_report(host, name, id);
	if (!strstr(test_string(report, "line"), " errors=0"))
		fail_msg("%s: %s", name, test_string(report, "line"));
	json_decref(report);
}
