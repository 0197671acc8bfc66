// SPDX-License-Identifier: Apache-2.0
/* Headers: what is written is read, and each rule about them is kept. */
#include <string.h>

#include "common/error.h"
#include "proto/frame.h"
#include "proto/messages.h"
#include "tests/test.h"

static const struct pf_header example = {
	.type = PF_TYPE_PAGES,
	.flags = PF_FLAG_MANDATORY,
	.channel = 3,
	.seq = 0x0123456789abcdef,
	.body_size = 77,
	.payload_size = 4096,
	.body_sum = 0xfedcba9876543210,
	.payload_sum = 42,
};

/* Encodes, decodes, and expects DATA with a sentence that contains `reason`. */
static void refused(struct pf_header header, const char *reason)
{
	uint8_t bytes[PF_FRAME_HEADER_SIZE];
	struct xm_error err = XM_ERROR_INIT;
	struct pf_header decoded;

	pf_header_encode(&header, bytes);
	assert_int_not_equal(pf_header_decode(bytes, &decoded, &err), 0);
	assert_int_equal(err.kind, XM_KIND_DATA);
	if (!strstr(err.text, reason))
		fail_msg("'%s' is not in: %s", reason, err.text);
}

static void header_round_trip(void **state)
{
	uint8_t bytes[PF_FRAME_HEADER_SIZE], again[PF_FRAME_HEADER_SIZE];
	struct xm_error err = XM_ERROR_INIT;
	struct pf_header decoded;

	(void)state;
	pf_header_encode(&example, bytes);
	assert_ok(pf_header_decode(bytes, &decoded, &err), &err);
	assert_int_equal(decoded.type, example.type);
	assert_int_equal(decoded.flags, example.flags);
	assert_int_equal(decoded.channel, example.channel);
	assert_true(decoded.seq == example.seq);
	assert_int_equal(decoded.body_size, example.body_size);
	assert_int_equal(decoded.payload_size, example.payload_size);
	assert_true(decoded.body_sum == example.body_sum);
	assert_true(decoded.payload_sum == example.payload_sum);
	pf_header_encode(&decoded, again);
	assert_memory_equal(bytes, again, sizeof(bytes));
}

/* The layout of docs/stream.md, by hand. */
static void header_layout(void **state)
{
	uint8_t bytes[PF_FRAME_HEADER_SIZE];

	(void)state;
	pf_header_encode(&example, bytes);
	assert_memory_equal(bytes, "XMFR\x06\0\x01\0\x03\0\0\0\x4d\0\0\0\0\x10\0\0", 20);
	assert_memory_equal(bytes + 24, "\xef\xcd\xab\x89\x67\x45\x23\x01", 8);
	assert_memory_equal(bytes + 32, "\x10\x32\x54\x76\x98\xba\xdc\xfe", 8);
	assert_memory_equal(bytes + 40, "\x2a\0\0\0\0\0\0\0", 8);
}

static void header_bit_flips(void **state)
{
	uint8_t bytes[PF_FRAME_HEADER_SIZE];
	struct pf_header decoded;

	(void)state;
	pf_header_encode(&example, bytes);
	for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
		struct xm_error err = XM_ERROR_INIT;

		bytes[bit / 8] ^= 1 << bit % 8;
		assert_int_not_equal(pf_header_decode(bytes, &decoded, &err), 0);
		assert_int_equal(err.kind, XM_KIND_DATA);
		bytes[bit / 8] ^= 1 << bit % 8;
	}
}

static void header_caps(void **state)
{
	uint8_t bytes[PF_FRAME_HEADER_SIZE];
	struct xm_error err = XM_ERROR_INIT;
	struct pf_header header, decoded;

	(void)state;
	for (unsigned type = PF_TYPE_HELLO; type <= PF_TYPE_OUTCOME; type++) {
		header = (struct pf_header){.type = type, .body_size = PF_BODY_MAX + 1};
		refused(header, "has a body of");
		header = (struct pf_header){.type = type, .payload_size = PF_PAYLOAD_MAX + 1};
		refused(header, "has a payload of");
	}
	refused((struct pf_header){.type = PF_TYPE_HELLO, .payload_size = 1}, "payload of 1 bytes");
	refused((struct pf_header){.type = PF_TYPE_SEAL, .body_size = 1025}, "at most 1024");
	refused((struct pf_header){.type = PF_TYPE_PAGES, .channel = PF_CHANNELS_MAX + 1},
		"channel 17");
	header = (struct pf_header){.type = PF_TYPE_STATE, .body_size = 65536};
	pf_header_encode(&header, bytes);
	assert_ok(pf_header_decode(bytes, &decoded, &err), &err);
}

static void unknown_types(void **state)
{
	struct pf_header header = {.type = 777, .body_size = PF_BODY_MAX}, decoded;
	uint8_t bytes[PF_FRAME_HEADER_SIZE];
	struct xm_error err = XM_ERROR_INIT;

	(void)state;
	pf_header_encode(&header, bytes);
	assert_ok(pf_header_decode(bytes, &decoded, &err), &err);
	assert_int_equal(decoded.type, 777);
	header.flags = PF_FLAG_MANDATORY;
	refused(header, "type 777");
	header = (struct pf_header){.type = 777, .body_size = PF_BODY_MAX + 1};
	refused(header, "has a body of");
	refused((struct pf_header){.type = PF_TYPE_NONE}, "type 0");
	refused((struct pf_header){.type = PF_TYPE_HELLO, .flags = 1 << 8}, "flags 0x0100");
	header = (struct pf_header){.type = PF_TYPE_HELLO, .flags = 1 << 7};
	pf_header_encode(&header, bytes);
	assert_ok(pf_header_decode(bytes, &decoded, &err), &err);
}

static void stream_header(void **state)
{
	uint8_t bytes[PF_STREAM_HEADER_SIZE];
	struct xm_error err = XM_ERROR_INIT;

	(void)state;
	pf_stream_header_encode(bytes);
	assert_memory_equal(bytes, "XMSTREAM\x01\0\0\0\x04\x03\x02\x01xmigrate ", 25);
	assert_ok(pf_stream_header_decode(bytes, &err), &err);
	for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
		bytes[bit / 8] ^= 1 << bit % 8;
		assert_int_not_equal(pf_stream_header_decode(bytes, &err), 0);
		assert_int_equal(err.kind, XM_KIND_DATA);
		bytes[bit / 8] ^= 1 << bit % 8;
	}
}

static void reseal(uint8_t *bytes)
{
	uint64_t sum = pf_checksum(bytes, 60);

	for (int i = 0; i < 4; i++)
		bytes[60 + i] = (uint8_t)(sum >> 8 * i);
}

static void stream_versions(void **state)
{
	uint8_t bytes[PF_STREAM_HEADER_SIZE];
	struct xm_error err = XM_ERROR_INIT;

	(void)state;
	pf_stream_header_encode(bytes);
	bytes[10] = 9; /* a later minor version */
	reseal(bytes);
	assert_ok(pf_stream_header_decode(bytes, &err), &err);
	bytes[8] = 2; /* a later major version */
	reseal(bytes);
	assert_int_not_equal(pf_stream_header_decode(bytes, &err), 0);
	assert_non_null(strstr(err.text, "version 2.9"));
	bytes[8] = 0;
	reseal(bytes);
	assert_int_not_equal(pf_stream_header_decode(bytes, &err), 0);
	pf_stream_header_encode(bytes);
	bytes[16] = 0x1b; /* an escape for somebody's terminal */
	reseal(bytes);
	assert_int_not_equal(pf_stream_header_decode(bytes, &err), 0);
	assert_non_null(strstr(err.text, "producer"));
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(pf_type_name(PF_TYPE_HELLO), "HELLO");
	assert_string_equal(pf_type_name(PF_TYPE_OUTCOME), "OUTCOME");
	assert_null(pf_type_name(PF_TYPE_NONE));
	assert_null(pf_type_name(16));
	assert_true(pf_checksum("", 0) == 0x2d06800538d394c2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_round_trip), cmocka_unit_test(header_layout),
		cmocka_unit_test(header_bit_flips),  cmocka_unit_test(header_caps),
		cmocka_unit_test(unknown_types),     cmocka_unit_test(stream_header),
		cmocka_unit_test(stream_versions),   cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
