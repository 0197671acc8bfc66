/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a stream to a file: frames in the order of sending, small ones gathered. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "transport/cursor.h"
#include "transport/file/file.h"
#include "transport/file/internal.h"

/*
 * Small parts are copied into one buffer; a large payload goes from where it lies, in one gathered
 * write behind what the buffer holds, so pages are never copied once more.
 */
#define GATHER_SIZE (1u << 20)
#define DIRECT_MIN  (64u << 10)

/* The disk is told to start every so often, so that tp_finish() has little to wait for. */
#define WRITEBACK_STEP (8u << 20)

struct writer {
	struct tp_session base;
	int fd; /* borrowed, constant */

	pthread_mutex_t lock; /* held over whole frames: it is what puts them in order */
	/* Guarded by `lock`. */
	uint8_t *gathered; /* GATHER_SIZE bytes */
	size_t gathered_size;
	off_t written;		/* where in the file we are; -1 where there is no such thing */
	off_t writeback_from;	/* up to where the disk was told to start */
	struct xm_error failed; /* the first failure, which the file never recovers from */
};

static struct writer *writer_of(struct tp_session *session)
{
	return (struct writer *)session;
}

static int explain_write(struct writer *writer, int code, struct xm_error *err)
{
	const char *name = writer->base.description;

	if (code == -ENOSPC || code == -EDQUOT || code == -EFBIG)
		return xm_fail_errno(
			err, XM_KIND_STORAGE, code,
			"Writing %s failed; make room or save elsewhere, the file is not complete",
			name);
	return xm_fail_errno(err, XM_KIND_STORAGE, code, "Writing %s failed", name);
}

/* With the lock held, as are all below. Only a hint: what goes wrong on the disk, fsync() tells. */
static void start_writeback(struct writer *writer, size_t size)
{
	if (writer->written < 0)
		return;
	writer->written += (off_t)size;
	if (writer->written - writer->writeback_from < WRITEBACK_STEP)
		return;
	sync_file_range(writer->fd, writer->writeback_from,
			writer->written - writer->writeback_from, SYNC_FILE_RANGE_WRITE);
	writer->writeback_from = writer->written;
}

static int write_parts(struct writer *writer, const struct iovec *parts, int count)
{
	struct tp_cursor cursor = tp_cursor_start(parts, count);

	while (cursor.left > 0) {
		struct iovec window[4];
		int used = tp_cursor_window(&cursor, window, 4);
		ssize_t done = writev(writer->fd, window, used);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		if (done == 0)
			return -EIO;
		tp_cursor_advance(&cursor, (size_t)done);
		tp_session_sent(&writer->base, (size_t)done);
		start_writeback(writer, (size_t)done);
	}
	return 0;
}

static int flush_with(struct writer *writer, const struct iovec *payload)
{
	struct iovec parts[2] = {{writer->gathered, writer->gathered_size}};
	int count = 1;

	if (payload)
		parts[count++] = *payload;
	writer->gathered_size = 0;
	return write_parts(writer, parts, count);
}

static int put_part(struct writer *writer, const struct iovec *part)
{
	struct tp_cursor cursor = tp_cursor_start(part, 1);

	if (part->iov_len >= DIRECT_MIN)
		return flush_with(writer, part);
	if (writer->gathered_size + part->iov_len > GATHER_SIZE) {
		int rc = flush_with(writer, NULL);

		if (rc)
			return rc;
	}
	writer->gathered_size +=
		tp_cursor_drain(&cursor, writer->gathered + writer->gathered_size, part->iov_len);
	return 0;
}

/* Once a write has failed the file has a hole at its end, and nothing after that can be right. */
static int settle(struct writer *writer, int rc, struct xm_error *err)
{
	if (rc && !writer->failed.code)
		explain_write(writer, rc, &writer->failed);
	if (writer->failed.code && err)
		*err = writer->failed;
	return writer->failed.code;
}

static int writer_send(struct tp_session *session, unsigned channel, const struct iovec *parts,
		       int count, struct xm_error *err)
{
	struct writer *writer = writer_of(session);
	int rc = 0;

	(void)channel;
	XM_LOCK_GUARD(&writer->lock);
	for (int i = 0; i < count && rc == 0 && !writer->failed.code; i++)
		rc = put_part(writer, &parts[i]);
	return settle(writer, rc, err);
}

static int writer_receive(struct tp_session *session, unsigned channel, const struct iovec *parts,
			  int count, bool at_start, struct xm_error *err)
{
	(void)channel;
	(void)parts;
	(void)count;
	(void)at_start;
	return tp_file_one_way(session, err);
}

static int writer_finish(struct tp_session *session, struct xm_error *err)
{
	struct writer *writer = writer_of(session);
	int rc = 0;

	XM_LOCK_GUARD(&writer->lock);
	if (!writer->failed.code)
		rc = flush_with(writer, NULL);
	/* A pipe has nothing to make durable, and says EINVAL. */
	if (rc == 0 && !writer->failed.code && fsync(writer->fd) && errno != EINVAL)
		rc = -errno;
	return settle(writer, rc, err);
}

static void writer_shutdown(struct tp_session *session)
{
	(void)session; /* nobody waits for anybody here */
}

static void writer_destroy(struct tp_session *session)
{
	struct writer *writer = writer_of(session);

	tp_session_finish(session);
	pthread_mutex_destroy(&writer->lock);
	free(writer->gathered);
	free(writer);
}

static const struct tp_ops writer_ops = {
	.name = "file",
	.channels_max = 1,
	.open_channels = tp_file_open_channels,
	.send = writer_send,
	.receive = writer_receive,
	.finish = writer_finish,
	.shutdown = writer_shutdown,
	.destroy = writer_destroy,
};

int tp_file_create(int fd, struct tp_session **ret_session, struct xm_error *err)
{
	cleanup_free struct writer *writer = calloc(1, sizeof(*writer));
	char description[TP_DESCRIPTION_MAX];

	if (writer)
		writer->gathered = malloc(GATHER_SIZE);
	if (!writer || !writer->gathered)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "Out of memory for writing a file");
	tp_file_describe(fd, description);
	tp_session_init(&writer->base, &writer_ops, true, description);
	pthread_mutex_init(&writer->lock, NULL);
	writer->fd = fd;
	writer->written = writer->writeback_from = lseek(fd, 0, SEEK_CUR);
	*ret_session = &xm_steal(&writer)->base;
	return 0;
}
