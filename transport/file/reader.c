/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a stream from a file: one order of frames, handed to the readers of two channels. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "transport/cursor.h"
#include "transport/file/file.h"
#include "transport/file/internal.h"

/* Headers and bodies come from here, and what little of a payload was read ahead with them. */
#define AHEAD_SIZE 4096u

/*
 * Whose turn it is. The piece of the file that comes next belongs to one channel; `left` counts
 * down while that channel's reader takes it, and at 0 the next frame's header is looked at by
 * whoever comes first. The first piece is the stream header, of channel 0.
 */
struct reader {
	struct tp_session base;
	int fd; /* borrowed, constant */

	pthread_mutex_t lock;
	pthread_cond_t turn_changed;
	/* Guarded by `lock`. */
	unsigned turn; /* the channel that the next piece belongs to, if left > 0 */
	uint64_t left;
	bool peeking; /* somebody is looking at the next header */
	struct xm_error
		failed; /* the end of the file, or what is wrong with it, for both channels */

	/* Used by the thread that is peeking, or whose turn it is. */
	uint8_t ahead[PF_FRAME_HEADER_SIZE + AHEAD_SIZE]; /* with room for a header put back */
	size_t ahead_start;
	size_t ahead_size;
};

static struct reader *reader_of(struct tp_session *session)
{
	return (struct reader *)session;
}

static int explain_end(struct reader *reader, bool at_start, struct xm_error *err)
{
	return xm_fail(err, XM_KIND_DATA, -ENODATA, "%s ends %s", reader->base.description,
		       at_start ? "here" : "in the middle of a frame: it was cut short");
}

/* The next bytes of the file, which may end short of the parts. */
static int read_some(struct reader *reader, const struct tp_cursor *cursor, size_t *ret_size)
{
	struct iovec window[TP_WINDOW_MAX];
	int count = tp_cursor_window(cursor, window, TP_WINDOW_MAX - 1);
	bool whole = cursor->left < AHEAD_SIZE;
	ssize_t size;

	/* Little is wanted: read ahead in the same call. */
	if (whole)
		window[count++] = (struct iovec){reader->ahead, AHEAD_SIZE};
	do
		size = readv(reader->fd, window, count);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		return -errno;
	*ret_size = (size_t)size;
	return 0;
}

static int fill(struct reader *reader, const struct iovec *parts, int count, bool at_start,
		struct xm_error *err)
{
	struct tp_cursor cursor = tp_cursor_start(parts, count);

	while (cursor.left > 0) {
		size_t size = tp_cursor_fill(&cursor, reader->ahead + reader->ahead_start,
					     reader->ahead_size);
		int rc = 0;

		reader->ahead_start += size;
		reader->ahead_size -= size;
		if (size > 0)
			at_start = false;
		if (cursor.left == 0)
			break;
		rc = read_some(reader, &cursor, &size);
		if (rc)
			return xm_fail_errno(err, XM_KIND_STORAGE, rc, "Reading %s failed",
					     reader->base.description);
		if (size == 0)
			return explain_end(reader, at_start, err);
		tp_session_received(&reader->base, size);
		at_start = false;
		if (size > cursor.left) {
			reader->ahead_start = 0;
			reader->ahead_size = size - cursor.left;
			size = cursor.left;
		}
		tp_cursor_advance(&cursor, size);
	}
	return 0;
}

/*
 * Looks at the next frame's header and leaves it where it is. Without the lock: `peeking` keeps
 * everybody else away.
 */
static int peek(struct reader *reader, struct pf_header *ret_header, struct xm_error *err)
{
	uint8_t bytes[PF_FRAME_HEADER_SIZE];
	struct iovec part = {bytes, sizeof(bytes)};
	int rc = fill(reader, &part, 1, true, err);

	if (rc)
		return rc;
	/* Put back in front of what was read ahead, which is AHEAD_SIZE at most. */
	memmove(reader->ahead + sizeof(bytes), reader->ahead + reader->ahead_start,
		reader->ahead_size);
	memcpy(reader->ahead, bytes, sizeof(bytes));
	reader->ahead_start = 0;
	reader->ahead_size += sizeof(bytes);

	rc = pf_header_decode(bytes, ret_header, err);
	if (rc == 0 && ret_header->channel > 1)
		rc = xm_fail(err, XM_KIND_DATA, -EPROTO, "%s has a frame of channel %u",
			     reader->base.description, ret_header->channel);
	return rc;
}

/* With the lock held, which is let go meanwhile. */
static void peek_for_all(struct reader *reader)
{
	struct xm_error failed = XM_ERROR_INIT;
	struct pf_header header = {0};
	int rc;

	reader->peeking = true;
	pthread_mutex_unlock(&reader->lock);
	rc = peek(reader, &header, &failed);
	pthread_mutex_lock(&reader->lock);
	reader->peeking = false;
	if (rc) {
		reader->failed = failed;
	} else {
		reader->turn = header.channel;
		reader->left =
			PF_FRAME_HEADER_SIZE + (uint64_t)header.body_size + header.payload_size;
	}
	pthread_cond_broadcast(&reader->turn_changed);
}

static int wait_turn(struct reader *reader, unsigned channel, struct xm_error *err)
{
	XM_LOCK_GUARD(&reader->lock);
	for (;;) {
		if (reader->failed.code) {
			if (err)
				*err = reader->failed;
			return reader->failed.code;
		}
		if (atomic_load(&reader->base.shut))
			return -ECANCELED; /* tp_receive() has the sentence */
		if (reader->left > 0 && reader->turn == channel)
			return 0;
		if (reader->left == 0 && !reader->peeking)
			peek_for_all(reader);
		else
			pthread_cond_wait(&reader->turn_changed, &reader->lock);
	}
}

static void end_turn(struct reader *reader, uint64_t taken, int rc, const struct xm_error *failed)
{
	XM_LOCK_GUARD(&reader->lock);
	reader->left -= taken;
	if (rc)
		reader->failed = *failed;
	if (rc || reader->left == 0)
		pthread_cond_broadcast(&reader->turn_changed);
}

static int reader_receive(struct tp_session *session, unsigned channel, const struct iovec *parts,
			  int count, bool at_start, struct xm_error *err)
{
	struct reader *reader = reader_of(session);
	struct xm_error failed = XM_ERROR_INIT;
	int rc = wait_turn(reader, channel, err);

	if (rc)
		return rc;
	rc = fill(reader, parts, count, at_start, &failed);
	end_turn(reader, tp_cursor_start(parts, count).left, rc, &failed);
	if (rc && err)
		*err = failed;
	return rc;
}

static int reader_send(struct tp_session *session, unsigned channel, const struct iovec *parts,
		       int count, struct xm_error *err)
{
	(void)channel;
	(void)parts;
	(void)count;
	return tp_file_one_way(session, err);
}

static void reader_shutdown(struct tp_session *session)
{
	struct reader *reader = reader_of(session);

	XM_LOCK_GUARD(&reader->lock);
	pthread_cond_broadcast(&reader->turn_changed);
}

static void reader_destroy(struct tp_session *session)
{
	struct reader *reader = reader_of(session);

	tp_session_finish(session);
	pthread_cond_destroy(&reader->turn_changed);
	pthread_mutex_destroy(&reader->lock);
	free(reader);
}

static const struct tp_ops reader_ops = {
	.name = "file",
	.channels_max = 1,
	.open_channels = tp_file_open_channels,
	.send = reader_send,
	.receive = reader_receive,
	.shutdown = reader_shutdown,
	.destroy = reader_destroy,
};

int tp_file_open(int fd, struct tp_session **ret_session, struct xm_error *err)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	char description[TP_DESCRIPTION_MAX];

	if (!reader)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "Out of memory for reading a file");
	tp_file_describe(fd, description);
	tp_session_init(&reader->base, &reader_ops, false, description);
	pthread_mutex_init(&reader->lock, NULL);
	pthread_cond_init(&reader->turn_changed, NULL);
	reader->fd = fd;
	reader->turn = TP_CONTROL;
	reader->left = PF_STREAM_HEADER_SIZE;
	*ret_session = &reader->base;
	return 0;
}
