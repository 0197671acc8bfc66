/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon by itself: starting, its API's errors, who may ask, events, stopping. */
#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "tests/test.h"
#include "tests/tools/daemon/client.h"
#include "tools/daemon/api.h"
#include "tools/lib/control.h"

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

static void test_version(void **state)
{
	json_t *version = client_expect(*state, 200, "GET", "/v1/version", NULL);
	json_t *host = json_object_get(version, "host");

	assert_string_equal(json_string_value(json_object_get(version, "version")), XM_VERSION);
	assert_int_equal(json_integer_value(json_object_get(version, "api")), 1);
	assert_true(json_integer_value(json_object_get(host, "memory_bytes")) > 0);
	assert_true(json_integer_value(json_object_get(host, "cpus")) > 0);
	assert_int_equal(json_integer_value(json_object_get(host, "memory_reserved_bytes")), 0);
	assert_int_equal(json_array_size(json_object_get(version, "listen")), 1);
	json_decref(version);
}

static void test_lists_are_empty(void **state)
{
	json_t *domains = client_expect(*state, 200, "GET", "/v1/domains", NULL);
	json_t *operations = client_expect(*state, 200, "GET", "/v1/operations", NULL);

	assert_int_equal(json_array_size(json_object_get(domains, "domains")), 0);
	assert_int_equal(json_array_size(json_object_get(operations, "operations")), 0);
	json_decref(domains);
	json_decref(operations);
}

static void test_wrong_requests(void **state)
{
	static const struct {
		long status;
		const char *kind, *part, *method, *path, *body;
	} cases[] = {
		{404, "not-found", "/v1/nothing", "GET", "/v1/nothing", NULL},
		{404, "not-found", "", "GET", "/", NULL},
		{404, "not-found", "", "GET", "/v1/domains/", NULL},
		{400, "usage", "DELETE", "DELETE", "/v1/version", NULL},
		{400, "usage", "POST", "POST", "/v1/version", "{}"},
		{400, "usage", "not JSON", "POST", "/v1/domains", "{\"config\": "},
		{400, "usage", "not a JSON object", "POST", "/v1/domains", "[1]"},
		{400, "usage", "duplicate", "POST", "/v1/restore",
		 "{\"path\": \"a\", \"path\": \"b\"}"},
		{400, "usage", "\"colour\"", "POST", "/v1/domains",
		 "{\"config\": \"\", \"colour\": 1}"},
		{400, "usage", "\"force\"", "POST", "/v1/domains/web/pause", "{\"force\": true}"},
		{400, "usage", "\"config\"", "POST", "/v1/domains", "{}"},
		{400, "usage", "\"config\"", "POST", "/v1/domains", "{\"config\": 7}"},
		{400, "usage", "absolute", "POST", "/v1/restore", "{\"path\": \"web.xm\"}"},
		{400, "usage", "\"to\"", "POST", "/v1/domains/web/migrate", "{}"},
		{400, "usage", "\"action\"", "POST", "/v1/domains/web/resolve", "{}"},
		{400, "usage", "\"wait_ms\"", "POST", "/v1/domains/web/shutdown",
		 "{\"wait_ms\": \"long\"}"},
		{400, "usage", "after", "GET", "/v1/version?after=1", NULL},
		{400, "usage", "until", "GET", "/v1/events?until=1", NULL},
		{400, "usage", "not a number", "GET", "/v1/events?after=-1", NULL},
		{400, "usage", "not a number", "GET", "/v1/events?after=1x", NULL},
		{400, "usage", "not a number", "GET", "/v1/events?after=99999999999999999999",
		 NULL},
		{404, "not-found", "no domain web", "GET", "/v1/domains/web", NULL},
		{404, "not-found", "no domain web", "DELETE", "/v1/domains/web", NULL},
		{404, "not-found", "no domain web", "POST", "/v1/domains/web/migrate",
		 "{\"to\": \"h\"}"},
		{404, "not-found", "no operation", "GET", "/v1/operations/1", NULL},
		{404, "not-found", "no operation", "GET",
		 "/v1/operations/00000000000000000000000000000000", NULL},
		{404, "not-found", "no operation", "DELETE",
		 "/v1/operations/00000000000000000000000000000000", NULL},
	};

	for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++)
		client_expect_error(*state, cases[n].status, cases[n].kind, cases[n].part,
				    cases[n].method, cases[n].path, cases[n].body);
}

/* A body of exactly the limit is read (and found to be no JSON), one byte more is not. */
static void test_body_limit(void **state)
{
	cleanup_free char *body = malloc(XD_BODY_MAX + 2);
	json_t *answer;

	assert_non_null(body);
	memset(body, ' ', XD_BODY_MAX + 1);
	body[XD_BODY_MAX] = '\0';
	client_expect_error(*state, 400, "usage", "not JSON", "POST", "/v1/domains", body);
	body[XD_BODY_MAX] = ' ';
	body[XD_BODY_MAX + 1] = '\0';
	client_expect_error(*state, 400, "usage", "larger than", "POST", "/v1/domains", body);
	answer = client_expect(*state, 200, "GET", "/v1/version", NULL);
	json_decref(answer);
}

/* Says one line to the API and closes; the daemon must get over it. */
static void test_not_http(void **state)
{
	static const char *const lines[] = {"\r\n\r\n", "GARBAGE\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
					    "POST /v1/domains HTTP/1.1\r\nHost: x\r\n"
					    "Content-Length: -5\r\n\r\n"};
	struct client *client = *state;
	json_t *answer;

	for (size_t n = 0; n < sizeof(lines) / sizeof(lines[0]); n++) {
		int fd;

		assert_int_equal(xt_socket_connect(client->socket, SOCK_STREAM, &fd, NULL), 0);
		assert_true(write(fd, lines[n], strlen(lines[n])) > 0);
		close(fd);
	}
	answer = client_expect(client, 200, "GET", "/v1/version", NULL);
	json_decref(answer);
}

static void test_socket_is_private(void **state)
{
	struct client *client = *state;
	struct stat st;

	assert_int_equal(stat(client->socket, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
}

/* Even if the file's mode let somebody in, the daemon looks at who it is. */
static void test_stranger_is_refused(void **state)
{
	struct client *client = *state;
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		printf("SKIPPED: needs root, to become somebody else\n");
		skip();
	}
	assert_int_equal(chmod(client->folder, 0755), 0);
	assert_int_equal(chmod(client->run_dir, 0755), 0);
	assert_int_equal(chmod(client->socket, 0666), 0);
	pid = fork();
	if (pid == 0) {
		json_t *answer = NULL;
		long got;

		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(100);
		got = client_request(client, "GET", "/v1/version", NULL, 0, &answer);
		_exit(got == 422 && json_object_get(answer, "error") ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

static void test_second_daemon_is_refused(void **state)
{
	struct client *first = *state;
	struct client second = *first;
	char text[CLIENT_TEXT_MAX];
	json_t *answer;
	int status;

	assert_false(client_try_start(&second, NULL, &status, text));
	assert_int_equal(WEXITSTATUS(status), XM_KIND_CONFLICT);
	assert_non_null(strstr(text, "another xmigrated serves"));
	answer = client_expect(first, 200, "GET", "/v1/version", NULL);
	json_decref(answer);
}

/* Ends at once although somebody waits for events; leaves no socket, and a new daemon starts. */
static void *wait_for_events(void *opaque)
{
	client_request(opaque, "GET", "/v1/events?after=1&wait_ms=60000", NULL, 0, NULL);
	return NULL;
}

static void test_stopping(void **state)
{
	struct client *client = *state;
	pthread_t waiter;
	int status;

	assert_int_equal(pthread_create(&waiter, NULL, wait_for_events, client), 0);
	status = client_stop(client, SIGTERM);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	pthread_join(waiter, NULL);
	assert_int_not_equal(access(client->socket, F_OK), 0);
	client_start(client);
}

static void test_killed_daemon_is_replaced(void **state)
{
	struct client *client = *state;
	json_t *answer;

	client_stop(client, SIGKILL);
	assert_int_equal(access(client->socket, F_OK), 0);
	client_start(client);
	answer = client_expect(client, 200, "GET", "/v1/version", NULL);
	json_decref(answer);
}

static void expect_no_start(struct client *client, enum xm_kind kind, const char *part,
			    const char *const *options)
{
	char text[CLIENT_TEXT_MAX];
	int status;

	assert_false(client_try_start(client, options, &status, text));
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) != (int)kind || !strstr(text, part))
		fail_msg("exit status %d, not %d with \"%s\": %s", WEXITSTATUS(status), kind, part,
			 text);
}

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_wrong_options(void **state)
{
	expect_no_start(*state, XM_KIND_USAGE, "usage:", OPTIONS("--colour"));
	expect_no_start(*state, XM_KIND_USAGE, "usage:", OPTIONS("word"));
	expect_no_start(*state, XM_KIND_USAGE, "not a log level", OPTIONS("--log-level", "loud"));
	expect_no_start(*state, XM_KIND_USAGE, "not an open file", OPTIONS("--ready-fd", "999"));
	expect_no_start(*state, XM_KIND_USAGE, "not an address", OPTIONS("--listen", "[::1"));
}

static void test_sd_notify(void **state)
{
	static const char *const options[] = {"--listen", "127.0.0.1:0", NULL};
	struct client *client = *state;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char text[CLIENT_TEXT_MAX];
	int status;
	ssize_t got;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/notify", client->folder);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	setenv("NOTIFY_SOCKET", addr.sun_path, 1);
	assert_true(client_try_start(client, options, &status, text));
	unsetenv("NOTIFY_SOCKET");
	got = recv(fd, text, sizeof(text) - 1, 0);
	assert_true(got > 0);
	text[got] = '\0';
	assert_string_equal(text, "READY=1");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_version, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lists_are_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_body_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_http, setup, teardown),
		cmocka_unit_test_setup_teardown(test_socket_is_private, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stranger_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_second_daemon_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stopping, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_daemon_is_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_options, setup_stopped, teardown),
		cmocka_unit_test_setup_teardown(test_sd_notify, setup_stopped, teardown),
	};

	curl_global_init(CURL_GLOBAL_DEFAULT);
	return cmocka_run_group_tests_name("daemon_api", tests, NULL, NULL);
}
