/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Golden streams as tables: a name, what is to be said about it, and a function that tells the
 * story. Shared by make_golden.c and the golden_*.c files that hold them.
 */
#ifndef XM_TESTS_PROTO_GOLDEN_H
#define XM_TESTS_PROTO_GOLDEN_H

#include "tests/proto/story.h"

struct golden {
	void (*make)(struct story *s);
	const char *name;
	const char *rule; /* "valid", or xmstream's name of the rule */
	const char *found_by;
	const char *what;
};

/* Each ends in an entry without a name. */
extern const struct golden golden_good[];
extern const struct golden golden_frames[];   /* headers, checksums, lengths */
extern const struct golden golden_messages[]; /* what a message may not say */
extern const struct golden golden_order[];    /* frames, rounds and the end */

/* Who sees it: proto/ and libzstd, frame by frame; or only who knows the frames before. */
#define DECODERS "decoders"
#define ENGINE	 "engine"

#define GOOD(name, what)                                                                           \
	{                                                                                          \
		name, #name, "valid", "-", what                                                    \
	}
#define BAD(name, rule, by, what)                                                                  \
	{                                                                                          \
		name, #name, rule, by, what                                                        \
	}
#define CASE(name)	     static void name(struct story *s)
#define BODY(frame, literal) story_body(&s->frames[frame], literal, sizeof(literal) - 1)

/* The frames of the base story, by their place in it. */
enum { HELLO, STATIC, TRIAL, PAGES, PAGES_CH2, SEAL1, PAGES_R2, SEAL2, STATE_FINAL, END };

/* Two channels, two rounds, a page that is sent twice: what the bad ones are made from. */
void golden_base(struct story *s);

/* Computes a stream header's checksum again, after a change. */
void golden_reseal(struct story *s);

#endif
