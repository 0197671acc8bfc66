// SPDX-License-Identifier: Apache-2.0
/* Golden streams in which a message says what it may not say. */
#include <string.h>

#include "tests/proto/golden.h"

CASE(body_garbage)
{
	golden_base(s);
	BODY(HELLO, "\x0a\x7f");
}

CASE(hello_name)
{
	golden_base(s);
	strcpy(s->hello.name, "../web1");
	story_hello_again(s, HELLO);
}

CASE(hello_purpose)
{
	golden_base(s);
	s->hello.purpose = 0;
	story_hello_again(s, HELLO);
}

CASE(hello_channels)
{
	golden_base(s);
	s->hello.channels = 17;
	story_hello_again(s, HELLO);
}

CASE(static_config)
{
	static char config[] = "name = \"\xff\"\n";

	golden_base(s);
	s->announced.config = config;
	story_static_again(s, STATIC);
}

CASE(static_regions)
{
	golden_base(s);
	s->announced.regions[1].gpa = 4096;
	story_static_again(s, STATIC);
}

CASE(static_region_size)
{
	golden_base(s);
	s->announced.regions[0].size = 100;
	story_static_again(s, STATIC);
}

CASE(static_extents)
{
	static struct pf_extent extents[] = {{0, 5, 2}, {0, 6, 1}};

	golden_base(s);
	s->announced.extents = extents;
	story_static_again(s, STATIC);
}

CASE(static_memory)
{
	golden_base(s);
	s->hello.memory_bytes += PF_PAGE_SIZE;
	story_hello_again(s, HELLO);
}

CASE(state_sections)
{
	golden_base(s);
	s->frames[STATE_FINAL].header.payload_size--;
	s->frames[STATE_FINAL].header.payload_sum = pf_checksum(s->frames[STATE_FINAL].payload, 8);
}

/* In the bodies: 08 01 round; 1a first_deltas; 22 counts; 2a encodings; 32 zstd_bytes. */

CASE(pages_overlap)
{
	golden_base(s);
	/* The second delta is 2^64 - 1: the second run would begin inside the first. */
	BODY(PAGES, "\x08\x01\x1a\x0b\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
		    "\x22\x02\x02\x0a\x2a\x02\x02\x02");
	s->frames[PAGES].header.payload_size = 0;
}

CASE(pages_arrays)
{
	golden_base(s);
	BODY(PAGES, "\x08\x01\x1a\x02\x00\x00\x22\x01\x02\x2a\x02\x02\x02");
}

CASE(pages_encoding)
{
	golden_base(s);
	BODY(PAGES, "\x08\x01\x1a\x01\x00\x22\x01\x02\x2a\x01\x04");
}

CASE(pages_too_many)
{
	golden_base(s);
	BODY(PAGES, "\x08\x01\x1a\x01\x00\x22\x03\x81\x80\x04\x2a\x01\x02");
}

CASE(pages_zstd_count)
{
	golden_base(s);
	BODY(PAGES, "\x08\x01\x1a\x01\x00\x22\x02\x81\x02\x2a\x01\x03\x32\x01\x14");
}

CASE(pages_size)
{
	golden_base(s);
	BODY(PAGES, "\x08\x01\x1a\x01\x00\x22\x01\x02\x2a\x01\x02");
}

CASE(pages_object)
{
	golden_base(s);
	s->frames[PAGES_CH2].body_size += 2;
	memmove(s->frames[PAGES_CH2].body + 2, s->frames[PAGES_CH2].body,
		s->frames[PAGES_CH2].body_size);
	memcpy(s->frames[PAGES_CH2].body, "\x10\x02", 2);
}

CASE(pages_region)
{
	golden_base(s);
	/* 5000 is behind the end of object 0; everything else is as it was. */
	s->frames[PAGES_CH2].body_size++;
	memmove(s->frames[PAGES_CH2].body + 6, s->frames[PAGES_CH2].body + 5,
		s->frames[PAGES_CH2].body_size);
	memcpy(s->frames[PAGES_CH2].body + 3, "\x02\x88\x27", 3);
}

CASE(zstd_frame)
{
	golden_base(s);
	s->frames[PAGES_CH2].payload[0] ^= 0xff;
}

CASE(zstd_size)
{
	struct story_frame *frame;

	/* Two pages are announced, and the zstd frame holds one. */
	golden_base(s);
	frame = &s->frames[PAGES_CH2];
	for (uint32_t i = 0; i + 2 < frame->body_size; i++)
		if (memcmp(frame->body + i, "\x22\x01\x01", 3) == 0)
			frame->body[i + 2] = 2;
}

const struct golden golden_messages[] = {
	BAD(body_garbage, "protobuf", DECODERS, "a body that is not protobuf"),
	BAD(hello_name, "name", DECODERS, "a domain named ../web1"),
	BAD(hello_purpose, "enum", DECODERS, "purpose unspecified"),
	BAD(hello_channels, "range", DECODERS, "17 channels"),
	BAD(static_config, "text", DECODERS, "a config that is not UTF-8"),
	BAD(static_regions, "region-order", DECODERS, "two regions that overlap"),
	BAD(static_region_size, "region", DECODERS, "a region of 100 bytes"),
	BAD(static_extents, "extent-order", DECODERS, "two extents that overlap"),
	BAD(static_memory, "memory-bytes", ENGINE, "regions that are less than HELLO's memory"),
	BAD(state_sections, "sections-size", ENGINE, "sections larger than the payload"),
	BAD(pages_overlap, "run-end", DECODERS,
	    "a run that overlaps the one before, by wrapping round"),
	BAD(pages_arrays, "arrays", DECODERS, "two runs, one count"),
	BAD(pages_encoding, "enum", DECODERS, "encoding 4"),
	BAD(pages_too_many, "pages-count", DECODERS, "65,537 pages in one frame"),
	BAD(pages_zstd_count, "range", DECODERS, "257 pages in one ZSTD run"),
	BAD(pages_size, "runs-size", DECODERS, "a payload, and only a ZERO run"),
	BAD(pages_object, "pages-object", ENGINE, "object 2 of 2"),
	BAD(pages_region, "pages-region", ENGINE, "page 5000 of 4096"),
	BAD(zstd_frame, "zstd-frame", DECODERS, "a ZSTD run that is not zstd"),
	BAD(zstd_size, "zstd-size", DECODERS, "a ZSTD run of two pages that yields one"),
	{0},
};
