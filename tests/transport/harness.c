/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/transport/harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "transport/memory/memory.h"
#include "transport/tcp/tcp.h"

static const uint8_t token[TP_TCP_TOKEN_SIZE] = "a token of tests";

static const char *const kind_names[] = {
	[KIND_MEMORY] = "memory", [KIND_TCP4] = "tcp4", [KIND_TCP6] = "tcp6"};

bool kind_available(enum kind kind)
{
	int fd = -1;

	if (kind != KIND_TCP6)
		return true;
	if (tp_tcp_listen("[::1]:0", &fd, NULL)) {
		printf("SKIPPED: tcp6: this host has no ::1\n");
		return false;
	}
	close(fd);
	return true;
}

void listener_address(int listener, char *ret_text, size_t size)
{
	struct sockaddr_storage address;
	socklen_t address_size = sizeof(address);
	char host[64];

	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &address_size), 0);
	if (address.ss_family == AF_INET6) {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;

		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		snprintf(ret_text, size, "[%s]:%d", host, ntohs(v6->sin6_port));
	} else {
		struct sockaddr_in *v4 = (struct sockaddr_in *)&address;

		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(ret_text, size, "%s:%d", host, ntohs(v4->sin_port));
	}
}

int accept_one(int listener, unsigned *ret_channel)
{
	struct tp_tcp_preamble preamble;
	struct xm_error err = XM_ERROR_INIT;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	assert_true(fd >= 0);
	assert_ok(tp_tcp_preamble_read(fd, 10000, &preamble, &err), &err);
	assert_memory_equal(preamble.token, token, sizeof(token));
	assert_int_equal(preamble.purpose, TP_TCP_MIGRATE);
	*ret_channel = preamble.channel;
	return fd;
}

static void join_tcp(const char *address, unsigned channels, struct joined *ends)
{
	struct xm_error err = XM_ERROR_INIT;
	char bound[80];
	unsigned channel;
	int fd;

	assert_ok(tp_tcp_listen(address, &ends->listener, &err), &err);
	listener_address(ends->listener, bound, sizeof(bound));
	assert_ok(tp_tcp_connect(bound, token, TP_TCP_MIGRATE, NULL, &ends->a, &err), &err);
	fd = accept_one(ends->listener, &channel);
	assert_int_equal(channel, TP_CONTROL);
	assert_ok(tp_tcp_accept(fd, NULL, &ends->b, &err), &err);
	if (channels)
		assert_ok(tp_open_channels(ends->a, channels, &err), &err);
	for (unsigned i = 0; i < channels; i++) {
		fd = accept_one(ends->listener, &channel);
		assert_ok(tp_tcp_attach(ends->b, channel, fd, &err), &err);
	}
}

struct joined join(enum kind kind, unsigned channels)
{
	struct joined ends = {.listener = -1};
	struct xm_error err = XM_ERROR_INIT;

	if (kind == KIND_MEMORY) {
		assert_ok(tp_memory_pair(&ends.a, &ends.b, &err), &err);
		if (channels)
			assert_ok(tp_open_channels(ends.a, channels, &err), &err);
	} else {
		join_tcp(kind == KIND_TCP4 ? "127.0.0.1:0" : "[::1]:0", channels, &ends);
	}
	if (channels)
		assert_ok(tp_open_channels(ends.b, channels, &err), &err);
	return ends;
}

void part(struct joined *ends)
{
	tp_destroy(ends->a);
	tp_destroy(ends->b);
	if (ends->listener >= 0)
		close(ends->listener);
}

int raw_pair(int *ret_raw)
{
	struct xm_error err = XM_ERROR_INIT;
	struct sockaddr_in address;
	socklen_t size = sizeof(address);
	int listener, fd;

	assert_ok(tp_tcp_listen("127.0.0.1:0", &listener, &err), &err);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	*ret_raw = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(*ret_raw, (struct sockaddr *)&address, size), 0);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	close(listener);
	return fd;
}

struct tp_session *accept_raw(int *ret_raw)
{
	struct xm_error err = XM_ERROR_INIT;
	struct tp_session *session = NULL;

	assert_ok(tp_tcp_accept(raw_pair(ret_raw), NULL, &session, &err), &err);
	return session;
}

static void *task_main(void *opaque)
{
	struct task *task = opaque;

	task->rc = task->run(task);
	return NULL;
}

void task_start(struct task *task)
{
	assert_int_equal(pthread_create(&task->thread, NULL, task_main, task), 0);
}

void task_join(struct task *task)
{
	assert_int_equal(pthread_join(task->thread, NULL), 0);
}

/* ------------------------------------------------------------------ batches */

/* Sizes that cross every boundary: empty, one byte, a page, the read-ahead's, a full buffer. */
static uint32_t batch_size(unsigned number, size_t capacity)
{
	static const uint32_t sizes[] = {0, 1, 975, 976, 977, 1024, 4048, 4096, 4097, 65536};
	unsigned pick = number % 12;

	return pick < 10 ? sizes[pick] : (uint32_t)capacity - (pick == 11);
}

static uint8_t batch_byte(unsigned channel, unsigned number, size_t place)
{
	return (uint8_t)(channel * 31 + number * 7 + place + (place >> 8) * 13);
}

int send_batches(struct task *task)
{
	for (unsigned number = 0; number < task->count; number++) {
		uint32_t size = batch_size(number, tp_buffer_capacity(task->session));
		struct tp_frame frame = {.type = PF_TYPE_PAGES,
					 .flags = PF_FLAG_MANDATORY,
					 .body = &number,
					 .body_size = sizeof(number),
					 .payload_sum = number};
		struct tp_buffer *buffer = NULL;
		int rc = tp_buffer_get(task->session, task->channel, &buffer, &task->err);

		if (rc)
			return rc;
		for (size_t i = 0; i < size; i++)
			buffer->data[i] = batch_byte(task->channel, number, i);
		rc = tp_submit(task->session, task->channel, &frame, buffer, size, &task->err);
		if (rc)
			return rc;
	}
	return 0;
}

/* Reads a payload scattered over growing pieces, more of them than one system call takes. */
static int receive_scattered(struct task *task, uint8_t *to, uint32_t size)
{
	struct iovec parts[400];
	uint32_t piece = 1;
	int count = 0;

	for (uint32_t done = 0; done < size; count++, piece = piece % 1500 + 7) {
		if (piece > size - done || count == 399)
			piece = size - done;
		parts[count] = (struct iovec){to + done, piece};
		done += piece;
	}
	return tp_receive_payload(task->session, task->channel, parts, count, &task->err);
}

static int check_batch(struct task *task, const struct pf_header *header, const void *body,
		       unsigned number)
{
	unsigned said;

	if (header->body_size != sizeof(said))
		return xm_fail(&task->err, XM_KIND_DATA, -EBADMSG, "body of %u", header->body_size);
	memcpy(&said, body, sizeof(said));
	if (said != number || header->seq != number + 1 || header->channel != task->channel ||
	    header->payload_sum != number)
		return xm_fail(&task->err, XM_KIND_DATA, -EBADMSG, "batch %u of channel %u is %u",
			       number, task->channel, said);
	return 0;
}

int receive_batches(struct task *task)
{
	size_t capacity = tp_buffer_capacity(task->session);
	uint8_t *to = malloc(capacity);
	int rc = 0;

	for (unsigned number = 0; number < task->count && rc == 0; number++) {
		struct pf_header header;
		const void *body = NULL;

		rc = tp_receive(task->session, task->channel, &header, &body, &task->err);
		if (rc == 0)
			rc = check_batch(task, &header, body, number);
		if (rc == 0 && header.payload_size != batch_size(number, capacity))
			rc = xm_fail(&task->err, XM_KIND_DATA, -EBADMSG, "size of %u", number);
		if (rc == 0 && header.payload_size)
			rc = receive_scattered(task, to, header.payload_size);
		for (size_t i = 0; rc == 0 && i < header.payload_size; i++)
			if (to[i] != batch_byte(task->channel, number, i))
				rc = xm_fail(&task->err, XM_KIND_DATA, -EBADMSG,
					     "byte %zu of batch %u", i, number);
	}
	free(to);
	return rc;
}

/* ------------------------------------------------------------------ notes */

int send_note(struct tp_session *session, unsigned channel, const char *text, struct xm_error *err)
{
	struct tp_frame frame = {.type = PF_TYPE_SEAL,
				 .flags = PF_FLAG_MANDATORY,
				 .body = text,
				 .body_size = (uint32_t)strlen(text)};

	return tp_send(session, channel, &frame, NULL, 0, err);
}

int receive_note(struct tp_session *session, unsigned channel, char ret_text[64],
		 struct xm_error *err)
{
	struct pf_header header;
	const void *body = NULL;
	int rc = tp_receive(session, channel, &header, &body, err);

	if (rc)
		return rc;
	if (header.type != PF_TYPE_SEAL || header.body_size >= 64)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG, "not a note");
	memcpy(ret_text, body, header.body_size);
	ret_text[header.body_size] = '\0';
	return 0;
}

/* ------------------------------------------------------------------ registration */

int run_for_all_kinds(const char *group, const struct CMUnitTest *tests, size_t count)
{
	int failed = 0;

	for (enum kind kind = KIND_MEMORY; kind <= KIND_TCP6; kind++) {
		struct CMUnitTest *copy = calloc(count, sizeof(*copy));
		char name[64];

		if (!kind_available(kind))
			continue;
		for (size_t i = 0; i < count; i++) {
			copy[i] = tests[i];
			copy[i].initial_state = (void *)(intptr_t)kind;
		}
		snprintf(name, sizeof(name), "%s over %s", group, kind_names[kind]);
		failed += _cmocka_run_group_tests(name, copy, count, NULL, NULL);
		free(copy);
	}
	return failed;
}
