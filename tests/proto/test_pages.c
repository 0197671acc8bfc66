// SPDX-License-Identifier: Apache-2.0
/* PAGES: round trips at the limits, and every rule about runs. */
#include <errno.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/messages.h"
#include "tests/test.h"

static struct pf_run sent_runs[PF_RUNS_MAX], received_runs[PF_RUNS_MAX];

static uint32_t payload_of(const struct pf_pages *pages)
{
	uint32_t bytes = 0;

	for (uint32_t i = 0; i < pages->run_count; i++)
		bytes += pages->runs[i].bytes;
	return bytes;
}

static void round_trip(const struct pf_pages *sent)
{
	struct pf_pages received = {.runs = received_runs};
	struct xm_error err = XM_ERROR_INIT;
	struct pf_buffer body = {0};

	assert_ok(pf_pages_encode(sent, &body, &err), &err);
	assert_ok(pf_pages_decode(body.data, body.size, payload_of(sent), &received, &err), &err);
	assert_int_equal(received.round, sent->round);
	assert_int_equal(received.object, sent->object);
	assert_int_equal(received.run_count, sent->run_count);
	for (uint32_t i = 0; i < sent->run_count; i++) {
		assert_true(received.runs[i].first == sent->runs[i].first);
		assert_int_equal(received.runs[i].count, sent->runs[i].count);
		assert_int_equal(received.runs[i].encoding, sent->runs[i].encoding);
		assert_int_equal(received.runs[i].bytes, sent->runs[i].bytes);
	}
	assert_int_not_equal(
		pf_pages_decode(body.data, body.size, payload_of(sent) + 1, &received, &err), 0);
	assert_int_equal(err.kind, XM_KIND_DATA);
	pf_buffer_finish(&body);
}

static void each_encoding(void **state)
{
	struct pf_run runs[] = {
		{.first = 0, .count = 2, .encoding = PF_ENCODING_RAW, .bytes = 8192},
		{.first = 2, .count = 60000, .encoding = PF_ENCODING_ZERO},
		{.first = 70000, .count = 256, .encoding = PF_ENCODING_ZSTD, .bytes = 1 << 20},
		{.first = 80000, .count = 1, .encoding = PF_ENCODING_ZSTD, .bytes = 1},
		{.first = (1ull << 40) - 1, .count = 1, .encoding = PF_ENCODING_RAW, .bytes = 4096},
	};

	(void)state;
	round_trip(&(struct pf_pages){.round = 1, .object = 7, .run_count = 5, .runs = runs});
	round_trip(&(struct pf_pages){
		.round = UINT32_MAX, .object = UINT32_MAX, .run_count = 1, .runs = runs});
}

/* The most and the widest runs that are allowed fit the body's cap and the decoder's arena. */
static void largest(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < PF_RUNS_MAX; i++)
		sent_runs[i] = (struct pf_run){
			.first = i * ((1ull << 40) / PF_RUNS_MAX),
			.count = 16,
			.encoding = PF_ENCODING_ZSTD,
			.bytes = 4096,
		};
	round_trip(&(struct pf_pages){.round = 3, .run_count = PF_RUNS_MAX, .runs = sent_runs});
}

static void one_run_is_small(void **state)
{
	struct pf_run run = {
		.first = 260000, .count = 512, .encoding = PF_ENCODING_RAW, .bytes = 512 * 4096};
	struct pf_pages pages = {.round = 2, .object = 1, .run_count = 1, .runs = &run};
	struct xm_error err = XM_ERROR_INIT;
	struct pf_buffer body = {0};

	(void)state;
	assert_ok(pf_pages_encode(&pages, &body, &err), &err);
	assert_in_range(body.size, 1, 20);
	pf_buffer_finish(&body);
}

static void not_sent(struct pf_run first, struct pf_run second)
{
	struct pf_run runs[] = {first, second};
	struct pf_pages pages = {.round = 1, .run_count = 2, .runs = runs};
	struct xm_error err = XM_ERROR_INIT;
	struct pf_buffer body = {0};

	assert_int_equal(pf_pages_encode(&pages, &body, &err), -EINVAL);
	assert_int_equal(err.kind, XM_KIND_INTERNAL);
	pf_buffer_finish(&body);
}

/* The encoder does not let a defect of ours onto the wire. */
static void bad_runs_are_not_sent(void **state)
{
	const struct pf_run good = {.first = 0, .count = 1, .encoding = PF_ENCODING_ZERO};
	struct pf_pages none = {.round = 1, .runs = sent_runs};
	struct xm_error err = XM_ERROR_INIT;
	struct pf_buffer body = {0};

	(void)state;
	not_sent(good, good);
	not_sent(good, (struct pf_run){.first = 1, .count = 0, .encoding = PF_ENCODING_ZERO});
	not_sent(good, (struct pf_run){.first = 1, .count = 1, .encoding = 0});
	not_sent(good, (struct pf_run){.first = 1, .count = 65536, .encoding = PF_ENCODING_ZERO});
	not_sent(good, (struct pf_run){
			       .first = 1, .count = 1, .encoding = PF_ENCODING_RAW, .bytes = 4095});
	not_sent(good,
		 (struct pf_run){.first = 1, .count = 1, .encoding = PF_ENCODING_ZERO, .bytes = 1});
	not_sent(good,
		 (struct pf_run){
			 .first = 1, .count = 257, .encoding = PF_ENCODING_ZSTD, .bytes = 100});
	not_sent(good, (struct pf_run){.first = 1, .count = 1, .encoding = PF_ENCODING_ZSTD});
	not_sent(good,
		 (struct pf_run){
			 .first = 1, .count = 1, .encoding = PF_ENCODING_ZSTD, .bytes = 4097});
	not_sent(good,
		 (struct pf_run){.first = 1ull << 40, .count = 1, .encoding = PF_ENCODING_ZERO});
	assert_int_equal(pf_pages_encode(&none, &body, &err), -EINVAL);
}

/* A body written by hand, refused with that reason. */
static void refused(const char *bytes, size_t size, uint32_t payload_size, const char *reason)
{
	struct pf_pages pages = {.runs = received_runs};
	struct xm_error err = XM_ERROR_INIT;

	assert_int_equal(pf_pages_decode(bytes, size, payload_size, &pages, &err), -EBADMSG);
	assert_int_equal(err.kind, XM_KIND_DATA);
	if (!strstr(err.text, reason))
		fail_msg("'%s' is not in: %s", reason, err.text);
}

#define REFUSED(literal, payload, reason) refused(literal, sizeof(literal) - 1, payload, reason)

/* Fields: 08 round, 10 object, 1a first_deltas, 22 counts, 2a encodings, 32 zstd_bytes. */
static void bad_bodies(void **state)
{
	(void)state;
	REFUSED("", 0, "round is 0");
	REFUSED("\x08\x01", 0, "it has 0 runs");
	REFUSED("\x08\x01\x1a\x01\x05\x22\x01\x01", 0, "differ in length");
	REFUSED("\x08\x01\x1a\x01\x05\x22\x02\x01\x01\x2a\x01\x02", 0, "differ in length");
	REFUSED("\x08\x01\x1a\x01\x05\x22\x01\x00\x2a\x01\x02", 0, "no pages");
	REFUSED("\x08\x01\x1a\x01\x05\x22\x01\x01\x2a\x01\x00", 0, "unknown encoding");
	REFUSED("\x08\x01\x1a\x01\x05\x22\x01\x01\x2a\x01\x04", 0, "unknown encoding");
	REFUSED("\x08\x01\x1a\x01\x05\x22\x01\x01\x2a\x01\x01", 0, "payload 0");
	REFUSED("\x08\x01\x1a\x01\x05\x22\x03\x81\x80\x04\x2a\x01\x02", 0, "65536");
	REFUSED("\x08\x01\x1a\x01\x05\x22\x05\xff\xff\xff\xff\x0f\x2a\x01\x01", 0, "65536");
	REFUSED("\x08\x01\x1a\x01\x05\x22\x01\x01\x2a\x01\x03", 0, "fewer ZSTD sizes");
	REFUSED("\x08\x01\x1a\x01\x05\x22\x01\x01\x2a\x01\x02\x32\x01\x05", 0, "more ZSTD sizes");
	REFUSED("\x08\x01\x1a\x01\x05\x22\x01\x01\x2a\x01\x03\x32\x01\x00", 0, "no bytes");
	REFUSED("\x08\x01\x1a\x01\x05\x22\x02\x81\x02\x2a\x01\x03\x32\x01\x01", 1, "256 pages");
	REFUSED("\x08\x01\x1a\x06\x80\x80\x80\x80\x80\x20\x22\x01\x01\x2a\x01\x02", 0, "2^40");
	REFUSED("\x08\x01\x1a\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x22\x01\x01\x2a\x01\x02",
		0, "2^40");
	REFUSED("\x08", 0, "not a protobuf message");
}

/* As many entries as the cap on the body lets through: the arena stops it. */
static void too_many_entries(void **state)
{
	static char body[128 << 10];

	(void)state;
	memset(body, 1, sizeof(body));
	memcpy(body, "\x08\x01\x1a\xfa\xff\x07", 6);
	refused(body, sizeof(body), 0, "more than its limits");
	refused(body, sizeof(body) + 1, 0, "more than 131072");
	/* 8192 runs fit the arena, and are too many. */
	memcpy(body, "\x08\x01\x1a\x80\x40", 5);
	refused(body, 5 + 8192, 0, "it has 8192 runs");
}

static void truncated(void **state)
{
	struct pf_run runs[] = {
		{.first = 9, .count = 2, .encoding = PF_ENCODING_RAW, .bytes = 8192},
		{.first = 11, .count = 300, .encoding = PF_ENCODING_ZERO},
		{.first = 7000, .count = 16, .encoding = PF_ENCODING_ZSTD, .bytes = 300},
	};
	struct pf_pages pages = {.round = 1, .run_count = 3, .runs = runs};
	struct pf_pages received = {.runs = received_runs};
	struct xm_error err = XM_ERROR_INIT;
	struct pf_buffer body = {0};

	(void)state;
	assert_ok(pf_pages_encode(&pages, &body, &err), &err);
	for (size_t size = 0; size < body.size; size++)
		assert_int_equal(
			pf_pages_decode(body.data, size, payload_of(&pages), &received, &err),
			-EBADMSG);
	pf_buffer_finish(&body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_encoding),    cmocka_unit_test(largest),
		cmocka_unit_test(one_run_is_small), cmocka_unit_test(bad_runs_are_not_sent),
		cmocka_unit_test(bad_bodies),	    cmocka_unit_test(too_many_entries),
		cmocka_unit_test(truncated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
