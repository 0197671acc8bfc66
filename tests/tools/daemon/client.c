/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/tools/daemon/client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/test.h"
#include "tools/lib/registry.h"

#define REQUEST_TIMEOUT_S 90

/* ------------------------------------------------------------------------- folders */

void client_init(struct client *client)
{
	char folder[] = "/tmp/xmigrated-test-XXXXXX";

	*client = (struct client){0};
	assert_non_null(mkdtemp(folder));
	client->folder = strdup(folder);
	client->run_dir = xm_format("%s/run", folder);
	client->state_dir = xm_format("%s/state", folder);
	client->socket = xm_format("%s/api.sock", client->run_dir);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *place)
{
	(void)st;
	(void)kind;
	(void)place;
	return remove(path);
}

/* Kills a process that is not our child and waits until it is gone. */
static void kill_stranger(pid_t pid)
{
	cleanup_close int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd gone = {.fd = fd, .events = POLLIN};

	if (fd < 0 || kill(pid, SIGKILL) < 0)
		return;
	poll(&gone, 1, -1);
}

/* Stopped as an operator would, so that sanitizers have their say. */
static void stop_daemon(struct client *client)
{
	cleanup_free char *path = xm_format("%s/daemon.log", client->folder);
	cleanup_free char *log = NULL;
	int status = client_stop(client, SIGTERM);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	xm_file_read(path, 1u << 20, &log, NULL, NULL);
	printf("the daemon ended with status %#x: %s\n", status, log ? log : "");
	client->failed = true;
}

bool client_finish(struct client *client)
{
	struct xt_registry registry = {.run_dir = client->run_dir};
	cleanup_free struct xt_domain_record *records = NULL;
	size_t count = 0;

	if (client->daemon)
		stop_daemon(client);
	if (access(client->run_dir, F_OK) == 0)
		xt_registry_list(&registry, &records, &count, NULL);
	for (size_t n = 0; n < count; n++)
		kill_stranger(records[n].pid);
	nftw(client->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(client->folder);
	free(client->run_dir);
	free(client->state_dir);
	free(client->socket);
	return !client->failed;
}

/* ---------------------------------------------------------------- starting, stopping */

static void exec_daemon(const struct client *client, const char *const *options, int ready_fd,
			int text_fd)
{
	char fd_text[16];
	const char *arguments[32] = {XMIGRATED_PATH, "--run-dir",	client->run_dir,
				     "--state-dir",  client->state_dir, "--vmm",
				     FAKE_VMM_PATH,  "--ready-fd",	fd_text};
	int count = 9;

	snprintf(fd_text, sizeof(fd_text), "%d", ready_fd);
	while (options && *options && count < 31)
		arguments[count++] = *options++;
	dup2(text_fd, STDERR_FILENO);
	close(text_fd);
	execv(XMIGRATED_PATH, (char *const *)arguments);
	_exit(127);
}

/* Reads until the writers are gone. */
static size_t read_text(int fd, char *text, size_t max)
{
	size_t size = 0;

	while (size < max - 1) {
		ssize_t got = read(fd, text + size, max - 1 - size);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		size += (size_t)got;
	}
	text[size] = '\0';
	return size;
}

bool client_try_start(struct client *client, const char *const *options, int *ret_status,
		      char ret_text[CLIENT_TEXT_MAX])
{
	cleanup_free char *log = xm_format("%s/daemon.log", client->folder);
	cleanup_close int log_fd = open(log, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char word[16];
	int ready[2];
	pid_t pid;

	assert_true(log_fd >= 0);
	assert_int_equal(pipe(ready), 0);
	fcntl(ready[0], F_SETFD, FD_CLOEXEC);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		exec_daemon(client, options, ready[1], log_fd);
	close(ready[1]);
	read_text(ready[0], word, sizeof(word));
	close(ready[0]);
	if (strcmp(word, "ready\n") == 0) {
		client->daemon = pid;
		return true;
	}
	waitpid(pid, ret_status, 0);
	lseek(log_fd, 0, SEEK_SET);
	read_text(log_fd, ret_text, CLIENT_TEXT_MAX);
	return false;
}

void client_start(struct client *client)
{
	static const char *const options[] = {"--listen", "127.0.0.1:0", NULL};
	char text[CLIENT_TEXT_MAX];
	int status;

	if (!client_try_start(client, options, &status, text))
		fail_msg("the daemon ended with status %#x: %s", status, text);
}

int client_stop(struct client *client, int signal_number)
{
	int status;

	kill(client->daemon, signal_number);
	waitpid(client->daemon, &status, 0);
	client->daemon = 0;
	return status;
}

/* ------------------------------------------------------------------------- requests */

struct answer {
	char *data;
	size_t size;
};

static size_t take(char *data, size_t one, size_t count, void *opaque)
{
	struct answer *answer = opaque;
	char *grown = realloc(answer->data, answer->size + count);

	(void)one;
	if (!grown)
		return 0;
	memcpy(grown + answer->size, data, count);
	answer->data = grown;
	answer->size += count;
	return count;
}

long client_request(struct client *client, const char *method, const char *path, const char *body,
		    size_t size, json_t **ret_json)
{
	cleanup_free char *url = xm_format("http://localhost%s", path);
	struct answer answer = {0};
	CURL *curl = curl_easy_init();
	long status = 0;
	CURLcode code;

	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->socket);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)REQUEST_TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	if (body) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)size);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	}
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
	code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(curl);
	if (code != CURLE_OK)
		status = -(long)code;
	if (ret_json)
		*ret_json = answer.size ? json_loadb(answer.data, answer.size, 0, NULL) : NULL;
	free(answer.data);
	return status;
}

json_t *client_expect(struct client *client, long status, const char *method, const char *path,
		      const char *body)
{
	json_t *json = NULL;
	long got = client_request(client, method, path, body, body ? strlen(body) : 0, &json);

	if (got != status)
		fail_msg("%s %s: status %ld instead of %ld: %s", method, path, got, status,
			 json_dumps(json, JSON_ENCODE_ANY));
	return json;
}

void client_expect_error(struct client *client, long status, const char *kind, const char *part,
			 const char *method, const char *path, const char *body)
{
	json_t *json = client_expect(client, status, method, path, body);
	const json_t *error = json_object_get(json, "error");
	const char *text = json_string_value(json_object_get(error, "text"));

	assert_string_equal(json_string_value(json_object_get(error, "kind")), kind);
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, text);
	json_decref(json);
}

static bool event_is(const json_t *event, const char *domain, const char *what)
{
	const char *its = json_string_value(json_object_get(event, "domain"));

	return !strcmp(json_string_value(json_object_get(event, "what")), what) &&
	       (domain ? its && !strcmp(its, domain) : !its);
}

char *client_wait_event(struct client *client, json_int_t after, const char *domain,
			const char *what)
{
	for (;;) {
		cleanup_free char *path =
			xm_format("/v1/events?after=%lld&wait_ms=30000", (long long)after);
		json_t *answer = client_expect(client, 200, "GET", path, NULL);
		json_int_t next = json_integer_value(json_object_get(answer, "next"));
		char *text = NULL;
		json_t *event;
		size_t n;

		json_array_foreach(json_object_get(answer, "events"), n, event)
		{
			if (!text && event_is(event, domain, what))
				text = strdup(json_string_value(json_object_get(event, "text")));
		}
		json_decref(answer);
		if (text)
			return text;
		if (next == after)
			fail_msg("no event %s of %s came", what, domain ? domain : "the host");
		after = next;
	}
}

pid_t client_create(struct client *client, const char *name)
{
	cleanup_free char *body = xm_format("{\"config\": \"name = \\\"%s\\\"\"}", name);
	json_t *domain = client_expect(client, 201, "POST", "/v1/domains", body);
	pid_t pid = (pid_t)json_integer_value(json_object_get(domain, "pid"));

	assert_string_equal(json_string_value(json_object_get(domain, "name")), name);
	json_decref(domain);
	return pid;
}

int client_connect(struct client *client)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	json_t *version = client_expect(client, 200, "GET", "/v1/version", NULL);
	const char *where =
		json_string_value(json_array_get(json_object_get(version, "listen"), 0));

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	addr.sin_port = htons((uint16_t)atoi(strrchr(where, ':') + 1));
	json_decref(version);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}
