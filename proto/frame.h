/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The framing of a stream: the part of docs/stream.md that lies outside protobuf.
 *
 * A stream is a stream header, then frames. A frame is a fixed header, a body (one protobuf
 * message) and a payload (pages or state, out of band). Everything is little-endian. Lengths are
 * capped by frame type when a header is decoded, before anybody allocates; checksums are XXH3-64.
 *
 * transport/ knows this header and nothing else of the format; messages are in proto/messages.h.
 */
#ifndef XM_PROTO_FRAME_H
#define XM_PROTO_FRAME_H

#include <stddef.h>
#include <stdint.h>

struct xm_error;

#define PF_STREAM_HEADER_SIZE 64
#define PF_FRAME_HEADER_SIZE  48

#define PF_VERSION_MAJOR 1
#define PF_VERSION_MINOR 0

/* Caps of any frame; pf_header_decode() applies tighter ones by type. */
#define PF_BODY_MAX    (1u << 20)
#define PF_PAYLOAD_MAX (16u << 20)

/* Wire numbers: never renumbered, never reused. */
enum pf_type {
	PF_TYPE_NONE = 0,
	PF_TYPE_HELLO = 1,	/* source: who, what, how many channels */
	PF_TYPE_STATIC = 2,	/* source: configuration, memory map, platform */
	PF_TYPE_STATE = 3,	/* source: state sections; payload is their bytes, end to end */
	PF_TYPE_READY = 4,	/* target: RAM may come */
	PF_TYPE_REFUSE = 5,	/* target: it may not, and why */
	PF_TYPE_PAGES = 6,	/* source, page channels: runs of pages */
	PF_TYPE_SEAL = 7,	/* source: a round is complete; its totals and digest */
	PF_TYPE_SEALED = 8,	/* target: all of that round is applied and agrees */
	PF_TYPE_END = 9,	/* source: everything is sent */
	PF_TYPE_PREPARED = 10,	/* target: checked and loaded, not running */
	PF_TYPE_COMMIT = 11,	/* source: run it; I never will again by myself */
	PF_TYPE_COMMITTED = 12, /* target: it runs here */
	PF_TYPE_ABORT = 13,	/* either: I give up, and why */
	PF_TYPE_QUERY = 14,	/* anybody: what became of this session? */
	PF_TYPE_OUTCOME = 15,	/* the answer */
};

enum pf_flags {
	PF_FLAG_MANDATORY = 1 << 0, /* who does not know the type must end the stream */
};

struct pf_header {
	uint16_t type; /* enum pf_type, or one that we do not know */
	uint16_t flags;
	uint16_t channel;
	uint64_t seq; /* counts a channel's frames from 1, in each direction */
	uint32_t body_size;
	uint32_t payload_size;
	uint64_t body_sum;    /* XXH3-64 of the body */
	uint64_t payload_sum; /* XXH3-64 of the payload; of a PAGES frame, of its page hashes */
};

/* Writes PF_FRAME_HEADER_SIZE bytes, header checksum included. */
void pf_header_encode(const struct pf_header *header, uint8_t *ret_bytes);

/*
 * Reads PF_FRAME_HEADER_SIZE bytes. Kind DATA when the magic or the header's checksum is wrong, a
 * length is over its type's cap, the type is 0, or unknown and MANDATORY, the channel is above 16,
 * or a flag is set that may not be ignored. An unknown type without MANDATORY is returned: the
 * caller skips its body and payload. Sequence numbers and whether a type belongs on its channel are
 * for the caller to check.
 */
int pf_header_decode(const uint8_t *bytes, struct pf_header *ret_header, struct xm_error *err);

/* The stream header: 64 bytes at the start of the control channel, or of a file. */
void pf_stream_header_encode(uint8_t *ret_bytes);
int pf_stream_header_decode(const uint8_t *bytes, struct xm_error *err);

/* XXH3-64 of a body or a payload, as the header carries it. */
uint64_t pf_checksum(const void *data, size_t size);

/* "PAGES" and so on; "type 77" is written by the caller for NULL. */
const char *pf_type_name(unsigned type);

#endif
