/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a transport makes of bytes from outside: the preamble of a connection, and a stream as a
 * file session gives it to the readers of two channels. Checksums are mended first, because a
 * mutation hardly ever has the right ones; nobody may crash, and nobody may wait for ever.
 */
#include <endian.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/error.h"
#include "common/file.h"
#include "tests/fuzz/fuzz.h"
#include "transport/file/file.h"
#include "transport/tcp/tcp.h"
#include "transport/transport.h"

/* ------------------------------------------------------------------ preamble */

static void try_preamble(const uint8_t *data)
{
	uint8_t bytes[TP_TCP_PREAMBLE_SIZE], again[TP_TCP_PREAMBLE_SIZE];
	struct tp_tcp_preamble preamble;
	uint32_t sum;

	memcpy(bytes, data, sizeof(bytes));
	memcpy(bytes, "XMCONNECT\0\0", 12);
	sum = htole32((uint32_t)pf_checksum(bytes, sizeof(bytes) - sizeof(sum)));
	memcpy(bytes + sizeof(bytes) - sizeof(sum), &sum, sizeof(sum));
	if (tp_tcp_preamble_decode(bytes, &preamble, NULL))
		return;
	/* There is one way to say a thing. */
	tp_tcp_preamble_encode(&preamble, again);
	if (memcmp(bytes, again, sizeof(bytes)) != 0)
		abort();
}

/* ------------------------------------------------------------------ stream */

/* Fields of a frame header that have to be found even where it makes no sense (docs/stream.md). */
enum { AT_BODY_SIZE = 12, AT_PAYLOAD_SIZE = 16, AT_HEADER_SUM = 20, AT_BODY_SUM = 32 };

static uint32_t read_u32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

/* Gives every frame the checksums of what it says. */
static void mend(uint8_t *data, size_t size)
{
	size_t at = PF_STREAM_HEADER_SIZE;

	pf_stream_header_encode(data);
	while (size - at >= PF_FRAME_HEADER_SIZE) {
		uint8_t *header = data + at;
		uint64_t body_size = read_u32(header + AT_BODY_SIZE);
		uint64_t payload_size = read_u32(header + AT_PAYLOAD_SIZE);
		uint64_t body_sum;
		uint32_t sum;

		at += PF_FRAME_HEADER_SIZE;
		if (body_size <= size - at) {
			body_sum = htole64(pf_checksum(data + at, body_size));
			memcpy(header + AT_BODY_SUM, &body_sum, sizeof(body_sum));
		}
		memset(header + AT_HEADER_SUM, 0, sizeof(sum));
		sum = htole32((uint32_t)pf_checksum(header, PF_FRAME_HEADER_SIZE));
		memcpy(header + AT_HEADER_SUM, &sum, sizeof(sum));
		if (body_size + payload_size > size - at)
			return;
		at += body_size + payload_size;
	}
}

/* Reads a channel until it ends, one way or the other. */
static void read_channel(struct tp_session *session, unsigned channel)
{
	struct xm_error err = XM_ERROR_INIT;
	struct pf_header header = {0};
	const void *body = NULL;

	while (tp_receive(session, channel, &header, &body, &err) == 0) {
		struct iovec part = {.iov_len = header.payload_size};
		int rc;

		if (header.channel != channel || header.body_size > PF_BODY_MAX ||
		    header.payload_size > PF_PAYLOAD_MAX)
			abort();
		if (header.payload_size == 0)
			continue;
		part.iov_base = malloc(part.iov_len);
		if (!part.iov_base)
			abort();
		rc = tp_receive_payload(session, channel, &part, 1, &err);
		free(part.iov_base);
		if (rc)
			break;
	}
	if (err.kind != XM_KIND_DATA && err.kind != XM_KIND_CANCELLED)
		abort();
	/* As the engine does: a channel's failure ends the session. */
	tp_shutdown(session);
}

static void *read_pages(void *session)
{
	read_channel(session, 1);
	return NULL;
}

static void try_stream(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz_session", MFD_CLOEXEC);
	struct tp_session *session = NULL;
	uint8_t *mended = malloc(size);
	pthread_t thread;

	if (fd < 0 || !mended)
		abort();
	memcpy(mended, data, size);
	mend(mended, size);
	if (xm_write_full(fd, mended, size) || lseek(fd, 0, SEEK_SET) ||
	    tp_file_open(fd, &session, NULL) || tp_open_channels(session, 1, NULL) ||
	    pthread_create(&thread, NULL, read_pages, session))
		abort();
	read_channel(session, TP_CONTROL);
	pthread_join(thread, NULL);
	tp_destroy(session);
	free(mended);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size >= TP_TCP_PREAMBLE_SIZE)
		try_preamble(data);
	if (size >= PF_STREAM_HEADER_SIZE)
		try_stream(data, size);
	return 0;
}
