// SPDX-License-Identifier: Apache-2.0
#include "proto/frame.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "common/error.h"
#include "proto/body.h"
#include "proto/messages.h"
#include "proto/variant.h"

#define STREAM_MAGIC	"XMSTREAM"
#define FRAME_MAGIC	"XMFR"
#define BYTE_ORDER_MARK 0x01020304u
#define PRODUCER	"xmigrate " XM_VERSION

/* Bits 8 to 15: who does not know one of them must not go on. */
#define FLAGS_CRITICAL 0xff00u

/* As they lie on the wire, all fields little-endian. */
struct wire_stream_header {
	char magic[8];
	uint16_t major;
	uint16_t minor;
	uint32_t byte_order;
	char producer[32];
	uint8_t reserved[12];
	uint32_t checksum;
};

struct wire_frame_header {
	char magic[4];
	uint16_t type;
	uint16_t flags;
	uint16_t channel;
	uint16_t reserved;
	uint32_t body_size;
	uint32_t payload_size;
	uint32_t header_sum;
	uint64_t seq;
	uint64_t body_sum;
	uint64_t payload_sum;
};

static_assert(sizeof(struct wire_stream_header) == PF_STREAM_HEADER_SIZE, "no padding");
static_assert(sizeof(struct wire_frame_header) == PF_FRAME_HEADER_SIZE, "no padding");
static_assert(sizeof(PRODUCER) <= sizeof(((struct wire_stream_header *)0)->producer), "it fits");

struct type_info {
	const char *name;
	uint32_t body_max;
	uint32_t payload_max;
};

#define KIB 1024u

static const struct type_info types[] = {
	[PF_TYPE_HELLO] = {"HELLO", 1 * KIB, 0},
	[PF_TYPE_STATIC] = {"STATIC", PF_BODY_MAX, PF_PAYLOAD_MAX},
	[PF_TYPE_STATE] = {"STATE", 64 * KIB, PF_PAYLOAD_MAX},
	[PF_TYPE_READY] = {"READY", 1 * KIB, 0},
	[PF_TYPE_REFUSE] = {"REFUSE", 2 * KIB, 0},
	[PF_TYPE_PAGES] = {"PAGES", 128 * KIB, PF_PAYLOAD_MAX},
	[PF_TYPE_SEAL] = {"SEAL", 1 * KIB, 0},
	[PF_TYPE_SEALED] = {"SEALED", 1 * KIB, 0},
	[PF_TYPE_END] = {"END", 1 * KIB, 0},
	[PF_TYPE_PREPARED] = {"PREPARED", 1 * KIB, 0},
	[PF_TYPE_COMMIT] = {"COMMIT", 1 * KIB, 0},
	[PF_TYPE_COMMITTED] = {"COMMITTED", 1 * KIB, 0},
	[PF_TYPE_ABORT] = {"ABORT", 2 * KIB, 0},
	[PF_TYPE_QUERY] = {"QUERY", 1 * KIB, 0},
	[PF_TYPE_OUTCOME] = {"OUTCOME", 2 * KIB, 0},
};

static const struct type_info *type_info(unsigned type)
{
	if (type == PF_TYPE_NONE || type >= sizeof(types) / sizeof(types[0]))
		return NULL;
	return &types[type];
}

const char *pf_type_name(unsigned type)
{
	const struct type_info *info = type_info(type);

	return info ? info->name : NULL;
}

uint32_t pf_body_cap(unsigned type)
{
	const struct type_info *info = type_info(type);

	return info ? info->body_max : PF_BODY_MAX;
}

uint32_t pf_payload_cap(unsigned type)
{
	const struct type_info *info = type_info(type);

	return info ? info->payload_max : PF_PAYLOAD_MAX;
}

uint64_t pf_checksum(const void *data, size_t size)
{
	return pf_variant()->checksum(data, size);
}

static uint32_t header_sum(struct wire_frame_header wire)
{
	wire.header_sum = 0;
	return (uint32_t)pf_checksum(&wire, sizeof(wire));
}

void pf_header_encode(const struct pf_header *header, uint8_t *ret_bytes)
{
	struct wire_frame_header wire = {
		.type = htole16(header->type),
		.flags = htole16(header->flags),
		.channel = htole16(header->channel),
		.body_size = htole32(header->body_size),
		.payload_size = htole32(header->payload_size),
		.seq = htole64(header->seq),
		.body_sum = htole64(header->body_sum),
		.payload_sum = htole64(header->payload_sum),
	};

	memcpy(wire.magic, FRAME_MAGIC, sizeof(wire.magic));
	wire.header_sum = htole32(header_sum(wire));
	memcpy(ret_bytes, &wire, sizeof(wire));
}

/* The header's checksum was right: it says what its sender meant. May we go on with that? */
static int check_header(const struct pf_header *header, struct xm_error *err)
{
	const struct type_info *info = type_info(header->type);

	if (header->type == PF_TYPE_NONE)
		return xm_fail(err, XM_KIND_DATA, -EPROTO,
			       "A frame has type 0, which no frame has: the sender has a defect.");
	if (header->channel > PF_CHANNELS_MAX)
		return xm_fail(err, XM_KIND_DATA, -EPROTO,
			       "A frame of type %u says channel %u; there are at most %u.",
			       header->type, header->channel, PF_CHANNELS_MAX);
	if (header->flags & FLAGS_CRITICAL)
		return xm_fail(
			err, XM_KIND_DATA, -EPROTONOSUPPORT,
			"A frame of type %u has flags 0x%04x, which this version does not know. "
			"The sender is newer: upgrade this host.",
			header->type, header->flags);
	if (!info && header->flags & PF_FLAG_MANDATORY)
		return xm_fail(err, XM_KIND_DATA, -EPROTONOSUPPORT,
			       "A frame has type %u, which this version does not know and may not "
			       "skip. The sender is newer: upgrade this host.",
			       header->type);
	if (header->body_size > pf_body_cap(header->type))
		return xm_fail(err, XM_KIND_DATA, -EMSGSIZE,
			       "A frame of type %u says it has a body of %u bytes; at most %u are "
			       "allowed.",
			       header->type, header->body_size, pf_body_cap(header->type));
	if (header->payload_size > pf_payload_cap(header->type))
		return xm_fail(
			err, XM_KIND_DATA, -EMSGSIZE,
			"A frame of type %u says it has a payload of %u bytes; at most %u are "
			"allowed.",
			header->type, header->payload_size, pf_payload_cap(header->type));
	return 0;
}

int pf_header_decode(const uint8_t *bytes, struct pf_header *ret_header, struct xm_error *err)
{
	struct wire_frame_header wire;
	struct pf_header header;
	int rc;

	memcpy(&wire, bytes, sizeof(wire));
	if (memcmp(wire.magic, FRAME_MAGIC, sizeof(wire.magic)) != 0)
		return xm_fail(
			err, XM_KIND_DATA, -EBADMSG,
			"There is no frame where one should begin: the stream was damaged or "
			"cut.");
	if (le32toh(wire.header_sum) != header_sum(wire))
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "A frame header's checksum is wrong: the stream was damaged.");
	header = (struct pf_header){
		.type = le16toh(wire.type),
		.flags = le16toh(wire.flags),
		.channel = le16toh(wire.channel),
		.seq = le64toh(wire.seq),
		.body_size = le32toh(wire.body_size),
		.payload_size = le32toh(wire.payload_size),
		.body_sum = le64toh(wire.body_sum),
		.payload_sum = le64toh(wire.payload_sum),
	};
	rc = check_header(&header, err);
	if (rc == 0)
		*ret_header = header;
	return rc;
}

static uint32_t stream_sum(const struct wire_stream_header *wire)
{
	return (uint32_t)pf_checksum(wire, offsetof(struct wire_stream_header, checksum));
}

void pf_stream_header_encode(uint8_t *ret_bytes)
{
	struct wire_stream_header wire = {
		.major = htole16(PF_VERSION_MAJOR),
		.minor = htole16(PF_VERSION_MINOR),
		.byte_order = htole32(BYTE_ORDER_MARK),
		.producer = PRODUCER,
	};

	memcpy(wire.magic, STREAM_MAGIC, sizeof(wire.magic));
	wire.checksum = htole32(stream_sum(&wire));
	memcpy(ret_bytes, &wire, sizeof(wire));
}

/* Printable ASCII, then only zero bytes. */
static bool producer_valid(const char *producer, size_t size)
{
	size_t length = strnlen(producer, size);

	for (size_t i = 0; i < length; i++)
		if (producer[i] < 0x20 || producer[i] > 0x7e)
			return false;
	for (size_t i = length; i < size; i++)
		if (producer[i] != '\0')
			return false;
	return true;
}

/* We are version 1: N - 1 and N - 2, which we would read as well, never existed. */
static_assert(PF_VERSION_MAJOR == 1, "pf_stream_header_decode() reads N, N - 1 and N - 2");

int pf_stream_header_decode(const uint8_t *bytes, struct xm_error *err)
{
	struct wire_stream_header wire;

	memcpy(&wire, bytes, sizeof(wire));
	if (memcmp(wire.magic, STREAM_MAGIC, sizeof(wire.magic)) != 0)
		return xm_fail(
			err, XM_KIND_DATA, -EBADMSG,
			"This is not an xmigrate stream: it does not begin with " STREAM_MAGIC ".");
	if (le32toh(wire.byte_order) != BYTE_ORDER_MARK)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "The stream's byte order mark is 0x%08x: its producer has a defect.",
			       le32toh(wire.byte_order));
	if (le32toh(wire.checksum) != stream_sum(&wire))
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "The stream header's checksum is wrong: the stream was damaged.");
	if (le16toh(wire.major) != PF_VERSION_MAJOR)
		return xm_fail(
			err, XM_KIND_DATA, -EPROTONOSUPPORT,
			"The stream has version %u.%u; this xmigrate reads version %u. Use the "
			"one that fits.",
			le16toh(wire.major), le16toh(wire.minor), PF_VERSION_MAJOR);
	if (!producer_valid(wire.producer, sizeof(wire.producer)))
		return xm_fail(
			err, XM_KIND_DATA, -EBADMSG,
			"The stream header's producer is not printable text: the producer has a "
			"defect.");
	return 0;
}
