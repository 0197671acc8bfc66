/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/lib/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/test.h"
#include "tests/tools/folder.h"
#include "tools/lib/ident.h"

static int setup(void **state)
{
	int *pair = calloc(2, sizeof(int));

	*state = pair;
	return xt_socket_pair(pair, NULL);
}

static int teardown(void **state)
{
	int *pair = *state;

	for (int i = 0; i < 2; i++)
		if (pair[i] >= 0)
			close(pair[i]);
	free(pair);
	return 0;
}

static void test_packet_and_descriptor(void **state)
{
	int *pair = *state;
	struct xm_error err = XM_ERROR_INIT;
	json_t *packet = json_pack("{ss}", "call", "attach");
	json_t *got;
	int sent_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int fd;

	assert_ok(xt_packet_send(pair[0], packet, sent_fd, &err), &err);
	assert_ok(xt_packet_receive(pair[1], &got, &fd, &err), &err);
	assert_true(json_equal(packet, got));
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	close(sent_fd);
	json_decref(got);
	json_decref(packet);
}

static json_t *packet_of_size(size_t size)
{
	char *text = malloc(size);
	json_t *packet;

	memset(text, 'a', size);
	packet = json_pack("{ss#}", "t", text, size - strlen("{\"t\":\"\"}"));
	free(text);
	return packet;
}

/* The greatest packet passes; one byte more is refused where it is made. */
static void test_sizes(void **state)
{
	int *pair = *state;
	struct xm_error err = XM_ERROR_INIT;
	json_t *largest = packet_of_size(XT_PACKET_MAX);
	json_t *larger = packet_of_size(XT_PACKET_MAX + 1);
	json_t *got;

	assert_ok(xt_packet_send(pair[0], largest, -1, &err), &err);
	assert_ok(xt_packet_receive(pair[1], &got, NULL, &err), &err);
	assert_true(json_equal(largest, got));
	assert_int_equal(xt_packet_send(pair[0], larger, -1, &err), -EMSGSIZE);
	json_decref(got);
	json_decref(largest);
	json_decref(larger);
}

static int receive_bytes(int *pair, const void *bytes, size_t size, struct xm_error *err)
{
	json_t *got = NULL;
	int rc;

	assert_int_equal(send(pair[0], bytes, size, 0), size);
	rc = xt_packet_receive(pair[1], &got, NULL, err);
	json_decref(got);
	return rc;
}

static void test_hostile(void **state)
{
	static const char *const packets[] = {
		"{",
		"[]",
		"null",
		"{\"a\":1,\"a\":2}",
		"{\"a\":\"\xff\"}",
		"{}{}",
		"\x01\x02",
		"{\"a\":1e999}",
		"{\"a\":99999999999999999999}",
		"{\"a\":\"\\u0000\"}",
	};
	int *pair = *state;
	struct xm_error err = XM_ERROR_INIT;
	char *deep = malloc(XT_PACKET_MAX);
	char *longer = malloc(XT_PACKET_MAX + 1);

	for (size_t i = 0; i < sizeof(packets) / sizeof(*packets); i++) {
		assert_int_equal(receive_bytes(pair, packets[i], strlen(packets[i]), &err),
				 -EBADMSG);
		assert_int_equal(err.kind, XM_KIND_DATA);
	}
	memset(deep, '[', 200 << 10);
	memcpy(deep, "{\"a\":", 5);
	assert_int_equal(receive_bytes(pair, deep, 200 << 10, &err), -EBADMSG);
	memset(longer, ' ', XT_PACKET_MAX + 1);
	memcpy(longer, "{}", 2);
	assert_int_equal(receive_bytes(pair, longer, XT_PACKET_MAX + 1, &err), -EBADMSG);
	assert_int_equal(receive_bytes(pair, "{}", 2, &err), 0);
	free(deep);
	free(longer);
}

/* Bytes from a fixed generator: whatever comes, an answer and never a crash. */
static void test_random(void **state)
{
	static const char alphabet[] = "{}[]\":,\\ue0123456789truefalsn ";
	int *pair = *state;
	uint64_t seed = 0x9e3779b97f4a7c15ull;
	char bytes[200];

	for (int round = 0; round < 20000; round++) {
		struct xm_error err = XM_ERROR_INIT;
		size_t size;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		size = 1 + (seed >> 40) % sizeof(bytes);
		for (size_t i = 0; i < size; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			bytes[i] = (seed >> 60) == 0
					   ? (char)(seed >> 33)
					   : alphabet[(seed >> 33) % (sizeof(alphabet) - 1)];
		}
		bytes[0] = '{';
		if (receive_bytes(pair, bytes, size, &err))
			assert_int_equal(err.kind, XM_KIND_DATA);
	}
}

static int highest_free_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

/* More descriptors than one is an error, and none of them stays open. */
static void test_several_descriptors(void **state)
{
	int *pair = *state;
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 20)];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec part = {.iov_base = "{}", .iov_len = 2};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	struct xm_error err = XM_ERROR_INIT;
	int fds[20] = {0};
	int before = highest_free_fd();
	json_t *got;
	int fd = -1;

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(header), fds, sizeof(fds));
	assert_int_equal(sendmsg(pair[0], &message, 0), 2);
	assert_int_equal(xt_packet_receive(pair[1], &got, &fd, &err), -EBADMSG);
	assert_int_equal(fd, -1);
	assert_int_equal(highest_free_fd(), before);
}

static void test_peer_closed(void **state)
{
	int *pair = *state;
	struct xm_error err = XM_ERROR_INIT;
	json_t *packet = json_object();
	json_t *got;

	close(pair[0]);
	pair[0] = -1;
	assert_int_equal(xt_packet_receive(pair[1], &got, NULL, &err), -ENODATA);
	assert_int_equal(xt_packet_send(pair[1], packet, -1, &err), -EPIPE);
	assert_int_equal(err.kind, XM_KIND_NETWORK);
	json_decref(packet);
}

static void test_errors_travel(void **state)
{
	struct xm_error err = {.kind = XM_KIND_STORAGE, .text = "the disk is full"};
	struct xm_error back = XM_ERROR_INIT;
	json_t *json = xt_error_to_json(&err);

	(void)state;
	assert_true(xt_error_from_json(json, &back) < 0);
	assert_int_equal(back.kind, XM_KIND_STORAGE);
	assert_string_equal(back.text, err.text);
	json_decref(json);
	assert_true(xt_error_from_json(NULL, &back) < 0);
	assert_int_equal(back.kind, XM_KIND_INTERNAL);
}

/* A path far longer than a sockaddr_un holds. */
static void test_long_path(void **state)
{
	char *base = test_folder_make();
	char *folder = xm_format("%s/%0100d", base, 1);
	char *path = xm_format("%s/vmm.sock", folder);
	struct xm_error err = XM_ERROR_INIT;
	int listener;
	int fd;

	(void)state;
	assert_ok(xt_make_folders(folder, 0700, &err), &err);
	assert_int_equal(xt_socket_connect(path, SOCK_SEQPACKET, &fd, &err), -ENOENT);
	assert_int_equal(err.kind, XM_KIND_NOT_FOUND);
	assert_ok(xt_socket_listen(path, SOCK_SEQPACKET, &listener, &err), &err);
	assert_ok(xt_socket_connect(path, SOCK_SEQPACKET, &fd, &err), &err);
	close(fd);
	close(listener);
	assert_int_equal(xt_socket_connect(path, SOCK_SEQPACKET, &fd, &err), -ECONNREFUSED);
	free(path);
	free(folder);
	test_folder_remove(base);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_packet_and_descriptor),
		TEST(test_sizes),
		TEST(test_hostile),
		TEST(test_random),
		TEST(test_several_descriptors),
		TEST(test_peer_closed),
		cmocka_unit_test(test_errors_travel),
		cmocka_unit_test(test_long_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
