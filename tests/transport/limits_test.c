/* SPDX-License-Identifier: Apache-2.0 */
/* Bandwidth, time limits, and how a session ends while everybody is busy. */
#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "tests/transport/harness.h"

#define BATCH (256u << 10)

static enum kind kind_of(void **state)
{
	return (enum kind)(intptr_t)*state;
}

static int send_full_batches(struct task *task)
{
	struct tp_frame frame = {.type = PF_TYPE_PAGES, .flags = PF_FLAG_MANDATORY};
	int rc = 0;

	for (unsigned i = 0; i < task->count && rc == 0; i++) {
		struct tp_buffer *buffer = NULL;

		rc = tp_buffer_get(task->session, task->channel, &buffer, &task->err);
		if (rc == 0) {
			memset(buffer->data, (int)i, BATCH);
			rc = tp_submit(task->session, task->channel, &frame, buffer, BATCH,
				       &task->err);
		}
	}
	return rc;
}

static int receive_full_batches(struct task *task)
{
	uint8_t *payload = malloc(BATCH);
	struct iovec part_of = {payload, BATCH};
	int rc = 0;

	for (unsigned i = 0; i < task->count && rc == 0; i++) {
		struct pf_header header;
		const void *body;

		rc = tp_receive(task->session, task->channel, &header, &body, &task->err);
		if (rc == 0)
			rc = tp_receive_payload(task->session, task->channel, &part_of, 1,
						&task->err);
	}
	free(payload);
	return rc;
}

static double seconds_since(uint64_t start_ns)
{
	return (double)(xm_now_ns() - start_ns) / (double)XM_NS_PER_S;
}

/* 8 MiB in 32 batches on two channels at 32 MiB/s take a quarter of a second, for both together. */
static void test_bandwidth(void **state)
{
	struct joined ends = join(kind_of(state), 2);
	struct task senders[2], receivers[2];
	uint64_t start_ns = xm_now_ns();
	double seconds;

	tp_set_bandwidth(ends.a, 32u << 20);
	for (unsigned i = 0; i < 2; i++) {
		senders[i] = (struct task){
			.run = send_full_batches, .session = ends.a, .channel = i + 1, .count = 16};
		receivers[i] = senders[i];
		receivers[i].run = receive_full_batches;
		receivers[i].session = ends.b;
		task_start(&senders[i]);
		task_start(&receivers[i]);
	}
	for (unsigned i = 0; i < 2; i++) {
		task_join(&senders[i]);
		task_join(&receivers[i]);
		assert_ok(senders[i].rc, &senders[i].err);
		assert_ok(receivers[i].rc, &receivers[i].err);
	}
	seconds = seconds_since(start_ns);
	/* Below: what a burst and the last batch's debt may save. Above: a busy machine. */
	if (seconds < 0.2 || seconds > 5)
		fail_msg("8 MiB at 32 MiB/s took %.3f s", seconds);
	part(&ends);
}

/* At 64 KiB/s a batch takes 4 s; its sender goes on at once when the limit is lifted. */
static void test_bandwidth_changes_at_once(void **state)
{
	struct joined ends = join(kind_of(state), 1);
	struct task sender = {
		.run = send_full_batches, .session = ends.a, .channel = 1, .count = 20};
	struct task first = {
		.run = receive_full_batches, .session = ends.b, .channel = 1, .count = 1};
	struct task rest = first;
	struct xm_error err = XM_ERROR_INIT;
	uint64_t start_ns = xm_now_ns();
	char heard[64];

	tp_set_bandwidth(ends.a, 1); /* is raised to TP_BANDWIDTH_MIN */
	task_start(&sender);
	assert_ok(first.run(&first), &first.err);
	/* Meanwhile control frames pass. */
	for (int i = 0; i < 100; i++) {
		assert_ok(send_note(ends.a, TP_CONTROL, "urgent", &err), &err);
		assert_ok(receive_note(ends.b, TP_CONTROL, heard, &err), &err);
	}
	tp_set_bandwidth(ends.a, 0);
	rest.count = 19;
	assert_ok(rest.run(&rest), &rest.err);
	task_join(&sender);
	assert_ok(sender.rc, &sender.err);
	if (seconds_since(start_ns) > 30)
		fail_msg("20 batches took %.1f s, as if the limit still held",
			 seconds_since(start_ns));
	part(&ends);
}

/* ------------------------------------------------------------------ everybody is woken */

static int await_note(struct task *task)
{
	char heard[64];

	return receive_note(task->session, task->channel, heard, &task->err);
}

static int send_for_ever(struct task *task)
{
	task->count = UINT32_MAX;
	return send_full_batches(task);
}

static int exhaust_buffers(struct task *task)
{
	int rc = 0;

	while (rc == 0) {
		struct tp_buffer *buffer = NULL;

		rc = tp_buffer_get(task->session, task->channel, &buffer, &task->err);
	}
	return rc;
}

/* Something that takes a while, so that the tasks have come to where they wait. */
static void let_time_pass(enum kind kind)
{
	struct joined ends = join(kind, 0);
	struct xm_error err = XM_ERROR_INIT;
	char heard[64];

	for (int i = 0; i < 300; i++) {
		assert_ok(send_note(ends.a, TP_CONTROL, "tick", &err), &err);
		assert_ok(receive_note(ends.b, TP_CONTROL, heard, &err), &err);
	}
	part(&ends);
}

/*
 * Everybody waits for something, and one end ends it. At the other end, who waits for the peer gets
 * an error of the network; who waits for his own side (a buffer, a turn under the limit) is woken
 * by his own shutdown.
 */
static void shut_down_while_busy(enum kind kind, bool at_a, bool limited)
{
	struct joined ends = join(kind, 3);
	struct task networked[] = {
		{.run = await_note, .session = ends.a, .channel = 0},
		{.run = await_note, .session = ends.a, .channel = 3},
		{.run = await_note, .session = ends.b, .channel = 0},
		{.run = await_note, .session = ends.b, .channel = 2},
		{.run = send_for_ever, .session = ends.a, .channel = 1},
	};
	struct task local[] = {
		{.run = exhaust_buffers, .session = ends.a, .channel = 2},
		{.run = send_for_ever, .session = ends.a, .channel = 3},
	};
	unsigned networked_count = limited ? 4 : 5;
	unsigned local_count = limited ? 2 : 1;
	struct tp_session *ender = at_a ? ends.a : ends.b;
	struct xm_error err = XM_ERROR_INIT;
	struct tp_buffer *spare = NULL;

	/* A buffer that was lent out stays valid, and can be given back, through all of it. */
	assert_ok(tp_buffer_get(ends.a, 1, &spare, &err), &err);
	if (limited)
		tp_set_bandwidth(ends.a, TP_BANDWIDTH_MIN);
	for (unsigned i = 0; i < networked_count; i++)
		task_start(&networked[i]);
	for (unsigned i = 0; i < local_count; i++)
		task_start(&local[i]);
	if (limited) {
		/* After its first batch the limited sender waits for seconds. */
		struct task first = {.session = ends.b, .channel = 3, .count = 1};

		assert_ok(receive_full_batches(&first), &first.err);
	}
	let_time_pass(kind);

	tp_shutdown(ender);
	for (unsigned i = 0; i < networked_count; i++) {
		task_join(&networked[i]);
		if (networked[i].session == ender) {
			assert_int_equal(networked[i].rc, -ECANCELED);
			assert_int_equal(networked[i].err.kind, XM_KIND_CANCELLED);
		} else {
			assert_true(networked[i].rc == -ECONNRESET || networked[i].rc == -EPIPE);
			assert_int_equal(networked[i].err.kind, XM_KIND_NETWORK);
		}
	}
	tp_shutdown(ends.a);
	for (unsigned i = 0; i < local_count; i++) {
		task_join(&local[i]);
		assert_int_equal(local[i].rc, -ECANCELED);
		assert_int_equal(local[i].err.kind, XM_KIND_CANCELLED);
	}
	tp_buffer_put(ends.a, 1, spare);
	part(&ends);
}

static void test_shutdown_wakes_everybody(void **state)
{
	for (unsigned round = 0; round < 40; round++)
		shut_down_while_busy(kind_of(state), round % 2, round / 2 % 2);
}

static int open_one(struct task *task)
{
	return tp_open_channels(task->session, 1, &task->err);
}

static void test_shutdown_wakes_opening(void **state)
{
	for (int round = 0; round < 10; round++) {
		struct joined ends = join(kind_of(state), 0);
		struct task opens = {.run = open_one, .session = ends.b};

		task_start(&opens);
		if (round % 2)
			let_time_pass(kind_of(state));
		tp_shutdown(ends.b);
		task_join(&opens);
		assert_int_equal(opens.rc, -ECANCELED);
		assert_int_equal(opens.err.kind, XM_KIND_CANCELLED);
		assert_int_equal(tp_open_channels(ends.b, 1, &opens.err), -ECANCELED);
		part(&ends);
	}
}

/* ------------------------------------------------------------------ a peer that is gone */

static int send_16_mib(struct task *task)
{
	struct tp_frame frame = {.type = PF_TYPE_STATE, .flags = PF_FLAG_MANDATORY};
	uint8_t *payload = calloc(1, PF_PAYLOAD_MAX);
	int rc = tp_send(task->session, task->channel, &frame, payload, PF_PAYLOAD_MAX, &task->err);

	free(payload);
	return rc;
}

static void test_peer_dies_in_a_frame(void **state)
{
	struct joined ends = join(kind_of(state), 1);
	struct task sender = {.run = send_16_mib, .session = ends.a, .channel = 1};
	uint8_t *payload = malloc(PF_PAYLOAD_MAX);
	struct iovec part_of = {payload, PF_PAYLOAD_MAX};
	struct xm_error err = XM_ERROR_INIT;
	struct pf_header header;
	const void *body;

	task_start(&sender);
	assert_ok(tp_receive(ends.b, 1, &header, &body, &err), &err);
	tp_shutdown(ends.a);
	task_join(&sender);
	assert_int_equal(sender.rc, -ECANCELED);
	assert_int_equal(tp_receive_payload(ends.b, 1, &part_of, 1, &err), -ECONNRESET);
	assert_int_equal(err.kind, XM_KIND_NETWORK);
	free(payload);
	part(&ends);
}

/* What was sent before an orderly end is not lost with it. */
static void test_last_words_arrive(void **state)
{
	struct joined ends = join(kind_of(state), 0);
	struct xm_error err = XM_ERROR_INIT;
	char heard[64];

	assert_ok(send_note(ends.a, TP_CONTROL, "farewell", &err), &err);
	tp_destroy(ends.a);
	ends.a = NULL;
	assert_ok(receive_note(ends.b, TP_CONTROL, heard, &err), &err);
	assert_string_equal(heard, "farewell");
	assert_int_equal(receive_note(ends.b, TP_CONTROL, heard, &err), -ECONNRESET);
	assert_int_equal(err.kind, XM_KIND_NETWORK);
	assert_non_null(strstr(err.text, "closed"));
	part(&ends);
}

/* Nor is a refusal lost because its sender never read what we still had to say. */
static void test_last_words_arrive_unread(void **state)
{
	struct joined ends = join(kind_of(state), 0);
	struct xm_error err = XM_ERROR_INIT;
	char heard[64];

	for (int i = 0; i < 20; i++)
		assert_ok(send_note(ends.a, TP_CONTROL, "never read", &err), &err);
	assert_ok(send_note(ends.b, TP_CONTROL, "refused", &err), &err);
	tp_destroy(ends.b);
	ends.b = NULL;
	assert_ok(receive_note(ends.a, TP_CONTROL, heard, &err), &err);
	assert_string_equal(heard, "refused");
	assert_int_equal(receive_note(ends.a, TP_CONTROL, heard, &err), -ECONNRESET);
	part(&ends);
}

static void test_silence_is_noticed(void **state)
{
	struct joined ends = join(kind_of(state), 1);
	struct task sender = {.run = send_16_mib, .session = ends.a, .channel = 1};
	uint64_t start_ns = xm_now_ns();
	struct xm_error err = XM_ERROR_INIT;
	char heard[64];

	tp_set_timeout(ends.a, 100);
	tp_set_timeout(ends.b, 100);
	assert_int_equal(receive_note(ends.b, TP_CONTROL, heard, &err), -ETIMEDOUT);
	assert_int_equal(err.kind, XM_KIND_NETWORK);
	assert_true(seconds_since(start_ns) >= 0.1);
	/* A sender whose bytes nobody takes. */
	assert_int_equal(sender.run(&sender), -ETIMEDOUT);
	assert_int_equal(sender.err.kind, XM_KIND_NETWORK);
	part(&ends);
}

/* A channel may be silent as long as another is not. */
static void test_other_channels_count(void **state)
{
	struct joined ends = join(kind_of(state), 1);
	struct task waits = {.run = await_note, .session = ends.b, .channel = 1};
	struct xm_error err = XM_ERROR_INIT;
	uint64_t start_ns = xm_now_ns();
	char heard[64];

	tp_set_timeout(ends.b, 500);
	task_start(&waits);
	while (seconds_since(start_ns) < 1.2) {
		assert_ok(send_note(ends.a, TP_CONTROL, "alive", &err), &err);
		assert_ok(receive_note(ends.b, TP_CONTROL, heard, &err), &err);
	}
	assert_ok(send_note(ends.a, 1, "at last", &err), &err);
	task_join(&waits);
	assert_ok(waits.rc, &waits.err);
	part(&ends);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bandwidth),
		cmocka_unit_test(test_bandwidth_changes_at_once),
		cmocka_unit_test(test_shutdown_wakes_everybody),
		cmocka_unit_test(test_shutdown_wakes_opening),
		cmocka_unit_test(test_peer_dies_in_a_frame),
		cmocka_unit_test(test_last_words_arrive),
		cmocka_unit_test(test_last_words_arrive_unread),
		cmocka_unit_test(test_silence_is_noticed),
		cmocka_unit_test(test_other_channels_count),
	};

	return run_for_all_kinds("limits", tests, sizeof(tests) / sizeof(tests[0]));
}
