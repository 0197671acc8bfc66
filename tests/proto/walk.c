// SPDX-License-Identifier: Apache-2.0
#include "tests/proto/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "proto/frame.h"
#include "proto/messages.h"

/* Something of ours is wrong, whatever the input: no test may survive that. */
static void always(bool condition)
{
	if (!condition)
		abort();
}

/* Decodes; encodes and decodes again what was accepted. */
#define AGAIN(name, finish)                                                                        \
	static int again_##name(const uint8_t *body, size_t size, struct xm_error *err)            \
	{                                                                                          \
		struct pf_buffer buffer = {0};                                                     \
		struct pf_##name first, second;                                                    \
		int rc = pf_##name##_decode(body, size, &first, err);                              \
                                                                                                   \
		if (rc != 0)                                                                       \
			return rc;                                                                 \
		always(pf_##name##_encode(&first, &buffer, err) == 0);                             \
		always(pf_##name##_decode(buffer.data, buffer.size, &second, err) == 0);           \
		pf_buffer_finish(&buffer);                                                         \
		finish(&first);                                                                    \
		finish(&second);                                                                   \
		return 0;                                                                          \
	}

#define NOTHING(message) ((void)(message))

AGAIN(hello, NOTHING)
AGAIN(static, pf_static_finish)
AGAIN(state, pf_state_finish)
AGAIN(refuse, NOTHING)
AGAIN(seal, NOTHING)
AGAIN(sealed, NOTHING)
AGAIN(end, NOTHING)
AGAIN(prepared, NOTHING)
AGAIN(commit, NOTHING)
AGAIN(committed, NOTHING)
AGAIN(query, NOTHING)
AGAIN(outcome, NOTHING)

static int again_pages(const uint8_t *body, size_t size, uint32_t payload_size,
		       struct xm_error *err)
{
	static struct pf_run runs[2][PF_RUNS_MAX];
	struct pf_pages first = {.runs = runs[0]}, second = {.runs = runs[1]};
	struct pf_buffer buffer = {0};
	int rc = pf_pages_decode(body, size, payload_size, &first, err);

	if (rc != 0)
		return rc;
	always(pf_pages_encode(&first, &buffer, err) == 0);
	always(pf_pages_decode(buffer.data, buffer.size, payload_size, &second, err) == 0);
	always(first.run_count == second.run_count);
	for (uint32_t i = 0; i < first.run_count; i++)
		always(runs[0][i].first == runs[1][i].first &&
		       runs[0][i].count == runs[1][i].count &&
		       runs[0][i].bytes == runs[1][i].bytes);
	pf_buffer_finish(&buffer);
	return 0;
}

int walk_body(unsigned type, const uint8_t *body, size_t size, uint32_t payload_size,
	      struct xm_error *err)
{
	switch (type) {
	case PF_TYPE_HELLO:
		return again_hello(body, size, err);
	case PF_TYPE_STATIC:
		return again_static(body, size, err);
	case PF_TYPE_STATE:
		return again_state(body, size, err);
	case PF_TYPE_REFUSE:
	case PF_TYPE_ABORT:
		return again_refuse(body, size, err);
	case PF_TYPE_PAGES:
		return again_pages(body, size, payload_size, err);
	case PF_TYPE_SEAL:
		return again_seal(body, size, err);
	case PF_TYPE_SEALED:
		return again_sealed(body, size, err);
	case PF_TYPE_END:
		return again_end(body, size, err);
	case PF_TYPE_PREPARED:
		return again_prepared(body, size, err);
	case PF_TYPE_COMMIT:
		return again_commit(body, size, err);
	case PF_TYPE_COMMITTED:
		return again_committed(body, size, err);
	case PF_TYPE_QUERY:
		return again_query(body, size, err);
	case PF_TYPE_OUTCOME:
		return again_outcome(body, size, err);
	default: /* READY is empty; other types are skipped */
		return 0;
	}
}

static int damaged(const char *what, struct xm_error *err)
{
	return xm_fail(err, XM_KIND_DATA, -EBADMSG, "%s.", what);
}

/* Copied first, because a page is hashed at an address that is aligned. */
static void hash_pages(const uint8_t *bytes, uint32_t count, uint64_t *ret_hashes)
{
	_Alignas(64) uint8_t page[PF_PAGE_SIZE];

	for (uint32_t i = 0; i < count; i++) {
		memcpy(page, bytes + (size_t)i * PF_PAGE_SIZE, PF_PAGE_SIZE);
		ret_hashes[i] = pf_page_hash(page);
	}
}

static int hash_zstd_run(const struct pf_run *run, const uint8_t *payload, uint64_t *ret_hashes,
			 struct xm_error *err)
{
	size_t size = run->count * PF_PAGE_SIZE;
	cleanup_free uint8_t *room = NULL;

	if (ZSTD_findFrameCompressedSize(payload, run->bytes) != run->bytes)
		return damaged("A ZSTD run is not one zstd frame", err);
	room = malloc(size);
	always(room);
	if (ZSTD_decompress(room, size, payload, run->bytes) != size)
		return damaged("A ZSTD run does not yield its pages", err);
	hash_pages(room, run->count, ret_hashes);
	return 0;
}

static uint32_t count_pages(const struct pf_pages *pages)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < pages->run_count; i++)
		count += pages->runs[i].count;
	return count;
}

static int check_pages(const struct pf_header *header, const uint8_t *body, const uint8_t *payload,
		       bool trusting, struct xm_error *err)
{
	static struct pf_run runs[PF_RUNS_MAX];
	struct pf_pages pages = {.runs = runs};
	cleanup_free uint64_t *hashes = NULL;
	size_t done = 0;
	int rc;

	rc = pf_pages_decode(body, header->body_size, header->payload_size, &pages, err);
	if (rc != 0)
		return rc;
	hashes = calloc(count_pages(&pages), sizeof(*hashes));
	always(hashes);
	for (uint32_t i = 0; i < pages.run_count; i++) {
		if (runs[i].encoding == PF_ENCODING_RAW)
			hash_pages(payload, runs[i].count, hashes + done);
		if (runs[i].encoding == PF_ENCODING_ZSTD)
			rc = hash_zstd_run(&runs[i], payload, hashes + done, err);
		if (rc != 0)
			return rc;
		payload += runs[i].bytes;
		done += runs[i].count;
	}
	if (!trusting && pf_checksum(hashes, done * sizeof(*hashes)) != header->payload_sum)
		return damaged("The page hashes' checksum is wrong", err);
	return 0;
}

static int check_frame(const struct pf_header *header, const uint8_t *body, const uint8_t *payload,
		       bool trusting, struct xm_error *err)
{
	int rc;

	if (!pf_type_name(header->type))
		return 0;
	if (!trusting && pf_checksum(body, header->body_size) != header->body_sum)
		return damaged("A body's checksum is wrong", err);
	rc = walk_body(header->type, body, header->body_size, header->payload_size, err);
	if (rc != 0)
		return rc;
	if (header->type == PF_TYPE_PAGES)
		return check_pages(header, body, payload, trusting, err);
	if (!trusting && pf_checksum(payload, header->payload_size) != header->payload_sum)
		return damaged("A payload's checksum is wrong", err);
	return 0;
}

/* Makes a frame header's checksum right, as docs/stream.md defines it. */
static void mend(uint8_t *header)
{
	uint64_t sum;

	memset(header + 20, 0, 4);
	sum = pf_checksum(header, PF_FRAME_HEADER_SIZE);
	for (int i = 0; i < 4; i++)
		header[20 + i] = (uint8_t)(sum >> 8 * i);
}

static int read_header(const uint8_t *at, bool trusting, struct pf_header *ret_header,
		       struct xm_error *err)
{
	uint8_t bytes[PF_FRAME_HEADER_SIZE];

	memcpy(bytes, at, sizeof(bytes));
	if (trusting)
		mend(bytes);
	return pf_header_decode(bytes, ret_header, err);
}

int walk_stream(const uint8_t *stream, size_t size, bool trusting, struct xm_error *err)
{
	uint64_t seqs[PF_CHANNELS_MAX + 1] = {0};
	size_t at = PF_STREAM_HEADER_SIZE;
	int rc;

	if (size < at)
		return damaged("The stream is shorter than its header", err);
	rc = pf_stream_header_decode(stream, err);
	if (rc != 0 && !trusting)
		return rc;
	while (at < size) {
		struct pf_header header;

		if (size - at < PF_FRAME_HEADER_SIZE)
			return damaged("The stream ends inside a frame header", err);
		rc = read_header(stream + at, trusting, &header, err);
		if (rc != 0)
			return rc;
		at += PF_FRAME_HEADER_SIZE;
		if (header.seq != ++seqs[header.channel] && !trusting)
			return damaged("A frame is missing on its channel", err);
		if (size - at < (size_t)header.body_size + header.payload_size)
			return damaged("The stream ends inside a frame", err);
		rc = check_frame(&header, stream + at, stream + at + header.body_size, trusting,
				 err);
		if (rc != 0)
			return rc;
		at += header.body_size + header.payload_size;
	}
	return 0;
}
