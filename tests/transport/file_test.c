/* SPDX-License-Identifier: Apache-2.0 */
/* A session on a file: order across channels, truncation everywhere, a full disk. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/file.h"
#include "tests/transport/harness.h"
#include "transport/file/file.h"

static int new_file(void)
{
	int fd = memfd_create("transport file test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static struct tp_session *create(int fd)
{
	struct xm_error err = XM_ERROR_INIT;
	struct tp_session *session = NULL;

	assert_ok(tp_file_create(fd, &session, &err), &err);
	assert_ok(tp_open_channels(session, 1, &err), &err);
	return session;
}

static struct tp_session *open_again(int fd)
{
	struct xm_error err = XM_ERROR_INIT;
	struct tp_session *session = NULL;

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_ok(tp_file_open(fd, &session, &err), &err);
	assert_ok(tp_open_channels(session, 1, &err), &err);
	return session;
}

static void finish(struct tp_session *session)
{
	struct xm_error err = XM_ERROR_INIT;

	assert_ok(tp_finish(session, &err), &err);
	tp_destroy(session);
}

/* Rounds of pages on channel 1, each ended by a note on channel 0. */
static void write_rounds(struct tp_session *session, unsigned rounds, uint32_t size)
{
	struct xm_error err = XM_ERROR_INIT;
	uint8_t *payload = calloc(1, size + 1);

	assert_ok(send_note(session, TP_CONTROL, "begin", &err), &err);
	for (unsigned round = 1; round <= rounds; round++) {
		struct tp_frame frame = {.type = PF_TYPE_PAGES,
					 .flags = PF_FLAG_MANDATORY,
					 .body = &round,
					 .body_size = sizeof(round)};

		memset(payload, (int)round, size);
		for (unsigned i = 0; i < round % 4; i++)
			assert_ok(tp_send(session, 1, &frame, payload, size, &err), &err);
		assert_ok(send_note(session, TP_CONTROL, "seal", &err), &err);
	}
	free(payload);
}

struct pages_reader {
	struct task task;
	uint32_t size;
	unsigned frames; /* guarded by lock */
	pthread_mutex_t lock;
};

static int read_pages(struct task *task)
{
	struct pages_reader *reader = (struct pages_reader *)task;
	uint8_t *payload = malloc(reader->size);
	struct iovec part_of = {payload, reader->size};
	int rc = 0;

	while (rc == 0) {
		struct pf_header header;
		const void *body;
		unsigned round = 0;

		rc = tp_receive(task->session, 1, &header, &body, &task->err);
		if (rc)
			break;
		memcpy(&round, body, sizeof(round));
		pthread_mutex_lock(&reader->lock);
		reader->frames++;
		pthread_mutex_unlock(&reader->lock);
		rc = tp_receive_payload(task->session, 1, &part_of, 1, &task->err);
		for (uint32_t i = 0; rc == 0 && i < reader->size; i++)
			if (payload[i] != (uint8_t)round)
				rc = xm_fail(&task->err, XM_KIND_DATA, -EBADMSG, "byte %u", i);
	}
	free(payload);
	return rc;
}

/* When a seal is read, all pages before it were taken, and none after it. */
static void test_order(void **state)
{
	static const uint32_t sizes[] = {1, 5000, 70000, 256 << 10};

	(void)state;
	for (unsigned s = 0; s < 4; s++) {
		int fd = new_file();
		struct tp_session *session = create(fd);
		struct xm_error err = XM_ERROR_INIT;
		struct pages_reader reader = {.task.run = read_pages, .size = sizes[s]};
		unsigned expected = 0;
		char heard[64];

		write_rounds(session, 20, sizes[s]);
		finish(session);
		session = open_again(fd);
		pthread_mutex_init(&reader.lock, NULL);
		reader.task.session = session;
		task_start(&reader.task);
		assert_ok(receive_note(session, TP_CONTROL, heard, &err), &err);
		for (unsigned round = 1; round <= 20; round++) {
			assert_ok(receive_note(session, TP_CONTROL, heard, &err), &err);
			expected += round % 4;
			pthread_mutex_lock(&reader.lock);
			/* All of this round were taken, and none but the next round's by now. */
			assert_in_range(reader.frames, expected, expected + (round + 1) % 4);
			pthread_mutex_unlock(&reader.lock);
		}
		assert_int_equal(receive_note(session, TP_CONTROL, heard, &err), -ENODATA);
		assert_int_equal(err.kind, XM_KIND_DATA);
		task_join(&reader.task);
		assert_int_equal(reader.task.rc, -ENODATA);
		assert_int_equal(reader.frames, expected);
		pthread_mutex_destroy(&reader.lock);
		tp_destroy(session);
		close(fd);
	}
}

static int discard_pages(struct task *task)
{
	int rc = 0;

	while (rc == 0) {
		uint8_t payload[64];
		struct iovec part_of = {payload, 0};
		struct pf_header header;
		const void *body;

		rc = tp_receive(task->session, 1, &header, &body, &task->err);
		part_of.iov_len = header.payload_size;
		if (rc == 0)
			rc = tp_receive_payload(task->session, 1, &part_of, 1, &task->err);
	}
	return rc;
}

static void check_truncated(int whole, off_t size)
{
	static uint8_t copy[8192];
	struct xm_error err = XM_ERROR_INIT;
	int fd = new_file();
	struct task pages = {.run = discard_pages};
	struct tp_session *session;
	char heard[64];
	int rc = 0;

	assert_int_equal(pread(whole, copy, (size_t)size, 0), size);
	assert_int_equal(xm_write_full(fd, copy, (size_t)size), 0);
	session = open_again(fd);
	pages.session = session;
	task_start(&pages);
	while (rc == 0)
		rc = receive_note(session, TP_CONTROL, heard, &err);
	task_join(&pages);
	assert_int_equal(rc, -ENODATA);
	assert_int_equal(err.kind, XM_KIND_DATA);
	assert_int_equal(pages.rc, -ENODATA);
	tp_destroy(session);
	close(fd);
}

/* Wherever the file was cut, both readers learn it, and neither waits for ever. */
static void test_truncated_anywhere(void **state)
{
	int fd = new_file();
	struct tp_session *session = create(fd);
	off_t size;

	(void)state;
	write_rounds(session, 3, 33);
	finish(session);
	size = lseek(fd, 0, SEEK_END);
	assert_in_range(size, 500, 8192);
	for (off_t cut = 0; cut <= size; cut++)
		check_truncated(fd, cut);
	close(fd);
}

static void test_no_stream(void **state)
{
	struct xm_error err = XM_ERROR_INIT;
	uint8_t garbage[4096];
	int fd = new_file();
	struct tp_session *session;
	char heard[64];

	(void)state;
	memset(garbage, 0x5a, sizeof(garbage));
	assert_int_equal(xm_write_full(fd, garbage, sizeof(garbage)), 0);
	session = open_again(fd);
	assert_true(receive_note(session, TP_CONTROL, heard, &err) < 0);
	assert_int_equal(err.kind, XM_KIND_DATA);
	tp_destroy(session);
	close(fd);
}

static void test_one_way(void **state)
{
	struct xm_error err = XM_ERROR_INIT;
	int fd = new_file();
	struct tp_session *session = create(fd);
	char heard[64];

	(void)state;
	assert_false(tp_can_answer(session));
	assert_int_equal(tp_channels_max(session), 1);
	assert_int_equal(receive_note(session, TP_CONTROL, heard, &err), -EOPNOTSUPP);
	finish(session);
	session = open_again(fd);
	assert_int_equal(send_note(session, TP_CONTROL, "no", &err), -EOPNOTSUPP);
	tp_destroy(session);
	close(fd);
}

static int await_note(struct task *task)
{
	char heard[64];

	return receive_note(task->session, task->channel, heard, &task->err);
}

/* Channel 1 waits for a frame of channel 0 that nobody takes. */
static void test_shutdown_wakes(void **state)
{
	struct task waits = {.run = await_note, .channel = 1};
	int fd = new_file();
	struct tp_session *session = create(fd);

	(void)state;
	write_rounds(session, 1, 10);
	finish(session);
	session = open_again(fd);
	waits.session = session;
	task_start(&waits);
	tp_shutdown(session);
	task_join(&waits);
	assert_int_equal(waits.rc, -ECANCELED);
	assert_int_equal(waits.err.kind, XM_KIND_CANCELLED);
	tp_destroy(session);
	close(fd);
}

/* RLIMIT_FSIZE needs no root and no small disk; the kernel's answer differs in the number only. */
static void test_full(void **state)
{
	struct xm_error err = XM_ERROR_INIT;
	struct rlimit old, small;
	char path[] = "/tmp/xmigrate-file-test-XXXXXX";
	int fd = mkstemp(path);
	struct tp_session *session;
	static uint8_t payload[256 << 10];
	struct tp_frame frame = {.type = PF_TYPE_PAGES, .flags = PF_FLAG_MANDATORY};
	int rc = 0;

	(void)state;
	assert_true(fd >= 0);
	unlink(path);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 1000000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	session = create(fd);
	assert_ok(send_note(session, TP_CONTROL, "begin", &err), &err);
	for (int i = 0; i < 8 && rc == 0; i++)
		rc = tp_send(session, 1, &frame, payload, sizeof(payload), &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(rc, -EFBIG);
	assert_int_equal(err.kind, XM_KIND_STORAGE);
	assert_non_null(strstr(err.text, "make room"));
	/* And it stays failed: nothing may call that file complete. */
	assert_int_equal(tp_finish(session, &err), -EFBIG);
	tp_destroy(session);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),	  cmocka_unit_test(test_truncated_anywhere),
		cmocka_unit_test(test_no_stream), cmocka_unit_test(test_one_way),
		cmocka_unit_test(test_full),	  cmocka_unit_test(test_shutdown_wakes),
	};

	return cmocka_run_group_tests_name("a file", tests, NULL, NULL);
}
