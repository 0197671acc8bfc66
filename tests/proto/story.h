/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small saved domain as a list of frames in memory, to be changed and written to a file: what
 * make_golden.c makes golden streams from.
 */
#ifndef XM_TESTS_PROTO_STORY_H
#define XM_TESTS_PROTO_STORY_H

#include "proto/frame.h"
#include "proto/messages.h"

enum {
	STORY_FRAMES_MAX = 24,
	STORY_BODY_MAX = 2048,
	STORY_PAYLOAD_MAX = 5 * PF_PAGE_SIZE,
	STORY_OBJECTS = 2,
	STORY_PAGES = 4096, /* of object 0: 16 MiB */
	STORY_RUNS_MAX = 4,
	STORY_SEALS_MAX = 4,
};

struct story_frame {
	struct pf_header header; /* seq, body_sum and body_size are filled in when written */
	uint8_t body[STORY_BODY_MAX];
	uint32_t body_size;
	uint8_t payload[STORY_PAYLOAD_MAX];
	/* To break rules with: */
	uint32_t claimed_body; /* not 0: what the header says instead of body_size */
	uint64_t spoil_seq;    /* added */
	uint64_t spoil_body;   /* xored into the checksums */
	uint32_t spoil_header;
};

struct story {
	uint8_t header[PF_STREAM_HEADER_SIZE];
	struct pf_hello hello;
	struct pf_static announced;
	struct pf_seal seals[STORY_SEALS_MAX];
	struct pf_end end;
	struct story_frame frames[STORY_FRAMES_MAX];
	int count;
	int seal_count;
	uint64_t hashes[STORY_OBJECTS][STORY_PAGES];
	uint64_t last_seq[PF_CHANNELS_MAX];
	struct pf_seal open; /* totals of the round that is going on */
	long cut;	     /* bytes to leave out at the file's end; negative: to add */
};

/* A run whose pages are filled from `seed`; seed 0 gives pages of zeros. */
struct story_run {
	uint64_t first;
	uint32_t count;
	enum pf_encoding encoding;
	unsigned seed;
};

/* These append frames, in the story's order. A seal takes its totals from its round's pages. */
void story_hello(struct story *story);
void story_static(struct story *story, const struct pf_extent *extents, uint32_t extent_count);
void story_state(struct story *story, enum pf_state_purpose purpose);
void story_pages(struct story *story, unsigned channel, uint32_t object,
		 const struct story_run *runs, uint32_t count);
void story_seal(struct story *story, bool final);
void story_end(struct story *story);

/* A frame of any type. */
struct story_frame *story_frame(struct story *story, unsigned type, unsigned channel);
void story_body(struct story_frame *frame, const void *body, size_t size);

/* Writes a message again into its frame, after it was changed. */
void story_hello_again(struct story *story, int frame);
void story_static_again(struct story *story, int frame);
void story_seal_again(struct story *story, int frame, int seal);
void story_end_again(struct story *story, int frame);

void story_drop(struct story *story, int frame);
void story_swap(struct story *story, int frame, int other);
void story_repeat(struct story *story, int frame); /* right behind itself */

/* Writes a new file; fails if it exists. */
int story_write(const struct story *story, const char *path);

#endif
