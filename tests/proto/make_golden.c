// SPDX-License-Identifier: Apache-2.0
/*
 * Makes the golden streams of tests/golden/: good ones, and for each rule one that breaks it.
 *
 *	make_golden FOLDER	writes those that are not there yet
 *	make_golden --table	prints the table of tests/golden/README.md
 *
 * Run by hand when the format gains something. What is in the folder is never written again: the
 * files are there so that later versions still read, or still refuse, what this one wrote.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/proto/story.h"

/* The frames of the base story, by their place in it. */
enum { HELLO, STATIC, TRIAL, PAGES, PAGES_CH2, SEAL1, PAGES_R2, SEAL2, STATE_FINAL, END };

/* Two channels, two rounds, a page that is sent twice. */
static void base(struct story *s)
{
	const struct pf_extent extents[] = {{0, 0, 12}, {0, 100, 1}};

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

/* Computes a stream header's checksum again. */
static void reseal(struct story *s)
{
	uint64_t sum = pf_checksum(s->header, 60);

	for (int i = 0; i < 4; i++)
		s->header[60 + i] = (uint8_t)(sum >> 8 * i);
}

#define CASE(name)	     static void name(struct story *s)
#define BODY(frame, literal) story_body(&s->frames[frame], literal, sizeof(literal) - 1)

/* ----------------------------------------------------------------- good ones */

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
	base(s);
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
	base(s);
	s->end.paused = true;
	story_end_again(s, END);
}

/* As a later minor version might write: unknown fields, an unknown frame, an unknown soft flag. */
CASE(good_later_minor)
{
	struct story_frame *frame;

	base(s);
	s->header[10] = 9;
	s->header[50] = 1;
	reseal(s);
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

/* ------------------------------------------------------------- stream header */

CASE(stream_magic)
{
	base(s);
	s->header[0] = 'Y';
	reseal(s);
}

CASE(stream_byte_order)
{
	base(s);
	memcpy(s->header + 12, "\x01\x02\x03\x04", 4);
	reseal(s);
}

CASE(stream_checksum)
{
	base(s);
	s->header[20] ^= 1;
}

CASE(stream_version)
{
	base(s);
	s->header[8] = 2;
	reseal(s);
}

CASE(stream_producer)
{
	base(s);
	s->header[16] = '\x1b';
	reseal(s);
}

/* --------------------------------------------------------------- frame header */

CASE(frame_magic)
{
	base(s);
	/* A payload that is one byte longer than its header says shifts all that follows. */
	s->frames[STATIC].claimed_body = s->frames[STATIC].body_size - 1;
	s->frames[STATIC].spoil_body =
		pf_checksum(s->frames[STATIC].body, s->frames[STATIC].body_size) ^
		pf_checksum(s->frames[STATIC].body, s->frames[STATIC].body_size - 1);
	s->frames[STATIC].header.type = 400;
	s->frames[STATIC].header.flags = 0;
}

CASE(frame_checksum)
{
	base(s);
	s->frames[SEAL1].spoil_header = 1;
}

CASE(frame_type_zero)
{
	base(s);
	s->frames[TRIAL].header.type = 0;
}

CASE(frame_channel)
{
	base(s);
	s->frames[PAGES].header.channel = 17;
}

CASE(frame_flags)
{
	base(s);
	s->frames[SEAL1].header.flags |= 1 << 8;
}

CASE(frame_mandatory)
{
	base(s);
	s->frames[SEAL1].header.type = 400;
}

CASE(body_cap)
{
	base(s);
	s->frames[SEAL1].claimed_body = 1025;
}

CASE(payload_cap)
{
	base(s);
	s->frames[PAGES].header.payload_size = PF_PAYLOAD_MAX + 1;
}

CASE(payload_forbidden)
{
	base(s);
	s->frames[END].header.payload_size = 1;
}

CASE(sequence_gap)
{
	base(s);
	s->frames[PAGES_R2].spoil_seq = 1;
}

CASE(body_checksum)
{
	base(s);
	s->frames[STATIC].spoil_body = 1;
}

CASE(payload_checksum)
{
	base(s);
	s->frames[STATE_FINAL].header.payload_sum ^= 1;
}

CASE(pages_checksum)
{
	base(s);
	s->frames[PAGES_CH2].header.payload_sum ^= 1;
}

CASE(truncated_header)
{
	base(s);
	s->cut = (long)s->frames[END].body_size + 7;
}

CASE(truncated_body)
{
	base(s);
	s->cut = 1;
}

CASE(truncated_payload)
{
	base(s);
	story_drop(s, END);
	s->cut = 1;
}

/* -------------------------------------------------------------------- bodies */

CASE(body_garbage)
{
	base(s);
	BODY(HELLO, "\x0a\x7f");
}

CASE(hello_name)
{
	base(s);
	strcpy(s->hello.name, "../web1");
	story_hello_again(s, HELLO);
}

CASE(hello_purpose)
{
	base(s);
	s->hello.purpose = 0;
	story_hello_again(s, HELLO);
}

CASE(hello_channels)
{
	base(s);
	s->hello.channels = 17;
	story_hello_again(s, HELLO);
}

CASE(static_config)
{
	static char config[] = "name = \"\xff\"\n";

	base(s);
	s->announced.config = config;
	story_static_again(s, STATIC);
}

CASE(static_regions)
{
	base(s);
	s->announced.regions[1].gpa = 4096;
	story_static_again(s, STATIC);
}

CASE(static_region_size)
{
	base(s);
	s->announced.regions[0].size = 100;
	story_static_again(s, STATIC);
}

CASE(static_extents)
{
	static struct pf_extent extents[] = {{0, 5, 2}, {0, 6, 1}};

	base(s);
	s->announced.extents = extents;
	story_static_again(s, STATIC);
}

CASE(static_memory)
{
	base(s);
	s->hello.memory_bytes += PF_PAGE_SIZE;
	story_hello_again(s, HELLO);
}

CASE(state_sections)
{
	base(s);
	s->frames[STATE_FINAL].header.payload_size--;
	s->frames[STATE_FINAL].header.payload_sum = pf_checksum(s->frames[STATE_FINAL].payload, 8);
}

/* In the bodies: 08 01 round; 1a first_deltas; 22 counts; 2a encodings; 32 zstd_bytes. */

CASE(pages_overlap)
{
	base(s);
	/* The second delta is 2^64 - 1: the second run would begin inside the first. */
	BODY(PAGES, "\x08\x01\x1a\x0b\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
		    "\x22\x02\x02\x0a\x2a\x02\x02\x02");
	s->frames[PAGES].header.payload_size = 0;
}

CASE(pages_arrays)
{
	base(s);
	BODY(PAGES, "\x08\x01\x1a\x02\x00\x00\x22\x01\x02\x2a\x02\x02\x02");
}

CASE(pages_encoding)
{
	base(s);
	BODY(PAGES, "\x08\x01\x1a\x01\x00\x22\x01\x02\x2a\x01\x04");
}

CASE(pages_too_many)
{
	base(s);
	BODY(PAGES, "\x08\x01\x1a\x01\x00\x22\x03\x81\x80\x04\x2a\x01\x02");
}

CASE(pages_zstd_count)
{
	base(s);
	BODY(PAGES, "\x08\x01\x1a\x01\x00\x22\x02\x81\x02\x2a\x01\x03\x32\x01\x14");
}

CASE(pages_size)
{
	base(s);
	BODY(PAGES, "\x08\x01\x1a\x01\x00\x22\x01\x02\x2a\x01\x02");
}

CASE(pages_object)
{
	base(s);
	s->frames[PAGES_CH2].body_size += 2;
	memmove(s->frames[PAGES_CH2].body + 2, s->frames[PAGES_CH2].body,
		s->frames[PAGES_CH2].body_size);
	memcpy(s->frames[PAGES_CH2].body, "\x10\x02", 2);
}

CASE(pages_region)
{
	base(s);
	/* 5000 is behind the end of object 0; everything else is as it was. */
	s->frames[PAGES_CH2].body_size++;
	memmove(s->frames[PAGES_CH2].body + 6, s->frames[PAGES_CH2].body + 5,
		s->frames[PAGES_CH2].body_size);
	memcpy(s->frames[PAGES_CH2].body + 3, "\x02\x88\x27", 3);
}

CASE(zstd_frame)
{
	base(s);
	s->frames[PAGES_CH2].payload[0] ^= 0xff;
}

CASE(zstd_size)
{
	struct story_frame *frame;

	/* Two pages are announced, and the zstd frame holds one. */
	base(s);
	frame = &s->frames[PAGES_CH2];
	for (uint32_t i = 0; i + 2 < frame->body_size; i++)
		if (memcmp(frame->body + i, "\x22\x01\x01", 3) == 0)
			frame->body[i + 2] = 2;
}

/* --------------------------------------------------------------------- order */

CASE(order_no_hello)
{
	base(s);
	story_drop(s, HELLO);
}

CASE(order_two_hellos)
{
	base(s);
	story_repeat(s, HELLO);
}

CASE(order_pages_early)
{
	base(s);
	story_drop(s, TRIAL);
}

CASE(order_final_early)
{
	base(s);
	story_swap(s, SEAL2, STATE_FINAL);
}

CASE(order_no_final_state)
{
	base(s);
	story_drop(s, STATE_FINAL);
}

CASE(order_abort)
{
	base(s);
	story_drop(s, END);
	BODY(STATE_FINAL, "\x08\x0a\x12\x04stop");
	s->frames[STATE_FINAL].header.type = PF_TYPE_ABORT;
	s->frames[STATE_FINAL].header.payload_size = 0;
	s->frames[STATE_FINAL].header.payload_sum = pf_checksum("", 0);
}

CASE(order_answer)
{
	base(s);
	story_repeat(s, TRIAL);
	s->frames[PAGES].header = (struct pf_header){.type = PF_TYPE_READY, .flags = 1};
	s->frames[PAGES].header.payload_sum = pf_checksum("", 0);
	s->frames[PAGES].body_size = 0;
}

CASE(purpose_migrate)
{
	base(s);
	s->hello.purpose = PF_PURPOSE_MIGRATE;
	story_hello_again(s, HELLO);
}

CASE(channel_control)
{
	base(s);
	s->frames[PAGES].header.channel = 0;
}

CASE(channel_pages)
{
	base(s);
	s->frames[SEAL1].header.channel = 1;
}

CASE(channel_beyond)
{
	base(s);
	s->frames[PAGES_CH2].header.channel = 3;
}

/* -------------------------------------------------------------------- rounds */

CASE(round_page_twice)
{
	base(s);
	story_repeat(s, PAGES);
}

CASE(round_pages_late)
{
	base(s);
	story_swap(s, PAGES_CH2, SEAL1);
}

CASE(round_after_final)
{
	base(s);
	story_repeat(s, PAGES_R2);
	story_swap(s, SEAL2, SEAL2 + 1);
}

CASE(seal_round)
{
	base(s);
	s->seals[0].round = 2;
	story_seal_again(s, SEAL1, 0);
}

CASE(seal_pages)
{
	base(s);
	s->seals[0].pages++;
	story_seal_again(s, SEAL1, 0);
}

CASE(seal_bytes)
{
	base(s);
	s->seals[1].payload_bytes--;
	story_seal_again(s, SEAL2, 1);
}

CASE(seal_digest)
{
	base(s);
	s->seals[1].digest++;
	story_seal_again(s, SEAL2, 1);
}

CASE(seal_last_seq)
{
	base(s);
	s->seals[0].last_seq[1]++;
	story_seal_again(s, SEAL1, 0);
}

CASE(seal_channels)
{
	base(s);
	s->seals[0].channel_count = 3;
	story_seal_again(s, SEAL1, 0);
}

/* ----------------------------------------------------------------------- end */

CASE(end_rounds)
{
	base(s);
	s->end.rounds = 3;
	story_end_again(s, END);
}

CASE(end_digest)
{
	base(s);
	s->end.digest ^= (pf_digest)1 << 127;
	story_end_again(s, END);
}

CASE(end_missing)
{
	base(s);
	story_drop(s, END);
}

CASE(end_trailing_frame)
{
	base(s);
	story_repeat(s, END);
}

CASE(end_trailing_bytes)
{
	base(s);
	s->cut = -3;
}

/* --------------------------------------------------------------------- table */

/* Who sees it: proto/ and libzstd, frame by frame; or only who knows the frames before. */
#define DECODERS "decoders"
#define ENGINE	 "engine"

static const struct golden {
	void (*make)(struct story *s);
	const char *name;
	const char *rule; /* "valid", or xmstream's name of the rule */
	const char *found_by;
	const char *what;
} goldens[] = {
#define GOOD(name, what)                                                                           \
	{                                                                                          \
		name, #name, "valid", "-", what                                                    \
	}
#define BAD(name, rule, by, what)                                                                  \
	{                                                                                          \
		name, #name, rule, by, what                                                        \
	}
	GOOD(good_minimal, "no page was ever touched: one empty round"),
	GOOD(good_two_rounds, "the story that all bad ones are made from"),
	GOOD(good_all_encodings, "two objects, every encoding, zero pages in RAW and ZSTD, a page "
				 "that becomes zero, an empty last round"),
	GOOD(good_paused, "a domain that was paused before it was saved"),
	GOOD(good_later_minor, "version 1.9: unknown field, flag, reserved byte, skippable frame"),
	BAD(stream_magic, "stream-magic", DECODERS, "does not begin with XMSTREAM"),
	BAD(stream_byte_order, "byte-order", DECODERS, "byte order mark of a big-endian writer"),
	BAD(stream_checksum, "stream-checksum", DECODERS, "a flipped bit in the stream header"),
	BAD(stream_version, "version", DECODERS, "major version 2"),
	BAD(stream_producer, "producer", DECODERS, "an escape character in the producer"),
	BAD(frame_magic, "frame-magic", DECODERS,
	    "a frame is one byte longer than its header says"),
	BAD(frame_checksum, "frame-checksum", DECODERS,
	    "a flipped bit in a frame header's checksum"),
	BAD(frame_type_zero, "frame-type", DECODERS, "type 0"),
	BAD(frame_channel, "frame-channel", DECODERS, "channel 17"),
	BAD(frame_flags, "frame-flags", DECODERS, "flag 8, which may not be ignored"),
	BAD(frame_mandatory, "frame-mandatory", DECODERS, "type 400 with MANDATORY"),
	BAD(body_cap, "body-cap", DECODERS, "a SEAL that says it has 1025 bytes of body"),
	BAD(payload_cap, "payload-cap", DECODERS, "PAGES that say they have 16 MiB + 1 of payload"),
	BAD(payload_forbidden, "payload-cap", DECODERS, "END with a payload"),
	BAD(sequence_gap, "sequence", DECODERS, "a frame number is left out on channel 1"),
	BAD(body_checksum, "body-checksum", DECODERS, "a body that is not what was summed"),
	BAD(payload_checksum, "payload-checksum", DECODERS, "a state that is not what was summed"),
	BAD(pages_checksum, "pages-checksum", DECODERS, "pages that are not what was hashed"),
	BAD(truncated_header, "truncated", DECODERS, "ends inside END's frame header"),
	BAD(truncated_body, "truncated", DECODERS, "ends inside END's body"),
	BAD(truncated_payload, "truncated", DECODERS, "ends inside STATE's payload"),
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
	BAD(order_no_hello, "order", ENGINE, "begins with STATIC"),
	BAD(order_two_hellos, "order", ENGINE, "HELLO twice"),
	BAD(order_pages_early, "order", ENGINE, "PAGES without STATE (TRIAL)"),
	BAD(order_final_early, "order", ENGINE, "STATE (FINAL) before the final SEAL"),
	BAD(order_no_final_state, "order", ENGINE, "END without STATE (FINAL)"),
	BAD(order_abort, "order", ENGINE, "ABORT in a file"),
	BAD(order_answer, "order", ENGINE, "READY in a file"),
	BAD(purpose_migrate, "purpose", ENGINE, "a file whose HELLO says MIGRATE"),
	BAD(channel_control, "channel", ENGINE, "PAGES on channel 0"),
	BAD(channel_pages, "channel", ENGINE, "SEAL on channel 1"),
	BAD(channel_beyond, "channel", ENGINE, "PAGES on channel 3 of 2"),
	BAD(round_page_twice, "page-twice", ENGINE, "a page twice in one round"),
	BAD(round_pages_late, "seal-seqs", ENGINE, "PAGES of round 1 after SEAL 1"),
	BAD(round_after_final, "after-final", ENGINE, "PAGES after the final SEAL"),
	BAD(seal_round, "seal-round", ENGINE, "the first SEAL says round 2"),
	BAD(seal_pages, "seal-pages", ENGINE, "SEAL counts one page too many"),
	BAD(seal_bytes, "seal-bytes", ENGINE, "SEAL counts one byte too few"),
	BAD(seal_digest, "seal-digest", ENGINE, "SEAL has another digest than memory"),
	BAD(seal_last_seq, "seal-seqs", ENGINE, "SEAL names a frame that never came"),
	BAD(seal_channels, "seal-channels", ENGINE, "SEAL names three channels, HELLO two"),
	BAD(end_rounds, "end-rounds", ENGINE, "END says three rounds, there were two"),
	BAD(end_digest, "end-digest", ENGINE, "END has another digest than the last SEAL"),
	BAD(end_missing, "no-end", ENGINE, "ends after STATE (FINAL)"),
	BAD(end_trailing_frame, "after-end", ENGINE, "a frame after END"),
	BAD(end_trailing_bytes, "truncated", DECODERS, "three bytes after END"),
};

enum { GOLDENS = sizeof(goldens) / sizeof(goldens[0]) };

static void dashes(const char *name, char *ret_name, size_t size)
{
	snprintf(ret_name, size, "%s", name);
	for (char *c = ret_name; *c; c++)
		if (*c == '_')
			*c = '-';
}

static int write_one(const struct golden *golden, const char *folder)
{
	cleanup_free struct story *story = calloc(1, sizeof(*story));
	cleanup_free char *path = NULL;
	char name[64];
	int rc;

	dashes(golden->name, name, sizeof(name));
	path = xm_format("%s/%s.xms", folder, name);
	if (!story || !path)
		return -ENOMEM;
	golden->make(story);
	rc = story_write(story, path);
	if (rc == -EEXIST)
		return 0;
	if (rc != 0)
		fprintf(stderr, "make_golden: %s: %s\n", path, strerror(-rc));
	return rc;
}

static void print_table(void)
{
	for (int i = 0; i < GOLDENS; i++) {
		char name[64];

		dashes(goldens[i].name, name, sizeof(name));
		printf("| %s.xms | %s | %s | %s |\n", name, goldens[i].rule, goldens[i].found_by,
		       goldens[i].what);
	}
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: make_golden FOLDER | --table\n");
		return 2;
	}
	if (strcmp(argv[1], "--table") == 0) {
		print_table();
		return 0;
	}
	for (int i = 0; i < GOLDENS; i++)
		if (write_one(&goldens[i], argv[1]) != 0)
			return EXIT_FAILURE;
	return 0;
}
