/* SPDX-License-Identifier: Apache-2.0 */
/* The migration port: who may listen and come, what is dropped, and what goes where. */
#include <curl/curl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"
#include "migrate/migrate.h"
#include "tests/test.h"
#include "tests/tools/daemon/client.h"
#include "tools/daemon/address.h"
#include "tools/daemon/incoming.h"
#include "tools/lib/session_record.h"
#include "transport/tcp/tcp.h"
#include "transport/transport.h"

static int setup(void **state)
{
	static struct client client;

	client_init(&client);
	client_start(&client);
	*state = &client;
	return 0;
}

static int setup_stopped(void **state)
{
	static struct client client;

	client_init(&client);
	*state = &client;
	return 0;
}

static int teardown(void **state)
{
	return client_finish(*state) ? 0 : -1;
}

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void expect_no_start(struct client *client, enum xm_kind kind, const char *part,
			    const char *where)
{
	char text[CLIENT_TEXT_MAX];
	int status;

	assert_false(client_try_start(client, OPTIONS("--listen", where), &status, text));
	if (WEXITSTATUS(status) != (int)kind || !strstr(text, part))
		fail_msg("exit status %d, not %d with \"%s\": %s", WEXITSTATUS(status), kind, part,
			 text);
}

/* ------------------------------------------------------------------------- listening */

static void test_open_address_is_refused(void **state)
{
	struct client *client = *state;
	char text[CLIENT_TEXT_MAX];
	int status;

	if (xd_address_own_namespace()) {
		printf("SKIPPED: this network namespace is not the host's\n");
		skip();
	}
	expect_no_start(client, XM_KIND_REFUSED, "--insecure", "0.0.0.0:0");
	expect_no_start(client, XM_KIND_REFUSED, "ssh tunnel", "*:0");
	if (!client_try_start(client, OPTIONS("--listen", "0.0.0.0:0", "--insecure"), &status,
			      text))
		fail_msg("--insecure: %s", text);
}

/* In a namespace of its own the daemon may listen anywhere. */
static void test_own_namespace(void **state)
{
	struct client *client = *state;
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		printf("SKIPPED: needs root, to make a network namespace\n");
		skip();
	}
	pid = fork();
	if (pid == 0) {
		char text[CLIENT_TEXT_MAX];
		bool started;

		if (unshare(CLONE_NEWNET) < 0)
			_exit(100);
		started = client_try_start(client, OPTIONS("--listen", "0.0.0.0:0"), &status, text);
		if (started)
			client_stop(client, SIGTERM);
		else
			fprintf(stderr, "%s\n", text);
		_exit(!started);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

static void test_port_in_use(void **state)
{
	struct xd_address address = {.size = sizeof(address.addr)};
	char where[XD_ADDRESS_TEXT_MAX];
	int fd;

	assert_int_equal(tp_tcp_listen("127.0.0.1:0", &fd, NULL), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address.addr, &address.size), 0);
	xd_address_format(&address, where);
	expect_no_start(*state, XM_KIND_CONFLICT, "in use", where);
	close(fd);
}

/* -------------------------------------------------------------------------- dropping */

/* Waits until the daemon has closed the connection, saying nothing. */
static void expect_closed(int fd)
{
	char byte;

	assert_true(recv(fd, &byte, 1, 0) <= 0);
	close(fd);
}

static void expect_dropped(struct client *client, const void *bytes, size_t size, const char *part)
{
	int fd = client_connect(client);
	json_t *answer = client_expect(client, 200, "GET", "/v1/events", NULL);
	json_int_t last = json_integer_value(json_object_get(answer, "next"));
	cleanup_free char *text = NULL;

	json_decref(answer);
	assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
	shutdown(fd, SHUT_WR);
	expect_closed(fd);
	text = client_wait_event(client, last, NULL, "alarm");
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static void expect_nothing_happened(struct client *client)
{
	json_t *domains = client_expect(client, 200, "GET", "/v1/domains", NULL);

	assert_int_equal(json_array_size(json_object_get(domains, "domains")), 0);
	json_decref(domains);
}

static void test_garbage_is_dropped(void **state)
{
	uint8_t garbage[4096];

	memset(garbage, 0xa5, sizeof(garbage));
	expect_dropped(*state, garbage, sizeof(garbage), "magic");
	expect_nothing_happened(*state);
}

static void test_short_preamble_is_dropped(void **state)
{
	expect_dropped(*state, "XMCONNECT", 9, "lost");
	expect_nothing_happened(*state);
}

static void test_unknown_session_is_dropped(void **state)
{
	struct tp_tcp_preamble preamble = {.channel = 1, .purpose = TP_TCP_MIGRATE, .token = {7}};
	uint8_t bytes[TP_TCP_PREAMBLE_SIZE];

	tp_tcp_preamble_encode(&preamble, bytes);
	expect_dropped(*state, bytes, sizeof(bytes), "session that nobody here has");
	expect_nothing_happened(*state);
}

/* ------------------------------------------------------------------------ migrations */

/* Channel 0 starts a VMM that gets it; page channels find it by its session, also under the next daemon. */
static void test_channels_reach_the_vmm(void **state)
{
	struct client *client = *state;
	struct tp_tcp_preamble preamble = {.channel = 0, .purpose = TP_TCP_MIGRATE, .token = {9}};
	uint8_t bytes[TP_TCP_PREAMBLE_SIZE];
	int control = client_connect(client);

	tp_tcp_preamble_encode(&preamble, bytes);
	assert_int_equal(send(control, bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
	for (uint16_t channel = 1; channel <= 2; channel++) {
		cleanup_free char *text = NULL;
		int fd;

		/* The VMM's first event after its domain is in the table: ours, on attach. */
		preamble.channel = channel;
		tp_tcp_preamble_encode(&preamble, bytes);
		free(client_wait_event(client, 0, "arrived", channel == 1 ? "arrived" : "adopted"));
		fd = client_connect(client);
		assert_int_equal(send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
		text = client_wait_event(client, 0, "arrived", "alarm");
		assert_string_equal(text, "attached");
		close(fd);
		client_stop(client, SIGKILL);
		client_start(client);
	}
	close(control);
}

/* ------------------------------------------------------------------------- questions */

static struct tp_session *connect_to_ask(struct client *client, const uint8_t *session)
{
	struct xm_error err = XM_ERROR_INIT;
	json_t *version = client_expect(client, 200, "GET", "/v1/version", NULL);
	const char *where =
		json_string_value(json_array_get(json_object_get(version, "listen"), 0));
	struct tp_session *peer;

	assert_ok(tp_tcp_connect(where, session, TP_TCP_QUERY, NULL, &peer, &err), &err);
	json_decref(version);
	return peer;
}

static void ask(struct client *client, const uint8_t *session, struct pf_outcome *ret_outcome)
{
	struct tp_session *peer = connect_to_ask(client, session);
	struct xm_error err = XM_ERROR_INIT;

	assert_ok(mig_query(peer, session, ret_outcome, &err), &err);
	tp_destroy(peer);
}

static void test_unknown_session_is_aborted_durably(void **state)
{
	static const uint8_t session[XT_ID_BYTES] = {1, 2, 3};
	struct client *client = *state;
	struct xm_error err = XM_ERROR_INIT;
	struct pf_outcome outcome;
	struct xt_session *record;

	ask(client, session, &outcome);
	assert_int_equal(outcome.outcome, PF_OUTCOME_ABORTED);
	client_stop(client, SIGKILL);
	assert_ok(xt_session_open(client->state_dir, session, &record, &err), &err);
	assert_int_equal(xt_session_state(record), XT_SESSION_ABORTED);
	xt_session_close(record);
	client_start(client);
	ask(client, session, &outcome);
	assert_int_equal(outcome.outcome, PF_OUTCOME_ABORTED);
}

/* Who has the daemon's ear and never asks holds it no longer than who says nothing. */
static void test_endless_question_is_dropped(void **state)
{
	static const uint8_t session[XT_ID_BYTES] = {5};
	struct tp_frame later = {.type = 900}; /* of a later version: it may be skipped */
	uint64_t end_ns = xm_now_ns() + 4ull * XD_HANDSHAKE_MS * XM_NS_PER_MS;
	struct client *client = *state;
	struct tp_session *peer = connect_to_ask(client, session);
	cleanup_free char *text = NULL;

	while (tp_send(peer, TP_CONTROL, &later, NULL, 0, NULL) == 0)
		if (xm_now_ns() > end_ns)
			fail_msg("the daemon goes on listening");
	tp_destroy(peer);
	text = client_wait_event(client, 0, NULL, "alarm");
	assert_non_null(strstr(text, "in time"));
}

static void test_committed_session_stays_committed(void **state)
{
	struct xt_session_info info = {.session = {4}, .state = XT_SESSION_RECEIVING};
	struct client *client = *state;
	struct xm_error err = XM_ERROR_INIT;
	struct pf_outcome outcome;
	struct xt_session *record;

	assert_ok(xt_session_create(client->state_dir, &info, &record, &err), &err);
	assert_true(xt_session_swap(record, XT_SESSION_RECEIVING, XT_SESSION_COMMITTED));
	ask(client, info.session, &outcome);
	assert_int_equal(outcome.outcome, PF_OUTCOME_COMMITTED);
	assert_int_equal(xt_session_state(record), XT_SESSION_COMMITTED);
	xt_session_close(record);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_open_address_is_refused, setup_stopped,
						teardown),
		cmocka_unit_test_setup_teardown(test_own_namespace, setup_stopped, teardown),
		cmocka_unit_test_setup_teardown(test_port_in_use, setup_stopped, teardown),
		cmocka_unit_test_setup_teardown(test_garbage_is_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short_preamble_is_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown_session_is_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_channels_reach_the_vmm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown_session_is_aborted_durably, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_committed_session_stays_committed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_endless_question_is_dropped, setup, teardown),
	};

	curl_global_init(CURL_GLOBAL_DEFAULT);
	return cmocka_run_group_tests_name("daemon_incoming", tests, NULL, NULL);
}
