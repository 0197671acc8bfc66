/* SPDX-License-Identifier: Apache-2.0 */
/* A peer that sends what it likes: damaged, cut, oversized, out of turn, or byte by byte. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/file.h"
#include "tests/transport/harness.h"

#define NOTE_SIZE (PF_STREAM_HEADER_SIZE + PF_FRAME_HEADER_SIZE + 4)

/* A stream header and one frame, "note", with a header that may be spoilt before. */
static size_t build_note(const struct pf_header *spoilt, uint8_t bytes[NOTE_SIZE])
{
	struct pf_header header = {.type = PF_TYPE_SEAL,
				   .flags = PF_FLAG_MANDATORY,
				   .seq = 1,
				   .body_size = 4,
				   .body_sum = pf_checksum("note", 4),
				   .payload_sum = pf_checksum(NULL, 0)};

	pf_stream_header_encode(bytes);
	pf_header_encode(spoilt ? spoilt : &header, bytes + PF_STREAM_HEADER_SIZE);
	memcpy(bytes + PF_STREAM_HEADER_SIZE + PF_FRAME_HEADER_SIZE, "note", 4);
	return NOTE_SIZE;
}

static int receive_bytes(const uint8_t *bytes, size_t size, struct xm_error *err)
{
	char heard[64];
	int raw;
	struct tp_session *session = accept_raw(&raw);
	int rc;

	assert_int_equal(xm_write_full(raw, bytes, size), 0);
	shutdown(raw, SHUT_WR);
	rc = receive_note(session, TP_CONTROL, heard, err);
	tp_destroy(session);
	close(raw);
	return rc;
}

static void test_damaged(void **state)
{
	struct xm_error err = XM_ERROR_INIT;
	uint8_t bytes[NOTE_SIZE];

	(void)state;
	build_note(NULL, bytes);
	assert_ok(receive_bytes(bytes, sizeof(bytes), &err), &err);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		build_note(NULL, bytes);
		bytes[i] ^= 0x10;
		assert_true(receive_bytes(bytes, sizeof(bytes), &err) < 0);
		assert_int_equal(err.kind, XM_KIND_DATA);
	}
}

static void test_truncated(void **state)
{
	struct xm_error err = XM_ERROR_INIT;
	uint8_t bytes[NOTE_SIZE];

	(void)state;
	build_note(NULL, bytes);
	for (size_t size = 0; size < sizeof(bytes); size++) {
		assert_int_equal(receive_bytes(bytes, size, &err), -ECONNRESET);
		assert_int_equal(err.kind, XM_KIND_NETWORK);
	}
}

static void test_hostile_header(void **state)
{
	static const struct pf_header hostile[] = {
		{.type = PF_TYPE_SEAL, .seq = 1, .body_size = UINT32_MAX},
		{.type = PF_TYPE_SEAL, .seq = 1, .payload_size = UINT32_MAX},
		{.type = 9999, .seq = 1, .body_size = PF_BODY_MAX + 1},
		{.type = 9999, .seq = 1, .payload_size = PF_PAYLOAD_MAX + 1},
		{.type = 9999, .seq = 1, .flags = PF_FLAG_MANDATORY},
		{.type = PF_TYPE_SEAL, .seq = 0},
		{.type = PF_TYPE_SEAL, .seq = 2},
		{.type = PF_TYPE_SEAL, .seq = 1, .channel = 1},
	};
	struct xm_error err = XM_ERROR_INIT;
	uint8_t bytes[NOTE_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		build_note(&hostile[i], bytes);
		assert_true(receive_bytes(bytes, sizeof(bytes), &err) < 0);
		assert_int_equal(err.kind, XM_KIND_DATA);
	}
}

static int await_note(struct task *task)
{
	char heard[64];
	int rc = receive_note(task->session, TP_CONTROL, heard, &task->err);

	return rc ? rc : strcmp(heard, "note");
}

/* However the network cuts the bytes up. */
static void test_byte_by_byte(void **state)
{
	int raw;
	struct task waits = {.run = await_note, .session = accept_raw(&raw)};
	uint8_t bytes[NOTE_SIZE];

	(void)state;
	build_note(NULL, bytes);
	task_start(&waits);
	for (size_t i = 0; i < sizeof(bytes); i++)
		assert_int_equal(send(raw, bytes + i, 1, MSG_NOSIGNAL), 1);
	task_join(&waits);
	assert_ok(waits.rc, &waits.err);
	tp_destroy(waits.session);
	close(raw);
}

/* A reset, as a host sends that was restarted. */
static void test_reset(void **state)
{
	struct linger at_once = {.l_onoff = 1};
	struct xm_error err = XM_ERROR_INIT;
	char heard[64];
	int raw;
	struct tp_session *session = accept_raw(&raw);

	(void)state;
	assert_int_equal(setsockopt(raw, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	close(raw);
	assert_int_equal(receive_note(session, TP_CONTROL, heard, &err), -ECONNRESET);
	assert_int_equal(err.kind, XM_KIND_NETWORK);
	assert_non_null(strstr(err.text, "lost"));
	assert_int_equal(send_note(session, TP_CONTROL, "anybody?", &err), -EPIPE);
	assert_int_equal(err.kind, XM_KIND_NETWORK);
	tp_destroy(session);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damaged),	       cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_hostile_header), cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_reset),
	};

	return cmocka_run_group_tests_name("a hostile peer", tests, NULL, NULL);
}
