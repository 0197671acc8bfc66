/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/cli/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"

/* More than any answer needs; a daemon that sends more is not ours. */
#define ANSWER_SIZE_MAX (64u << 20)

/* What a call without waiting may take: a domain's memory may have to be populated. */
#define CALL_TIMEOUT_MS 300000u

struct api {
	CURL *easy;
	CURLM *multi;
	struct curl_slist *headers;
	char *socket_path;
	int watch_fd;
};

struct answer {
	char *data;
	size_t size;
};

static size_t take_answer(char *data, size_t one, size_t size, void *opaque)
{
	struct answer *answer = opaque;
	char *grown;

	if (size > ANSWER_SIZE_MAX - answer->size)
		return 0;
	grown = realloc(answer->data, answer->size + size + 1);
	if (!grown)
		return 0;
	memcpy(grown + answer->size, data, size);
	answer->data = grown;
	answer->size += size;
	answer->data[answer->size] = '\0';
	return one * size;
}

static int fail_memory(struct xm_error *err)
{
	return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory talking to the daemon");
}

static void set_options(struct api *api)
{
	curl_easy_setopt(api->easy, CURLOPT_UNIX_SOCKET_PATH, api->socket_path);
	curl_easy_setopt(api->easy, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(api->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(api->easy, CURLOPT_NOSIGNAL, 1L);
	/* A domain named ".." is the daemon's to refuse, not a step up in the path. */
	curl_easy_setopt(api->easy, CURLOPT_PATH_AS_IS, 1L);
	/* libcurl repeats a request that a kept connection lost, and a POST must be done once. */
	curl_easy_setopt(api->easy, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(api->easy, CURLOPT_HTTPHEADER, api->headers);
	curl_easy_setopt(api->easy, CURLOPT_WRITEFUNCTION, take_answer);
}

int api_open(const char *socket_path, struct api **ret_api, struct xm_error *err)
{
	struct api *api;

	if (strlen(socket_path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return xm_fail(err, XM_KIND_USAGE, -ENAMETOOLONG,
			       "the socket path %s is too long; choose a shorter --run-dir",
			       socket_path);
	if (curl_global_init(CURL_GLOBAL_NOTHING))
		return fail_memory(err);
	api = calloc(1, sizeof(*api));
	if (!api) {
		curl_global_cleanup();
		return fail_memory(err);
	}
	api->watch_fd = -1;
	api->socket_path = strdup(socket_path);
	api->easy = curl_easy_init();
	api->multi = curl_multi_init();
	api->headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (!api->socket_path || !api->easy || !api->multi || !api->headers) {
		api_close(api);
		return fail_memory(err);
	}
	set_options(api);
	*ret_api = api;
	return 0;
}

void api_close(struct api *api)
{
	if (!api)
		return;
	curl_slist_free_all(api->headers);
	curl_easy_cleanup(api->easy);
	curl_multi_cleanup(api->multi);
	free(api->socket_path);
	free(api);
	curl_global_cleanup();
}

void api_watch(struct api *api, int fd)
{
	api->watch_fd = fd;
}

bool api_lost(int rc)
{
	return rc == -ECONNREFUSED || rc == -ENOENT || rc == -ECONNRESET;
}

char *api_escape(struct api *api, const char *text)
{
	char *escaped = curl_easy_escape(api->easy, text, 0);
	char *copy = escaped ? strdup(escaped) : NULL;

	curl_free(escaped);
	return copy;
}

/* Drives the transfer to its end, or to the moment when the watched descriptor has something. */
static int run_transfer(struct api *api, CURLcode *ret_code, struct xm_error *err)
{
	struct curl_waitfd watch = {.fd = api->watch_fd, .events = CURL_WAIT_POLLIN};
	unsigned watches = api->watch_fd >= 0 ? 1 : 0;
	int running = 1;

	for (;;) {
		CURLMcode rc = curl_multi_perform(api->multi, &running);
		CURLMsg *message;
		int left;

		if (rc == CURLM_OK && !running) {
			message = curl_multi_info_read(api->multi, &left);
			*ret_code = message ? message->data.result : CURLE_FAILED_INIT;
			return 0;
		}
		if (rc == CURLM_OK)
			rc = curl_multi_poll(api->multi, &watch, watches, 60000, NULL);
		if (rc != CURLM_OK)
			return xm_fail(err, XM_KIND_INTERNAL, -EIO, "cannot talk to the daemon: %s",
				       curl_multi_strerror(rc));
		if (watch.revents)
			return xm_fail(err, XM_KIND_CANCELLED, -EINTR,
				       "interrupted while waiting for the daemon");
	}
}

static int fail_connect(struct api *api, struct xm_error *err)
{
	long code = 0;

	curl_easy_getinfo(api->easy, CURLINFO_OS_ERRNO, &code);
	if (code == EACCES || code == EPERM)
		return xm_fail(err, XM_KIND_HOST, -EACCES,
			       "no permission to use %s: be root, or the user that the daemon runs "
			       "as",
			       api->socket_path);
	return xm_fail(err, XM_KIND_HOST, code == ENOENT ? -ENOENT : -ECONNREFUSED,
		       "no daemon answers at %s (%s): start xmigrated, or name its --run-dir",
		       api->socket_path, strerror(code ? (int)code : ECONNREFUSED));
}

static int fail_transfer(struct api *api, CURLcode code, struct xm_error *err)
{
	switch (code) {
	case CURLE_COULDNT_CONNECT:
		return fail_connect(api, err);
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_PARTIAL_FILE:
		return xm_fail(err, XM_KIND_HOST, -ECONNRESET,
			       "the daemon at %s went away before it answered: see its log, and "
			       "start it again",
			       api->socket_path);
	case CURLE_OPERATION_TIMEDOUT:
		return xm_fail(err, XM_KIND_HOST, -ETIMEDOUT,
			       "the daemon at %s does not answer in time: see its log",
			       api->socket_path);
	default:
		return xm_fail(err, XM_KIND_DATA, -EBADMSG, "no good answer from %s: %s",
			       api->socket_path, curl_easy_strerror(code));
	}
}

static int fail_answer(struct api *api, long status, json_t *answer, struct xm_error *err)
{
	json_t *error = json_object_get(answer, "error");
	const char *kind = json_string_value(json_object_get(error, "kind"));
	const char *text = json_string_value(json_object_get(error, "text"));

	if (!kind || !text)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "%s answered with HTTP status %ld and no reason: is it xmigrated?",
			       api->socket_path, status);
	return xm_fail(err, xm_kind_from_name(kind), -EREMOTEIO, "%s", text);
}

/* What the daemon said: a JSON object, nothing (204), or an error. */
static int read_answer(struct api *api, const struct answer *raw, json_t **ret_answer,
		       struct xm_error *err)
{
	json_t *answer = NULL;
	long status = 0;
	int rc = 0;

	curl_easy_getinfo(api->easy, CURLINFO_RESPONSE_CODE, &status);
	if (raw->size > 0)
		answer = json_loadb(raw->data, raw->size, JSON_REJECT_DUPLICATES, NULL);
	if (status < 200 || status > 299)
		rc = fail_answer(api, status, answer, err);
	else if (status != 204 && !json_is_object(answer))
		rc = xm_fail(err, XM_KIND_DATA, -EBADMSG,
			     "%s did not answer with a JSON object: is it xmigrated?",
			     api->socket_path);
	if (rc || !ret_answer || status == 204) {
		json_decref(answer);
		answer = NULL;
	}
	if (!rc && ret_answer)
		*ret_answer = answer;
	return rc;
}

static void set_request(struct api *api, const char *method, const char *url, const char *body,
			uint64_t wait_ms, struct answer *answer)
{
	uint64_t limit =
		wait_ms > INT32_MAX - CALL_TIMEOUT_MS ? INT32_MAX : wait_ms + CALL_TIMEOUT_MS;

	curl_easy_setopt(api->easy, CURLOPT_URL, url);
	curl_easy_setopt(api->easy, CURLOPT_TIMEOUT_MS, (long)limit);
	curl_easy_setopt(api->easy, CURLOPT_WRITEDATA, answer);
	if (body) {
		curl_easy_setopt(api->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
		curl_easy_setopt(api->easy, CURLOPT_POSTFIELDS, body);
	} else {
		curl_easy_setopt(api->easy, CURLOPT_HTTPGET, 1L);
	}
	curl_easy_setopt(api->easy, CURLOPT_CUSTOMREQUEST, method);
}

int api_call(struct api *api, const char *method, const char *path, json_t *body, uint64_t wait_ms,
	     json_t **ret_answer, struct xm_error *err)
{
	cleanup_free char *url = xm_format("http://xmigrated%s", path);
	cleanup_free char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct answer answer = {NULL, 0};
	CURLcode code = CURLE_OK;
	int rc;

	if (!url || (body && !text))
		return fail_memory(err);
	/* A POST without a body is an empty one, or libcurl would read it from stdin. */
	set_request(api, method, url, !text && strcmp(method, "POST") == 0 ? "" : text, wait_ms,
		    &answer);
	if (curl_multi_add_handle(api->multi, api->easy) != CURLM_OK)
		return fail_memory(err);
	rc = run_transfer(api, &code, err);
	if (!rc && code != CURLE_OK)
		rc = fail_transfer(api, code, err);
	else if (!rc)
		rc = read_answer(api, &answer, ret_answer, err);
	curl_multi_remove_handle(api->multi, api->easy);
	free(answer.data);
	return rc;
}
