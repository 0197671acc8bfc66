/* SPDX-License-Identifier: Apache-2.0 */
/* Domains and operations as the daemon sees them: with a VMM that answers, one that lies, and one that dies. */
#include <curl/curl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/test.h"
#include "tests/tools/daemon/client.h"

static int setup(void **state)
{
	static struct client client;

	client_init(&client);
	client_start(&client);
	*state = &client;
	return 0;
}

static int teardown(void **state)
{
	return client_finish(*state) ? 0 : -1;
}

static json_int_t integer(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static const char *string(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static void input(struct client *client, const char *name, const char *text)
{
	cleanup_free char *path = xm_format("/v1/domains/%s/input", name);
	cleanup_free char *body = xm_format("{\"text\": \"%s\"}", text);

	client_expect(client, 204, "POST", path, body);
}

static bool alive(pid_t pid)
{
	return kill(pid, 0) == 0;
}

/* ------------------------------------------------------------------------- domains */

static void test_create_and_destroy(void **state)
{
	pid_t pid = client_create(*state, "web1");
	cleanup_close int process = (int)syscall(SYS_pidfd_open, pid, 0);
	cleanup_free char *text = NULL;
	json_t *domain, *by_uuid;
	cleanup_free char *path = NULL;

	domain = client_expect(*state, 200, "GET", "/v1/domains/web1", NULL);
	assert_string_equal(string(domain, "state"), "running");
	assert_int_equal(integer(domain, "id"), 1);
	path = xm_format("/v1/domains/%s", string(domain, "uuid"));
	by_uuid = client_expect(*state, 200, "GET", path, NULL);
	assert_string_equal(string(by_uuid, "name"), "web1");
	json_decref(domain);
	json_decref(by_uuid);

	client_expect(*state, 204, "DELETE", "/v1/domains/web1", NULL);
	assert_int_equal(poll(&(struct pollfd){.fd = process, .events = POLLIN}, 1, 0), 1);
	client_expect_error(*state, 404, "not-found", "web1", "GET", "/v1/domains/web1", NULL);
	text = client_wait_event(*state, 0, "web1", "destroyed");
	assert_string_equal(text, "as asked");
}

static void test_list_and_numbers(void **state)
{
	json_t *answer, *list;

	client_create(*state, "web2");
	client_create(*state, "web1");
	client_expect(*state, 204, "DELETE", "/v1/domains/web2", NULL);
	client_create(*state, "web2");
	answer = client_expect(*state, 200, "GET", "/v1/domains", NULL);
	list = json_object_get(answer, "domains");
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(string(json_array_get(list, 0), "name"), "web1");
	assert_int_equal(integer(json_array_get(list, 0), "id"), 2);
	assert_int_equal(integer(json_array_get(list, 1), "id"), 3);
	json_decref(answer);
}

static void test_pause(void **state)
{
	cleanup_free char *paused = NULL;
	json_t *domain;

	client_create(*state, "web1");
	client_expect(*state, 204, "POST", "/v1/domains/web1/pause", NULL);
	domain = client_expect(*state, 200, "GET", "/v1/domains/web1", NULL);
	assert_string_equal(string(domain, "state"), "paused");
	json_decref(domain);
	paused = client_wait_event(*state, 0, "web1", "paused");
	client_expect(*state, 204, "POST", "/v1/domains/web1/unpause", "{}");
	client_expect(*state, 204, "POST", "/v1/domains/web1/shutdown", "{\"wait_ms\": 20000}");
	client_expect_error(*state, 404, "not-found", "web1", "GET", "/v1/domains/web1", NULL);
}

static void test_creation_fails(void **state)
{
	client_create(*state, "web1");
	client_expect_error(*state, 409, "conflict", "web1", "POST", "/v1/domains",
			    "{\"config\": \"name = \\\"web1\\\"\"}");
	client_expect_error(*state, 400, "config", "web.cfg:1: refused", "POST", "/v1/domains",
			    "{\"config\": \"name = \\\"refuse\\\"\"}");
	client_expect_error(*state, 500, "internal", "died before it had a domain", "POST",
			    "/v1/domains", "{\"config\": \"name = \\\"die\\\"\"}");
}

/* ---------------------------------------------------------- the daemon comes and goes */

static void test_restart_adopts(void **state)
{
	struct client *client = *state;
	pid_t pid = client_create(client, "web1");
	cleanup_free char *adopted = NULL;
	cleanup_free char *paused = NULL;
	json_t *domain;

	client_stop(client, SIGTERM);
	assert_true(alive(pid));
	client_start(client);
	adopted = client_wait_event(client, 0, "web1", "adopted");
	domain = client_expect(client, 200, "GET", "/v1/domains/web1", NULL);
	assert_int_equal(integer(domain, "pid"), pid);
	assert_int_equal(integer(domain, "id"), 1);
	json_decref(domain);
	client_expect(client, 204, "POST", "/v1/domains/web1/pause", NULL);
	paused = client_wait_event(client, 0, "web1", "paused");
	client_create(client, "web2");
	domain = client_expect(client, 200, "GET", "/v1/domains/web2", NULL);
	assert_int_equal(integer(domain, "id"), 2);
	json_decref(domain);
}

static void test_kill_leaves_domains(void **state)
{
	struct client *client = *state;
	pid_t pid = client_create(client, "web1");
	json_t *domain;

	client_stop(client, SIGKILL);
	assert_true(alive(pid));
	client_start(client);
	domain = client_expect(client, 200, "GET", "/v1/domains/web1", NULL);
	assert_int_equal(integer(domain, "pid"), pid);
	json_decref(domain);
}

static void test_dead_vmm_is_noticed(void **state)
{
	struct client *client = *state;
	cleanup_free char *claim = xm_format("%s/domains/web1", client->run_dir);
	cleanup_free char *text = NULL;
	pid_t pid = client_create(client, "web1");

	kill(pid, SIGKILL);
	text = client_wait_event(client, 0, "web1", "alarm");
	assert_non_null(strstr(text, "died"));
	assert_int_not_equal(access(claim, F_OK), 0);
	client_create(client, "web1");
}

/* The VMM dies while no daemon looks. */
static void test_stale_claim_is_cleared(void **state)
{
	struct client *client = *state;
	cleanup_free char *claim = xm_format("%s/domains/web1", client->run_dir);
	cleanup_free char *text = NULL;
	pid_t pid = client_create(client, "web1");
	cleanup_close int process = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd gone = {.fd = process, .events = POLLIN};

	client_stop(client, SIGKILL);
	kill(pid, SIGKILL);
	assert_int_equal(poll(&gone, 1, -1), 1);
	assert_int_equal(access(claim, F_OK), 0);
	client_start(client);
	text = client_wait_event(client, 0, "web1", "alarm");
	assert_int_not_equal(access(claim, F_OK), 0);
	client_expect_error(client, 404, "not-found", "web1", "GET", "/v1/domains/web1", NULL);
}

/* ------------------------------------------------------------------------ bad VMMs */

static void test_vmm_dies_in_a_call(void **state)
{
	client_create(*state, "web1");
	client_expect_error(*state, 502, "network", "ended before it had answered", "POST",
			    "/v1/domains/web1/input", "{\"text\": \"crash\"}");
}

static void test_vmm_answers_junk(void **state)
{
	json_t *domain;

	client_create(*state, "web1");
	client_expect_error(*state, 500, "internal", "something else than an object", "POST",
			    "/v1/domains/web1/input", "{\"text\": \"junk\"}");
	domain = client_expect(*state, 200, "GET", "/v1/domains/web1", NULL);
	json_decref(domain);
}

/* Its events cannot be read any more; it is still there, and its death is still noticed. */
static void test_vmm_breaks_the_protocol(void **state)
{
	pid_t pid = client_create(*state, "web1");
	cleanup_free char *text = NULL;
	json_t *domain;

	input(*state, "web1", "garbage");
	domain = client_expect(*state, 200, "GET", "/v1/domains/web1", NULL);
	json_decref(domain);
	kill(pid, SIGKILL);
	text = client_wait_event(*state, 0, "web1", "alarm");
	assert_non_null(strstr(text, "died"));
}

static void test_event_text_is_cleaned(void **state)
{
	cleanup_free char *text = NULL;

	client_create(*state, "web1");
	input(*state, "web1", "say \\u001b[2J h\\u00e9");
	text = client_wait_event(*state, 0, "web1", "alarm");
	assert_string_equal(text, "?[2J h\xc3\xa9");
}

/* A VMM that is stopped is shown as such, and is served again when it goes on. */
static void test_stopped_vmm(void **state)
{
	pid_t pid = client_create(*state, "web1");
	json_t *domain;

	input(*state, "web1", "stop");
	domain = client_expect(*state, 200, "GET", "/v1/domains/web1", NULL);
	assert_string_equal(string(domain, "state"), "unresponsive");
	assert_int_equal(integer(domain, "pid"), pid);
	assert_int_equal(integer(domain, "memory_bytes"), 16 << 20);
	json_decref(domain);
	client_expect_error(*state, 503, "host", "does not answer", "POST",
			    "/v1/domains/web1/pause", NULL);
	kill(pid, SIGCONT);
	domain = client_expect(*state, 200, "GET", "/v1/domains/web1", NULL);
	assert_string_equal(string(domain, "name"), "web1");
	json_decref(domain);
}

/* ---------------------------------------------------------------------- operations */

/* Begins a migration; its id goes to `path` as "/v1/operations/ID", to be freed. */
static char *begin(struct client *client, const char *name)
{
	cleanup_free char *at = xm_format("/v1/domains/%s/migrate", name);
	json_t *operation = client_expect(client, 202, "POST", at, "{\"to\": \"nowhere\"}");
	char *path = xm_format("/v1/operations/%s", string(operation, "id"));

	assert_int_equal(strlen(string(operation, "id")), 32);
	json_decref(operation);
	return path;
}

static void expect_state(struct client *client, const char *path, const char *state, bool finished)
{
	json_t *operation = client_expect(client, 200, "GET", path, NULL);

	assert_string_equal(string(operation, "state"), state);
	assert_int_equal(json_is_true(json_object_get(operation, "finished")), finished);
	json_decref(operation);
}

static void test_operation_life(void **state)
{
	cleanup_free char *path = NULL;
	json_t *answer;

	client_create(*state, "web1");
	path = begin(*state, "web1");
	expect_state(*state, path, "pre-copy", false);
	client_expect_error(*state, 409, "conflict", "moving already", "POST",
			    "/v1/domains/web1/migrate", "{\"to\": \"nowhere\"}");
	answer = client_expect(*state, 200, "PATCH", path, "{\"bandwidth\": 1000}");
	assert_int_equal(integer(answer, "sequence"), 2);
	json_decref(answer);
	answer = client_expect(*state, 200, "GET", "/v1/operations", NULL);
	assert_int_equal(json_array_size(json_object_get(answer, "operations")), 1);
	json_decref(answer);
	client_expect(*state, 204, "DELETE", path, NULL);
	expect_state(*state, path, "aborted", true);
	client_expect_error(*state, 409, "conflict", "has finished", "DELETE", path, NULL);
	answer = client_expect(*state, 200, "GET", "/v1/operations", NULL);
	assert_int_equal(json_array_size(json_object_get(answer, "operations")), 1);
	json_decref(answer);
}

/* An operation that a later one has followed, or whose domain is gone, is still known; to the next daemon too. */
static void test_finished_operations_stay(void **state)
{
	struct client *client = *state;
	cleanup_free char *first = NULL;
	cleanup_free char *second = NULL;

	client_create(client, "web1");
	first = begin(client, "web1");
	client_expect(client, 204, "DELETE", first, NULL);
	second = begin(client, "web1");
	input(client, "web1", "finish");
	expect_state(client, first, "aborted", true);
	for (int daemon = 0; daemon < 2; daemon++) {
		cleanup_free char *waited = xm_format("%s?after=1&wait_ms=30000", second);
		json_t *answer = client_expect(client, 200, "GET", waited, NULL);

		assert_string_equal(string(answer, "state"), "committed");
		json_decref(answer);
		expect_state(client, first, "aborted", true);
		client_stop(client, SIGTERM);
		client_start(client);
	}
}

struct waiter {
	struct client *client;
	char *path;
	json_t *answer;
};

static void *wait_for_operation(void *opaque)
{
	struct waiter *waiter = opaque;

	client_request(waiter->client, "GET", waiter->path, NULL, 0, &waiter->answer);
	return NULL;
}

/* The one who waits gets an answer when the VMM finishes and ends, and when it dies. */
static void wait_while(struct client *client, const char *text, const char *expected_state)
{
	cleanup_free char *path = NULL;
	struct waiter waiter = {.client = client};
	pthread_t thread;

	client_create(client, "web1");
	path = begin(client, "web1");
	waiter.path = xm_format("%s?after=1&wait_ms=60000", path);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_operation, &waiter), 0);
	if (text)
		input(client, "web1", text);
	else
		client_request(client, "POST", "/v1/domains/web1/input", "{\"text\": \"crash\"}",
			       strlen("{\"text\": \"crash\"}"), NULL);
	pthread_join(thread, NULL);
	assert_string_equal(string(waiter.answer, "state"), expected_state);
	assert_true(json_is_true(json_object_get(waiter.answer, "finished")));
	json_decref(waiter.answer);
	free(waiter.path);
}

static void test_waiting_for_the_end(void **state)
{
	wait_while(*state, "finish", "committed");
}

static void test_operation_of_a_dead_vmm(void **state)
{
	wait_while(*state, NULL, "aborted");
}

/* The name is taken until the VMM has ended, and nobody is told before that the domain has left. */
static void test_finished_when_the_name_is_free(void **state)
{
	struct client *client = *state;
	cleanup_free char *claim = xm_format("%s/domains/web1", client->run_dir);
	cleanup_free char *path = NULL;
	cleanup_free char *waited = NULL;
	json_t *answer, *list;

	client_create(client, "web1");
	path = begin(client, "web1");
	waited = xm_format("%s?after=1&wait_ms=30000", path);
	input(client, "web1", "leave");
	answer = client_expect(client, 200, "GET", "/v1/operations", NULL);
	list = json_object_get(answer, "operations");
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(string(json_array_get(list, 0), "state"), "committed");
	assert_true(json_is_false(json_object_get(json_array_get(list, 0), "finished")));
	assert_null(json_object_get(json_array_get(list, 0), "last"));
	json_decref(answer);
	assert_int_equal(access(claim, F_OK), 0);
	input(client, "web1", "finish");
	answer = client_expect(client, 200, "GET", waited, NULL);
	assert_true(json_is_true(json_object_get(answer, "finished")));
	assert_null(json_object_get(answer, "last"));
	json_decref(answer);
	assert_int_not_equal(access(claim, F_OK), 0);
	client_create(client, "web1");
}

/* A daemon that stops says so, or says nothing: the VMM that it asked has not ended. */
static void test_waiting_when_the_daemon_stops(void **state)
{
	struct client *client = *state;
	pid_t pid = client_create(client, "web1");
	cleanup_free char *path = begin(client, "web1");
	cleanup_free char *waits = NULL;
	struct waiter waiter = {.client = client,
				.path = xm_format("%s?after=1&wait_ms=60000", path)};
	const json_t *error;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, wait_for_operation, &waiter), 0);
	waits = client_wait_event(client, 0, "web1", "alarm");
	client_stop(client, SIGTERM);
	pthread_join(thread, NULL);
	assert_true(alive(pid));
	error = json_object_get(waiter.answer, "error");
	if (error) {
		assert_string_equal(string(error, "kind"), "host");
		assert_non_null(strstr(string(error, "text"), "is stopping"));
	}
	json_decref(waiter.answer);
	free(waiter.path);
	client_start(client);
	expect_state(client, path, "pre-copy", false);
}

static void test_operation_outlives_the_daemon(void **state)
{
	struct client *client = *state;
	cleanup_free char *path = NULL;

	client_create(client, "web1");
	path = begin(client, "web1");
	client_stop(client, SIGKILL);
	client_start(client);
	expect_state(client, path, "pre-copy", false);
	client_expect(client, 204, "DELETE", path, NULL);
	expect_state(client, path, "aborted", true);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_create_and_destroy),
		TEST(test_list_and_numbers),
		TEST(test_pause),
		TEST(test_creation_fails),
		TEST(test_restart_adopts),
		TEST(test_kill_leaves_domains),
		TEST(test_dead_vmm_is_noticed),
		TEST(test_stale_claim_is_cleared),
		TEST(test_vmm_dies_in_a_call),
		TEST(test_vmm_answers_junk),
		TEST(test_vmm_breaks_the_protocol),
		TEST(test_event_text_is_cleaned),
		TEST(test_stopped_vmm),
		TEST(test_operation_life),
		TEST(test_finished_operations_stay),
		TEST(test_waiting_for_the_end),
		TEST(test_finished_when_the_name_is_free),
		TEST(test_operation_of_a_dead_vmm),
		TEST(test_waiting_when_the_daemon_stops),
		TEST(test_operation_outlives_the_daemon),
	};

	curl_global_init(CURL_GLOBAL_DEFAULT);
	return cmocka_run_group_tests_name("daemon_domains", tests, NULL, NULL);
}
