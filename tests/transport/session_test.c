/* SPDX-License-Identifier: Apache-2.0 */
/* What a session does when everybody is well: the same for every transport that answers. */
#include <errno.h>
#include <string.h>

#include "common/fault.h"
#include "tests/transport/harness.h"

static enum kind kind_of(void **state)
{
	return (enum kind)(intptr_t)*state;
}

static void test_control_ping_pong(void **state)
{
	struct joined ends = join(kind_of(state), 0);
	struct xm_error err = XM_ERROR_INIT;

	for (unsigned i = 1; i <= 500; i++) {
		char said[64], heard[64];

		snprintf(said, sizeof(said), "%.*s %u", (int)(i % 50),
			 "a text of no particular meaning but of some length....", i);
		assert_ok(send_note(ends.a, TP_CONTROL, said, &err), &err);
		assert_ok(receive_note(ends.b, TP_CONTROL, heard, &err), &err);
		assert_string_equal(said, heard);
		assert_ok(send_note(ends.b, TP_CONTROL, heard, &err), &err);
		assert_ok(receive_note(ends.a, TP_CONTROL, heard, &err), &err);
		assert_string_equal(said, heard);
		assert_int_equal(tp_last_seq(ends.a, TP_CONTROL), i);
	}
	part(&ends);
}

/* A control frame's payload, as that of STATE, is summed by the transport. */
static void test_control_payload(void **state)
{
	struct joined ends = join(kind_of(state), 0);
	struct xm_error err = XM_ERROR_INIT;
	uint8_t sent[10000], received[sizeof(sent)];
	struct iovec parts[] = {{received, 1}, {received + 1, 0}, {received + 1, 9999}};
	struct tp_frame frame = {.type = PF_TYPE_STATE, .flags = PF_FLAG_MANDATORY};
	struct pf_header header;
	const void *body;

	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i * 11);
	assert_ok(tp_send(ends.a, TP_CONTROL, &frame, sent, sizeof(sent), &err), &err);
	assert_ok(tp_receive(ends.b, TP_CONTROL, &header, &body, &err), &err);
	assert_int_equal(header.type, PF_TYPE_STATE);
	assert_int_equal(header.payload_size, sizeof(sent));
	assert_ok(tp_receive_payload(ends.b, TP_CONTROL, parts, 3, &err), &err);
	assert_memory_equal(sent, received, sizeof(sent));
	assert_true(header.payload_sum == pf_checksum(sent, sizeof(sent)));
	part(&ends);
}

static void test_batches(void **state)
{
	static const unsigned channels[] = {1, 3, TP_CHANNELS_MAX};

	for (unsigned c = 0; c < 3; c++) {
		struct task senders[TP_CHANNELS_MAX], receivers[TP_CHANNELS_MAX];
		struct joined ends = join(kind_of(state), channels[c]);
		struct tp_stats sent, received;

		for (unsigned i = 0; i < channels[c]; i++) {
			senders[i] = (struct task){.run = send_batches,
						   .session = ends.a,
						   .channel = i + 1,
						   .count = 60};
			receivers[i] = senders[i];
			receivers[i].run = receive_batches;
			receivers[i].session = ends.b;
			task_start(&senders[i]);
			task_start(&receivers[i]);
		}
		for (unsigned i = 0; i < channels[c]; i++) {
			task_join(&senders[i]);
			task_join(&receivers[i]);
			assert_ok(senders[i].rc, &senders[i].err);
			assert_ok(receivers[i].rc, &receivers[i].err);
			assert_int_equal(tp_last_seq(ends.a, i + 1), 60);
		}
		tp_stats(ends.a, &sent);
		tp_stats(ends.b, &received);
		assert_true(sent.bytes_sent > channels[c] * 5ull * (256 << 10));
		assert_true(sent.bytes_sent == received.bytes_received);
		part(&ends);
	}
}

/* A newer peer's frame that we need not know is passed over, body and payload, on any channel. */
static void test_unknown_is_skipped(void **state)
{
	struct joined ends = join(kind_of(state), 1);
	struct xm_error err = XM_ERROR_INIT;
	static uint8_t payload[150000];
	struct tp_frame unknown = {.type = 7777, .body = "who knows", .body_size = 9};
	char heard[64];

	for (unsigned channel = 0; channel <= 1; channel++) {
		assert_ok(tp_send(ends.a, channel, &unknown, NULL, 0, &err), &err);
		assert_ok(tp_send(ends.a, channel, &unknown, payload, sizeof(payload), &err), &err);
		assert_ok(send_note(ends.a, channel, "known", &err), &err);
		assert_ok(receive_note(ends.b, channel, heard, &err), &err);
		assert_string_equal(heard, "known");
	}
	part(&ends);
}

static void test_unknown_mandatory_is_fatal(void **state)
{
	struct joined ends = join(kind_of(state), 0);
	struct xm_error err = XM_ERROR_INIT;
	struct tp_frame unknown = {.type = 7777, .flags = PF_FLAG_MANDATORY};
	struct pf_header header;
	const void *body;

	assert_ok(tp_send(ends.a, TP_CONTROL, &unknown, NULL, 0, &err), &err);
	assert_true(tp_receive(ends.b, TP_CONTROL, &header, &body, &err) < 0);
	assert_int_equal(err.kind, XM_KIND_DATA);
	part(&ends);
}

static void test_wrong_use_is_told(void **state)
{
	struct joined ends = join(kind_of(state), 2);
	struct xm_error err = XM_ERROR_INIT;
	uint8_t byte = 1;
	struct iovec part_of = {&byte, 1};
	struct tp_frame frame = {.type = PF_TYPE_STATE, .flags = PF_FLAG_MANDATORY};
	struct pf_header header;
	const void *body;

	assert_int_equal(send_note(ends.a, 3, "no such channel", &err), -EINVAL);
	assert_int_equal(tp_open_channels(ends.a, 2, &err), -EALREADY);
	assert_int_equal(tp_open_channels(ends.a, TP_CHANNELS_MAX + 1, &err), -EINVAL);
	assert_int_equal(err.kind, XM_KIND_USAGE);
	assert_int_equal(tp_receive_payload(ends.b, 1, &part_of, 1, &err), -EINVAL);
	/* A payload must be read before the next frame is. */
	assert_ok(tp_send(ends.a, 1, &frame, &byte, 1, &err), &err);
	assert_ok(tp_receive(ends.b, 1, &header, &body, &err), &err);
	assert_int_equal(tp_receive(ends.b, 1, &header, &body, &err), -EINVAL);
	assert_ok(tp_receive_payload(ends.b, 1, &part_of, 1, &err), &err);
	part(&ends);
}

/* A frame that got lost on the way does not go unnoticed. */
static void test_gap_is_found(void **state)
{
	struct joined ends = join(kind_of(state), 1);
	struct xm_error err = XM_ERROR_INIT;
	char heard[64];

	assert_ok(xm_fault_arm("transport.send:skip:2", &err), &err);
	for (int i = 0; i < 3; i++)
		assert_ok(send_note(ends.a, 1, "counted", &err), &err);
	assert_ok(xm_fault_arm(NULL, &err), &err);
	assert_ok(receive_note(ends.b, 1, heard, &err), &err);
	assert_int_equal(receive_note(ends.b, 1, heard, &err), -EPROTO);
	assert_int_equal(err.kind, XM_KIND_DATA);
	part(&ends);
}

static void test_faults(void **state)
{
	struct joined ends = join(kind_of(state), 1);
	struct xm_error err = XM_ERROR_INIT;
	char heard[64];

	assert_ok(xm_fault_arm("transport.send:error:2,transport.receive:error:1", &err), &err);
	assert_ok(send_note(ends.a, 1, "first", &err), &err);
	assert_int_equal(send_note(ends.a, 1, "second", &err), -EIO);
	assert_int_equal(err.kind, XM_KIND_NETWORK);
	assert_int_equal(receive_note(ends.b, 1, heard, &err), -EIO);
	assert_int_equal(err.kind, XM_KIND_NETWORK);

	assert_ok(xm_fault_arm("transport.cut:error:1", &err), &err);
	assert_true(send_note(ends.a, 1, "third", &err) < 0);
	assert_int_equal(err.kind, XM_KIND_NETWORK);
	assert_ok(xm_fault_arm(NULL, &err), &err);
	assert_int_equal(receive_note(ends.a, TP_CONTROL, heard, &err), -ECONNRESET);
	assert_int_equal(receive_note(ends.b, TP_CONTROL, heard, &err), -ECONNRESET);
	part(&ends);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_control_ping_pong),
		cmocka_unit_test(test_control_payload),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_unknown_is_skipped),
		cmocka_unit_test(test_unknown_mandatory_is_fatal),
		cmocka_unit_test(test_wrong_use_is_told),
		cmocka_unit_test(test_gap_is_found),
		cmocka_unit_test(test_faults),
	};

	return run_for_all_kinds("a session", tests, sizeof(tests) / sizeof(tests[0]));
}
