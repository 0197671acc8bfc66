/* SPDX-License-Identifier: Apache-2.0 */
/* What only TCP has: preambles, addresses, ports and connections. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "common/fault.h"
#include "common/file.h"
#include "tests/transport/harness.h"
#include "transport/tcp/internal.h"

static const uint8_t token[TP_TCP_TOKEN_SIZE] = "0123456789abcde";

/* ------------------------------------------------------------------ preamble */

static const struct tp_tcp_preamble a_preamble = {
	.channel = 3, .purpose = TP_TCP_QUERY, .token = "fedcba987654321"};

static int read_preamble_of(const uint8_t *bytes, size_t size, bool close_after,
			    struct tp_tcp_preamble *ret_preamble, struct xm_error *err)
{
	int fds[2];
	int rc;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(xm_write_full(fds[0], bytes, size), 0);
	if (close_after)
		close(fds[0]);
	rc = tp_tcp_preamble_read(fds[1], 50, ret_preamble, err);
	if (!close_after)
		close(fds[0]);
	close(fds[1]);
	return rc;
}

static void test_preamble(void **state)
{
	uint8_t bytes[TP_TCP_PREAMBLE_SIZE + 1] = {0};
	struct tp_tcp_preamble preamble;
	struct xm_error err = XM_ERROR_INIT;
	int fds[2];

	(void)state;
	tp_tcp_preamble_encode(&a_preamble, bytes);
	assert_memory_equal(bytes, "XMCONNECT\0\0\0\1\0\3\0\2", 17);
	assert_memory_equal(bytes + 28, a_preamble.token, TP_TCP_TOKEN_SIZE);

	bytes[TP_TCP_PREAMBLE_SIZE] = 'n';
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(xm_write_full(fds[0], bytes, sizeof(bytes)), 0);
	assert_ok(tp_tcp_preamble_read(fds[1], 1000, &preamble, &err), &err);
	assert_int_equal(preamble.channel, 3);
	assert_int_equal(preamble.purpose, TP_TCP_QUERY);
	assert_memory_equal(preamble.token, a_preamble.token, TP_TCP_TOKEN_SIZE);
	/* What follows it is left for the session. */
	assert_int_equal(read(fds[1], bytes, sizeof(bytes)), 1);
	assert_int_equal(bytes[0], 'n');
	close(fds[0]);
	close(fds[1]);
}

static void test_preamble_garbage(void **state)
{
	struct tp_tcp_preamble wrong = a_preamble, preamble;
	uint8_t bytes[TP_TCP_PREAMBLE_SIZE];
	struct xm_error err = XM_ERROR_INIT;

	(void)state;
	for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
		tp_tcp_preamble_encode(&a_preamble, bytes);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_true(read_preamble_of(bytes, sizeof(bytes), true, &preamble, &err) < 0);
		assert_int_equal(err.kind, XM_KIND_DATA);
	}
	for (size_t size = 0; size < sizeof(bytes); size++) {
		tp_tcp_preamble_encode(&a_preamble, bytes);
		assert_int_equal(read_preamble_of(bytes, size, true, &preamble, &err), -ECONNRESET);
		assert_int_equal(err.kind, XM_KIND_NETWORK);
	}
	assert_int_equal(read_preamble_of(bytes, 47, false, &preamble, &err), -ETIMEDOUT);
	assert_int_equal(err.kind, XM_KIND_NETWORK);

	wrong.channel = TP_CHANNELS_MAX + 1;
	tp_tcp_preamble_encode(&wrong, bytes);
	assert_int_equal(tp_tcp_preamble_decode(bytes, &preamble, &err), -EPROTO);
	wrong = a_preamble;
	wrong.purpose = 3;
	tp_tcp_preamble_encode(&wrong, bytes);
	assert_int_equal(tp_tcp_preamble_decode(bytes, &preamble, &err), -EPROTO);
}

/* ------------------------------------------------------------------ addresses */

static void test_addresses(void **state)
{
	static const struct {
		const char *text, *host, *port;
	} good[] = {
		{"host2", "host2", "4411"},
		{"host2:80", "host2", "80"},
		{"10.0.0.2", "10.0.0.2", "4411"},
		{"::1", "::1", "4411"},
		{"[::1]", "::1", "4411"},
		{"[::1]:65535", "::1", "65535"},
		{"fe80::1%eth0", "fe80::1%eth0", "4411"},
		{"*:00080", "*", "80"},
	};
	static const char *const bad[] = {
		"",	 ":80",	     "host:",	"host:x",      "host:65536", "[::1",	"[::1]80",
		"[]:80", "host:80x", "host:-1", "host:123456", "[::1]:",     "host: 80"};
	struct tp_address address;
	struct xm_error err = XM_ERROR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_ok(tp_address_parse(good[i].text, &address, &err), &err);
		assert_string_equal(address.host, good[i].host);
		assert_string_equal(address.port, good[i].port);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(tp_address_parse(bad[i], &address, &err), -EINVAL);
		assert_int_equal(err.kind, XM_KIND_USAGE);
	}
}

static int connect_to(const char *address, const struct tp_tcp_params *params, struct xm_error *err)
{
	struct tp_session *session = NULL;
	int rc = tp_tcp_connect(address, token, TP_TCP_MIGRATE, params, &session, err);

	tp_destroy(session);
	return rc;
}

static void test_nobody_there(void **state)
{
	struct xm_error err = XM_ERROR_INIT;
	char address[80], name[120];
	int fd;

	(void)state;
	assert_ok(tp_tcp_listen("127.0.0.1:0", &fd, &err), &err);
	listener_address(fd, address, sizeof(address));
	close(fd);
	assert_int_equal(connect_to(address, NULL, &err), -ECONNREFUSED);
	assert_int_equal(err.kind, XM_KIND_NETWORK);
	assert_non_null(strstr(err.text, address));
	assert_non_null(strstr(err.text, "start xmigrated"));

	/* No name server needs to be asked about a label of more than 63 letters. */
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(connect_to(name, NULL, &err), -EHOSTUNREACH);
	assert_int_equal(err.kind, XM_KIND_NETWORK);
	assert_non_null(strstr(err.text, "check its spelling"));
	assert_int_equal(connect_to("host:port", NULL, &err), -EINVAL);
	assert_int_equal(err.kind, XM_KIND_USAGE);
}

enum { WAITING = 3 };

/* A listener whose queue is full lets further connections wait: like a host that drops them. */
static void fill_queue(int listener, int ret_waiting[WAITING])
{
	struct sockaddr_in address;
	socklen_t size = sizeof(address);

	assert_int_equal(listen(listener, 0), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	for (int i = 0; i < WAITING; i++) {
		ret_waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)!connect(ret_waiting[i], (struct sockaddr *)&address, size);
	}
}

static void test_no_answer(void **state)
{
	struct tp_tcp_params params = {.connect_timeout_ms = 150};
	struct xm_error err = XM_ERROR_INIT;
	int waiting[WAITING];
	char address[80];
	int listener;

	(void)state;
	assert_ok(tp_tcp_listen("127.0.0.1:0", &listener, &err), &err);
	listener_address(listener, address, sizeof(address));
	fill_queue(listener, waiting);
	assert_int_equal(connect_to(address, &params, &err), -ETIMEDOUT);
	assert_int_equal(err.kind, XM_KIND_NETWORK);
	assert_non_null(strstr(err.text, "firewall"));
	for (int i = 0; i < WAITING; i++)
		close(waiting[i]);
	close(listener);
}

static int open_four(struct task *task)
{
	return tp_open_channels(task->session, 4, &task->err);
}

/* Whoever cancels need not wait for a host that does not answer. */
static void test_shutdown_wakes_connecting(void **state)
{
	struct task opens = {.run = open_four};
	struct xm_error err = XM_ERROR_INIT;
	int waiting[WAITING];
	char address[80];
	int listener;

	(void)state;
	assert_ok(tp_tcp_listen("127.0.0.1:0", &listener, &err), &err);
	listener_address(listener, address, sizeof(address));
	assert_ok(tp_tcp_connect(address, token, TP_TCP_MIGRATE, NULL, &opens.session, &err), &err);
	fill_queue(listener, waiting);
	task_start(&opens);
	tp_shutdown(opens.session);
	task_join(&opens);
	assert_int_equal(opens.rc, -ECANCELED);
	assert_int_equal(opens.err.kind, XM_KIND_CANCELLED);
	tp_destroy(opens.session);
	for (int i = 0; i < WAITING; i++)
		close(waiting[i]);
	close(listener);
}

static void test_listening(void **state)
{
	struct xm_error err = XM_ERROR_INIT;
	struct sockaddr_storage bound;
	socklen_t size = sizeof(bound);
	char address[80];
	int first, second;

	(void)state;
	assert_ok(tp_tcp_listen("127.0.0.1:0", &first, &err), &err);
	listener_address(first, address, sizeof(address));
	assert_int_equal(tp_tcp_listen(address, &second, &err), -EADDRINUSE);
	assert_int_equal(err.kind, XM_KIND_CONFLICT);
	assert_non_null(strstr(err.text, "in use"));
	assert_non_null(strstr(err.text, address));
	close(first);
	assert_int_equal(tp_tcp_listen("192.0.2.1:0", &second, &err), -EADDRNOTAVAIL);
	assert_int_equal(err.kind, XM_KIND_HOST);

	/* All of this host's addresses, IPv4 among them. */
	assert_ok(tp_tcp_listen("*:0", &first, &err), &err);
	assert_int_equal(getsockname(first, (struct sockaddr *)&bound, &size), 0);
	snprintf(address, sizeof(address), "127.0.0.1:%d",
		 ntohs(((struct sockaddr_in *)&bound)->sin_port));
	assert_ok(connect_to(address, NULL, &err), &err);
	close(first);
}

static void test_congestion(void **state)
{
	struct tp_tcp_params params = {.congestion = "no-such-thing"};
	struct xm_error err = XM_ERROR_INIT;
	struct tp_session *a = NULL, *b = NULL;
	char address[80], used[16] = "";
	socklen_t size = sizeof(used);
	int listener, fd;

	(void)state;
	assert_ok(tp_tcp_listen("127.0.0.1:0", &listener, &err), &err);
	listener_address(listener, address, sizeof(address));
	assert_true(connect_to(address, &params, &err) < 0);
	assert_int_equal(err.kind, XM_KIND_HOST);
	assert_non_null(strstr(err.text, "no-such-thing"));
	assert_non_null(strstr(err.text, "reno")); /* every kernel has it */

	params.congestion = "reno";
	assert_ok(tp_tcp_connect(address, token, TP_TCP_MIGRATE, &params, &a, &err), &err);
	fd = accept(listener, NULL, NULL);
	assert_ok(tp_tcp_accept(fd, &params, &b, &err), &err);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, used, &size), 0);
	assert_string_equal(used, "reno");
	tp_destroy(a);
	tp_destroy(b);
	close(listener);
}

static void test_connect_fault(void **state)
{
	struct xm_error err = XM_ERROR_INIT;
	char address[80];
	int listener;

	(void)state;
	assert_ok(tp_tcp_listen("127.0.0.1:0", &listener, &err), &err);
	listener_address(listener, address, sizeof(address));
	assert_ok(xm_fault_arm("transport.connect:error", &err), &err);
	assert_int_equal(connect_to(address, NULL, &err), -EIO);
	assert_int_equal(err.kind, XM_KIND_NETWORK);
	assert_ok(xm_fault_arm(NULL, &err), &err);
	assert_ok(connect_to(address, NULL, &err), &err);
	close(listener);
}

/* ------------------------------------------------------------------ page channels */

static void test_attach(void **state)
{
	struct xm_error err = XM_ERROR_INIT;
	int raw, raw_pages, raw_again;
	struct tp_session *session = accept_raw(&raw);
	int fd = raw_pair(&raw_pages);
	int again = raw_pair(&raw_again);

	(void)state;
	assert_int_equal(tp_tcp_attach(session, 0, fd, &err), -EPROTO);
	assert_int_equal(tp_tcp_attach(session, TP_CHANNELS_MAX + 1, fd, &err), -EPROTO);
	assert_ok(tp_tcp_attach(session, 1, fd, &err), &err);
	assert_int_equal(tp_tcp_attach(session, 1, again, &err), -EEXIST);
	assert_int_equal(err.kind, XM_KIND_DATA);

	/* One of two came: the accepting end says so when its time is up. */
	tp_set_timeout(session, 50);
	assert_int_equal(tp_open_channels(session, 2, &err), -ETIMEDOUT);
	assert_int_equal(err.kind, XM_KIND_NETWORK);
	assert_non_null(strstr(err.text, "1 of its 2"));
	tp_shutdown(session);
	/* A refused connection is still the caller's. */
	assert_int_equal(tp_tcp_attach(session, 2, again, &err), -ECANCELED);
	close(again);
	tp_destroy(session);
	close(raw);
	close(raw_pages);
	close(raw_again);
}

static int open_two(struct task *task)
{
	return tp_open_channels(task->session, 2, &task->err);
}

static void test_attach_wakes_opening(void **state)
{
	struct xm_error err = XM_ERROR_INIT;
	int raw[3];
	struct task opens = {.run = open_two, .session = accept_raw(&raw[0])};

	(void)state;
	task_start(&opens);
	assert_ok(tp_tcp_attach(opens.session, 2, raw_pair(&raw[2]), &err), &err);
	assert_ok(tp_tcp_attach(opens.session, 1, raw_pair(&raw[1]), &err), &err);
	task_join(&opens);
	assert_ok(opens.rc, &opens.err);
	tp_destroy(opens.session);
	for (int i = 0; i < 3; i++)
		close(raw[i]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_preamble),
		cmocka_unit_test(test_preamble_garbage),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_shutdown_wakes_connecting),
		cmocka_unit_test(test_listening),
		cmocka_unit_test(test_congestion),
		cmocka_unit_test(test_connect_fault),
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_attach_wakes_opening),
	};

	return cmocka_run_group_tests_name("tcp", tests, NULL, NULL);
}
