// SPDX-License-Identifier: Apache-2.0
/* Golden streams that every version reads, and the base of those that it refuses. */
#include <string.h>

#include "tests/proto/golden.h"

void golden_base(struct story *s)
{
	static const struct pf_extent extents[] = {{0, 0, 12}, {0, 100, 1}};

	story_hello(s);
	story_static(s, extents, 2);
	story_state(s, PF_STATE_TRIAL);
	story_pages(s, 1, 0,
		    (struct story_run[]){{0, 2, PF_ENCODING_ZSTD, 1}, {2, 10, PF_ENCODING_ZERO, 0}},
		    2);
	story_pages(s, 2, 0, (struct story_run[]){{100, 1, PF_ENCODING_ZSTD, 2}}, 1);
	story_seal(s, false);
	story_pages(s, 1, 0, (struct story_run[]){{1, 1, PF_ENCODING_ZSTD, 3}}, 1);
	story_seal(s, true);
	story_state(s, PF_STATE_FINAL);
	story_end(s);
}

void golden_reseal(struct story *s)
{
	uint64_t sum = pf_checksum(s->header, 60);

	for (int i = 0; i < 4; i++)
		s->header[60 + i] = (uint8_t)(sum >> 8 * i);
}

CASE(good_minimal)
{
	story_hello(s);
	story_static(s, NULL, 0);
	story_state(s, PF_STATE_TRIAL);
	story_seal(s, true);
	story_state(s, PF_STATE_FINAL);
	story_end(s);
}

CASE(good_two_rounds)
{
	golden_base(s);
}

CASE(good_all_encodings)
{
	story_hello(s);
	story_static(s, NULL, 0);
	story_state(s, PF_STATE_TRIAL);
	story_pages(s, 2, 0,
		    (struct story_run[]){{0, 1, PF_ENCODING_RAW, 1},
					 {1, 500, PF_ENCODING_ZERO, 0},
					 {600, 4, PF_ENCODING_ZSTD, 5},
					 {604, 1, PF_ENCODING_RAW, 0}},
		    4);
	story_pages(
		s, 1, 1,
		(struct story_run[]){{0, 1, PF_ENCODING_ZSTD, 0}, {511, 1, PF_ENCODING_ZSTD, 9}},
		2);
	story_seal(s, false);
	story_pages(s, 1, 0,
		    (struct story_run[]){{0, 1, PF_ENCODING_ZERO, 0}, {601, 1, PF_ENCODING_RAW, 6}},
		    2);
	story_seal(s, false);
	story_seal(s, true);
	story_state(s, PF_STATE_FINAL);
	story_end(s);
}

CASE(good_paused)
{
	golden_base(s);
	s->end.paused = true;
	story_end_again(s, END);
}

/* As a later minor version might write: unknown fields, an unknown frame, an unknown soft flag. */
CASE(good_later_minor)
{
	struct story_frame *frame;

	golden_base(s);
	s->header[10] = 9;
	s->header[50] = 1;
	golden_reseal(s);
	memcpy(s->frames[HELLO].body + s->frames[HELLO].body_size, "\xa2\x06\x03new", 6);
	s->frames[HELLO].body_size += 6;
	s->frames[SEAL1].header.flags |= 1 << 7;
	frame = story_frame(s, 400, 3);
	frame->header.flags = 0;
	story_body(frame, "not protobuf", 12);
	frame->header.payload_size = 1000;
	story_swap(s, END, END + 1);
	story_swap(s, STATE_FINAL, END);
}

const struct golden golden_good[] = {
	GOOD(good_minimal, "no page was ever touched: one empty round"),
	GOOD(good_two_rounds, "the story that all bad ones are made from"),
	GOOD(good_all_encodings, "two objects, every encoding, zero pages in RAW and ZSTD, a page "
				 "that becomes zero, an empty last round"),
	GOOD(good_paused, "a domain that was paused before it was saved"),
	GOOD(good_later_minor, "version 1.9: unknown field, flag, reserved byte, skippable frame"),
	{0},
};
