/* SPDX-License-Identifier: Apache-2.0 */
/* One VMM by itself: its control socket, its console, its ends. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/tools/vmm/host.h"
#include "tools/lib/control.h"

static int setup(void **state)
{
	static struct test_host host;

	test_host_start(&host);
	*state = &host;
	return 0;
}

static int teardown(void **state)
{
	test_host_stop(*state);
	return 0;
}

static void test_life(void **state)
{
	struct test_host *host = *state;
	pid_t pid = test_host_create(host, "web1", "dirty", "working_set=8", false);
	json_t *info = test_call(host, "web1", "info", NULL);

	assert_string_equal(test_string(info, "name"), "web1");
	assert_string_equal(test_string(info, "state"), "running");
	assert_int_equal(test_number(info, "memory_bytes"), 64 << 20);
	assert_int_equal(test_number(info, "pid"), pid);
	assert_int_equal(test_number(info, "epoch"), 1);
	assert_true(json_is_null(json_object_get(info, "operation")));
	/* The bitmap, which is the default, does not know who wrote a page. */
	assert_true(json_is_null(
		json_object_get(json_array_get(json_object_get(info, "vcpu"), 0), "dirty_pages")));
	json_decref(info);
	json_decref(test_call(host, "web1", "pause", NULL));
	json_decref(test_call(host, "web1", "pause", NULL));
	test_assert_state(host, "web1", "paused");
	json_decref(test_call(host, "web1", "unpause", NULL));
	test_assert_state(host, "web1", "running");
	test_verify(host, "web1");
	json_decref(test_call(host, "web1", "shutdown", NULL));
	assert_int_equal(test_host_wait(host, pid), 0);
	assert_false(test_host_has(host, "web1"));
}

static void test_created_paused(void **state)
{
	struct test_host *host = *state;
	pid_t pid = test_host_create(host, "web1", "idle", "", true);

	test_assert_state(host, "web1", "paused");
	json_decref(test_call(host, "web1", "unpause", NULL));
	test_verify(host, "web1");
	json_decref(test_call(host, "web1", "destroy", NULL));
	assert_int_equal(test_host_wait(host, pid), 0);
	assert_false(test_host_has(host, "web1"));
}

static enum xm_kind create_fails(struct test_host *host, const char *config, struct xm_error *err)
{
	json_t *answer;
	pid_t pid;

	answer = test_host_vmm(host,
			       json_pack("{ss ss ss}", "start", "create", "config", config,
					 "config_path", "test.cfg"),
			       &pid);
	xt_error_from_json(json_object_get(answer, "error"), err);
	json_decref(answer);
	assert_int_equal(test_host_wait(host, pid), err->kind);
	return err->kind;
}

static void test_bad_starts(void **state)
{
	struct test_host *host = *state;
	struct xm_error err;
	json_t *answer;
	pid_t pid;

	assert_int_equal(create_fails(host, "name = 'a'\nmemory = 15\n", &err), XM_KIND_CONFIG);
	assert_non_null(strstr(err.text, "test.cfg:2: "));
	assert_int_equal(create_fails(host, "name = 'a'\nmemory = 16\n", &err), XM_KIND_CONFIG);
	assert_non_null(strstr(err.text, "payload"));
	create_fails(host, "name = 'a'\nmemory = 16\npayload = '/nonexistent.elf'\n", &err);
	assert_non_null(strstr(err.text, "/nonexistent.elf"));
	assert_false(test_host_has(host, "a"));
	answer = test_host_vmm(host, json_pack("{ss}", "start", "fly"), &pid);
	assert_string_equal(test_string(answer, "error.kind"), "usage");
	json_decref(answer);
	test_host_wait(host, pid);
}

/* A guest that refuses its parameters is an error of who wrote them, and says which one. */
static void test_ends_at_once(void **state)
{
	struct test_host *host = *state;
	cleanup_free char *log = xm_format("%s/crashed/a.log", host->folder);
	struct xm_error err;

	assert_int_equal(create_fails(host,
				      "name = 'a'\nmemory = 16\npayload = '" TEST_PAYLOADS
				      "/idle.elf'\npayload_args = 'perriod=1'\n",
				      &err),
			 XM_KIND_CONFIG);
	assert_non_null(strstr(err.text, "ended with code 2"));
	assert_non_null(strstr(err.text, "perriod"));
	assert_int_equal(create_fails(host,
				      "name = 'a'\nmemory = 16\npayload = '" TEST_PAYLOADS
				      "/crash.elf'\npayload_args = 'how=bad-port'\n",
				      &err),
			 XM_KIND_CONFIG);
	assert_non_null(strstr(err.text, "no device is at port 0x600"));
	assert_non_null(strstr(err.text, log));
	assert_int_equal(access(log, R_OK), 0);
	assert_false(test_host_has(host, "a"));
}

static void test_name_taken(void **state)
{
	struct test_host *host = *state;
	struct xm_error err;

	test_host_create(host, "web1", "idle", "", false);
	assert_int_equal(create_fails(host,
				      "name = 'web1'\nmemory = 64\npayload = '" TEST_PAYLOADS
				      "/idle.elf'\n",
				      &err),
			 XM_KIND_CONFLICT);
	test_assert_state(host, "web1", "running");
}

/* A VMM that was killed leaves nothing that keeps its name taken. */
static void test_killed_vmm(void **state)
{
	struct test_host *host = *state;
	pid_t pid = test_host_create(host, "web1", "idle", "", false);

	kill(pid, SIGKILL);
	assert_int_equal(test_host_wait(host, pid), -1);
	assert_true(test_host_has(host, "web1"));
	test_host_create(host, "web1", "idle", "", false);
	test_verify(host, "web1");
}

struct bad_end {
	const char *how;
	const char *reason;
};

/* Runs a guest that crashes, and checks what is said of it; nothing of it stays but its log. */
static void crash_once(struct test_host *host, const struct bad_end *bad)
{
	cleanup_free char *args = xm_format("how=%s", bad->how);
	cleanup_free char *log = xm_format("%s/crashed/web1.log", host->folder);
	pid_t pid = test_host_create(host, "web1", "crash", args, true);
	cleanup_close int fd = test_connect(host, "web1");
	struct xm_error err = XM_ERROR_INIT;
	bool crashed = false;
	json_t *packet;

	assert_ok(xt_call(fd, "subscribe", NULL, -1, NULL, &err), &err);
	json_decref(test_call(host, "web1", "unpause", NULL));
	while (xt_packet_receive(fd, &packet, NULL, &err) == 0) {
		const char *text = test_string(packet, "event.text");

		assert_false(crashed); /* it is the last event */
		crashed = strcmp(test_string(packet, "event.what"), "crashed") == 0;
		if (crashed) {
			if (!strstr(text, bad->reason))
				fail_msg("%s: '%s' is not in: %s", bad->how, bad->reason, text);
			assert_non_null(strstr(text, "vCPU 0: "));
			assert_non_null(strstr(text, log));
			assert_non_null(strstr(text, "\nrip "));
			assert_non_null(strstr(text, "r15 "));
		}
		json_decref(packet);
	}
	if (!crashed)
		fail_msg("%s: no crash was told: %s", bad->how, err.text);
	assert_false(test_host_has(host, "web1"));
	assert_int_equal(test_host_wait(host, pid), 0);
	assert_int_equal(access(log, R_OK), 0);
}

static void test_guests_that_crash(void **state)
{
	static const struct bad_end ends[] = {
		{"triple-fault", "triple fault"},
		{"wild-call", "triple fault"},
		{"bad-port", "no device is at port 0x600"},
		{"mmio", "at 0xc0000000, where there is neither RAM nor a device"},
	};

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		crash_once(*state, &ends[i]);
}

/* Who reads a log learns something from each line. */
static void test_events_have_texts(void **state)
{
	struct test_host *host = *state;
	struct xm_error err = XM_ERROR_INIT;
	unsigned events = 0;
	json_t *packet;
	int fd;

	test_host_create(host, "web1", "idle", "", true);
	fd = test_connect(host, "web1");
	assert_ok(xt_call(fd, "subscribe", NULL, -1, NULL, &err), &err);
	json_decref(test_call(host, "web1", "unpause", NULL));
	json_decref(test_call(host, "web1", "pause", NULL));
	json_decref(test_call(host, "web1", "destroy", NULL));
	while (xt_packet_receive(fd, &packet, NULL, &err) == 0) {
		assert_int_not_equal(strlen(test_string(packet, "event.text")), 0);
		events++;
		json_decref(packet);
	}
	assert_int_equal(events, 4);
	close(fd);
}

/* A guest that ends with another code than 0 is a shutdown, too, and subscribers hear of it. */
static void test_guest_end_is_told(void **state)
{
	struct test_host *host = *state;
	pid_t pid = test_host_create(host, "web1", "idle", "no_such_parameter=1", true);
	cleanup_close int fd = test_connect(host, "web1");
	struct xm_error err = XM_ERROR_INIT;
	char last[64] = "";
	json_t *packet;

	assert_ok(xt_call(fd, "subscribe", NULL, -1, NULL, &err), &err);
	json_decref(test_call(host, "web1", "unpause", NULL));
	while (xt_packet_receive(fd, &packet, NULL, &err) == 0) {
		snprintf(last, sizeof(last), "%s", test_string(packet, "event.what"));
		json_decref(packet);
	}
	assert_int_equal(err.code, -ENODATA);
	assert_string_equal(last, "shutdown");
	/* The sockets are closed last: the name is free. */
	assert_false(test_host_has(host, "web1"));
	assert_int_equal(test_host_wait(host, pid), 0);
}

static void test_bad_calls(void **state)
{
	struct test_host *host = *state;

	test_host_create(host, "web1", "idle", "", false);
	assert_int_equal(test_call_fails(host, "web1", "fly", NULL), XM_KIND_USAGE);
	assert_int_equal(test_call_fails(host, "web1", "pause", json_pack("{si}", "x", 1)),
			 XM_KIND_USAGE);
	assert_int_equal(test_call_fails(host, "web1", "report", json_pack("{si}", "wait_ms", -1)),
			 XM_KIND_USAGE);
	assert_int_equal(test_call_fails(host, "web1", "operation", NULL), XM_KIND_NOT_FOUND);
	assert_int_equal(test_call_fails(host, "web1", "cancel", NULL), XM_KIND_CONFLICT);
	assert_int_equal(test_call_fails(host, "web1", "limits", NULL), XM_KIND_CONFLICT);
	assert_int_equal(
		test_call_fails(host, "web1", "resolve", json_pack("{ss}", "action", "keep")),
		XM_KIND_CONFLICT);
	assert_int_equal(test_call_fails(host, "web1", "attach", json_pack("{si}", "channel", 1)),
			 XM_KIND_USAGE);
	assert_int_equal(test_call_fails(host, "web1", "migrate", json_object()), XM_KIND_USAGE);
	assert_int_equal(test_call_fails(host, "web1", "migrate",
					 json_pack("{ss si}", "to", "h", "channels", 17)),
			 XM_KIND_USAGE);
	assert_int_equal(test_call_fails(host, "web1", "migrate",
					 json_pack("{ss sb}", "to", "h", "max_downtime_ms", 1)),
			 XM_KIND_USAGE);
	assert_int_equal(test_call_fails(host, "web1", "save", json_pack("{ss}", "path", "rel")),
			 XM_KIND_USAGE);
	test_verify(host, "web1");
}

/* Bytes that are no requests: the connection ends or is answered, and the domain is not touched. */
static void test_hostile_bytes(void **state)
{
	static const char *const packets[] = {"{",
					      "[1]",
					      "{\"id\":1}",
					      "{\"call\":\"info\"}",
					      "{\"id\":\"x\",\"call\":\"info\"}",
					      "{\"id\":1,\"call\":{}}",
					      "\xff\xfe"};
	struct test_host *host = *state;

	test_host_create(host, "web1", "idle", "", false);
	for (size_t i = 0; i < sizeof(packets) / sizeof(*packets); i++) {
		cleanup_close int fd = test_connect(host, "web1");
		struct xm_error err = XM_ERROR_INIT;
		json_t *answer = NULL;

		assert_true(send(fd, packets[i], strlen(packets[i]), MSG_NOSIGNAL) > 0);
		if (xt_packet_receive(fd, &answer, NULL, &err) == 0)
			assert_string_equal(test_string(answer, "error.kind"), "usage");
		json_decref(answer);
	}
	test_verify(host, "web1");
}

static int console_of(struct test_host *host, const char *name)
{
	cleanup_free char *path = xm_format("%s/domains/%s/console.sock", host->folder, name);
	struct xm_error err = XM_ERROR_INIT;
	int fd;

	assert_ok(xt_socket_connect(path, SOCK_STREAM, &fd, &err), &err);
	return fd;
}

/* Reads until `word` was there. */
static void read_until(int fd, const char *word)
{
	char text[1 << 16];
	size_t size = 0;

	text[0] = '\0';
	while (!strstr(text, word)) {
		ssize_t got = read(fd, text + size, sizeof(text) - 1 - size);

		if (got <= 0)
			fail_msg("the console ended before '%s'", word);
		size += (size_t)got;
		text[size] = '\0';
	}
}

/* Two readers see the same, a later one what was said before, and any of them can type. */
static void test_console(void **state)
{
	struct test_host *host = *state;
	cleanup_close int first = -1;
	cleanup_close int second = -1;
	pid_t pid = test_host_create(host, "web1", "clock", "beat=20", false);

	first = console_of(host, "web1");
	read_until(first, "beat");
	second = console_of(host, "web1");
	read_until(second, "beat");
	assert_int_equal(write(second, "stop\n", 5), 5);
	assert_int_equal(test_host_wait(host, pid), 0);
	/* Both end when the domain does. */
	while (read(first, &(char[256]){0}, 256) > 0)
		;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_life),
		TEST(test_created_paused),
		TEST(test_bad_starts),
		TEST(test_ends_at_once),
		TEST(test_name_taken),
		TEST(test_killed_vmm),
		TEST(test_guest_end_is_told),
		TEST(test_bad_calls),
		TEST(test_events_have_texts),
		TEST(test_guests_that_crash),
		TEST(test_hostile_bytes),
		TEST(test_console),
	};

	test_require_kvm();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
