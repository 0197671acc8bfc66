// SPDX-License-Identifier: Apache-2.0
#include "tests/proto/story.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "common/cleanup.h"

/* The tool that this belongs to is run by hand: a defect in it ends it. */
static void check(int rc, const struct xm_error *err)
{
	if (rc == 0)
		return;
	fprintf(stderr, "make_golden: %s\n", err->text);
	exit(EXIT_FAILURE);
}

struct story_frame *story_frame(struct story *story, unsigned type, unsigned channel)
{
	struct story_frame *frame = &story->frames[story->count++];

	if (story->count > STORY_FRAMES_MAX)
		abort();
	*frame = (struct story_frame){
		.header = {.type = (uint16_t)type,
			   .channel = (uint16_t)channel,
			   .flags = PF_FLAG_MANDATORY,
			   .payload_sum = pf_checksum("", 0)},
	};
	return frame;
}

void story_body(struct story_frame *frame, const void *body, size_t size)
{
	if (size > sizeof(frame->body))
		abort();
	memcpy(frame->body, body, size);
	frame->body_size = (uint32_t)size;
}

/* Encodes a message into a frame's body. */
#define PUT(frame, name, message)                                                                  \
	do {                                                                                       \
		struct xm_error err_ = XM_ERROR_INIT;                                              \
		struct pf_buffer body_ = {0};                                                      \
		check(pf_##name##_encode(message, &body_, &err_), &err_);                          \
		story_body(frame, body_.data, body_.size);                                         \
		pf_buffer_finish(&body_);                                                          \
	} while (0)

void story_hello_again(struct story *story, int frame)
{
	PUT(&story->frames[frame], hello, &story->hello);
}

void story_static_again(struct story *story, int frame)
{
	PUT(&story->frames[frame], static, &story->announced);
}

void story_seal_again(struct story *story, int frame, int seal)
{
	PUT(&story->frames[frame], seal, &story->seals[seal]);
}

void story_end_again(struct story *story, int frame)
{
	PUT(&story->frames[frame], end, &story->end);
}

void story_hello(struct story *story)
{
	pf_stream_header_encode(story->header);
	story->hello = (struct pf_hello){
		.session = "golden session.",
		.name = "web1",
		.uuid = "a uuid of bytes",
		.purpose = PF_PURPOSE_SAVE,
		.live = true,
		.channels = 2,
		.memory_bytes = STORY_PAGES * PF_PAGE_SIZE + (2u << 20),
		.vcpus = 1,
		.epoch = 7,
		.producer = "make_golden",
	};
	story->open = (struct pf_seal){.round = 1, .channel_count = story->hello.channels};
	story_frame(story, PF_TYPE_HELLO, 0);
	story_hello_again(story, story->count - 1);
}

static void payload(struct story_frame *frame, const char *bytes)
{
	frame->header.payload_size = (uint32_t)strlen(bytes);
	memcpy(frame->payload, bytes, strlen(bytes));
	frame->header.payload_sum = pf_checksum(bytes, strlen(bytes));
}

void story_static(struct story *story, const struct pf_extent *extents, uint32_t extent_count)
{
	static struct pf_section sections[] = {
		{.name = "cpuid", .version = 1, .size = 5},
		{.name = "msrs", .version = 1, .size = 4},
	};
	static char config[] = "name = \"web1\"\nmemory = 18\n";

	story->announced = (struct pf_static){
		.config = config,
		.region_count = 2,
		.regions = {{.gpa = 0, .size = STORY_PAGES * PF_PAGE_SIZE, .page_shift = 12},
			    {.gpa = 4ull << 30, .size = 2u << 20, .page_shift = 21}},
		.extents = (struct pf_extent *)extents,
		.extent_count = extent_count,
		.sections = sections,
		.section_count = 2,
	};
	payload(story_frame(story, PF_TYPE_STATIC, 0), "CPUIDMSRS");
	story_static_again(story, story->count - 1);
}

void story_state(struct story *story, enum pf_state_purpose purpose)
{
	static struct pf_section sections[] = {
		{.name = "vcpu", .version = 3, .size = 4},
		{.name = "clock", .version = 1, .size = 5},
		{.name = "empty", .version = 1, .size = 0},
	};
	const struct pf_state state = {
		.purpose = purpose, .section_count = 3, .sections = sections};
	struct story_frame *frame = story_frame(story, PF_TYPE_STATE, 0);

	payload(frame, purpose == PF_STATE_FINAL ? "VCPUCLOCK" : "vcpuclock");
	PUT(frame, state, &state);
}

/* Compresses well, so that golden files stay small. */
static void fill(uint8_t *page, uint64_t number, unsigned seed)
{
	for (unsigned i = 0; i < PF_PAGE_SIZE; i++)
		page[i] = seed == 0 ? 0 : (uint8_t)(seed + number + i / 512);
}

/* Hashes the page, keeps the digest, and returns the hash. */
static uint64_t account(struct story *story, uint32_t object, uint64_t page, const uint8_t *bytes)
{
	uint64_t *hash = &story->hashes[object][page];

	story->open.digest -= pf_digest_term(object, page, *hash);
	*hash = pf_page_hash(bytes);
	story->open.digest += pf_digest_term(object, page, *hash);
	story->open.pages++;
	return *hash;
}

/* Writes the run's bytes to `room` and returns how many. */
static uint32_t encode_run(const struct story_run *run, const uint8_t *pages, uint8_t *room)
{
	size_t size = run->count * PF_PAGE_SIZE;

	if (run->encoding == PF_ENCODING_ZERO)
		return 0;
	if (run->encoding == PF_ENCODING_RAW) {
		memcpy(room, pages, size);
		return (uint32_t)size;
	}
	return (uint32_t)ZSTD_compress(room, size, pages, size, 1);
}

void story_pages(struct story *story, unsigned channel, uint32_t object,
		 const struct story_run *runs, uint32_t count)
{
	struct story_frame *frame = story_frame(story, PF_TYPE_PAGES, channel);
	_Alignas(64) uint8_t pages[4 * PF_PAGE_SIZE];
	struct pf_run coded[STORY_RUNS_MAX];
	uint64_t hashes[1024];
	size_t hash_count = 0;
	uint32_t used = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t bytes;

		for (uint32_t j = 0; j < runs[i].count; j++) {
			uint8_t *page = &pages[j % 4 * PF_PAGE_SIZE];
			uint64_t number = runs[i].first + j;

			fill(page, number, runs[i].seed);
			hashes[hash_count++] = account(story, object, number, page);
		}
		bytes = encode_run(&runs[i], pages, frame->payload + used);
		coded[i] = (struct pf_run){runs[i].first, runs[i].count, runs[i].encoding, bytes};
		used += bytes;
	}
	frame->header.payload_size = used;
	frame->header.payload_sum = pf_checksum(hashes, hash_count * sizeof(hashes[0]));
	story->open.payload_bytes += used;
	story->last_seq[channel - 1]++;
	PUT(frame, pages, &((struct pf_pages){story->open.round, object, count, coded}));
}

void story_seal(struct story *story, bool final)
{
	struct pf_seal *seal = &story->seals[story->seal_count++];

	*seal = story->open;
	seal->final = final;
	memcpy(seal->last_seq, story->last_seq, sizeof(seal->last_seq));
	story_frame(story, PF_TYPE_SEAL, 0);
	story_seal_again(story, story->count - 1, story->seal_count - 1);
	story->open.round++;
	story->open.pages = 0;
	story->open.payload_bytes = 0;
}

void story_end(struct story *story)
{
	story->end = (struct pf_end){
		.rounds = story->open.round - 1,
		.digest = story->open.digest,
	};
	story_frame(story, PF_TYPE_END, 0);
	story_end_again(story, story->count - 1);
}

void story_drop(struct story *story, int frame)
{
	story->count--;
	memmove(&story->frames[frame], &story->frames[frame + 1],
		(size_t)(story->count - frame) * sizeof(story->frames[0]));
}

void story_swap(struct story *story, int frame, int other)
{
	struct story_frame kept = story->frames[frame];

	story->frames[frame] = story->frames[other];
	story->frames[other] = kept;
}

void story_repeat(struct story *story, int frame)
{
	if (story->count == STORY_FRAMES_MAX)
		abort();
	memmove(&story->frames[frame + 1], &story->frames[frame],
		(size_t)(story->count - frame) * sizeof(story->frames[0]));
	story->count++;
}

static void write_frame(FILE *file, const struct story_frame *frame, uint64_t seq)
{
	uint8_t bytes[PF_FRAME_HEADER_SIZE];
	struct pf_header header = frame->header;

	header.seq = seq + frame->spoil_seq;
	header.body_size = frame->claimed_body ? frame->claimed_body : frame->body_size;
	header.body_sum = pf_checksum(frame->body, frame->body_size) ^ frame->spoil_body;
	pf_header_encode(&header, bytes);
	bytes[20] ^= (uint8_t)frame->spoil_header;
	fwrite(bytes, sizeof(bytes), 1, file);
	fwrite(frame->body, 1, frame->body_size, file);
	if (header.payload_size <= STORY_PAYLOAD_MAX)
		fwrite(frame->payload, 1, header.payload_size, file);
}

int story_write(const struct story *story, const char *path)
{
	uint64_t seqs[PF_CHANNELS_MAX + 2] = {0};
	cleanup_fclose FILE *file = fopen(path, "wbx");

	if (!file)
		return -errno;
	fwrite(story->header, sizeof(story->header), 1, file);
	for (int i = 0; i < story->count; i++)
		write_frame(file, &story->frames[i], ++seqs[story->frames[i].header.channel]);
	for (long i = story->cut; i < 0; i++)
		fputc(0, file);
	if (fflush(file) != 0)
		return -errno;
	if (story->cut > 0 && ftruncate(fileno(file), ftell(file) - story->cut) != 0)
		return -errno;
	return 0;
}
