// SPDX-License-Identifier: Apache-2.0
/*
 * PAGES, sent and received for each batch: no allocation but the caller's buffers, and the stack
 * (about 110 KiB of it).
 */
#include <assert.h>
#include <errno.h>

#include "proto/body.h"
#include "xmigrate.pb-c.h"

#define ZSTD_PAGES_MAX 256u
#define PAGES_END_MAX  (1ull << 40) /* first + count of any run */

/* All arrays of a message with PF_RUNS_MAX runs, and room for fields of later versions. */
#define PAGES_ARENA (112u << 10)

static_assert((int)PF_ENCODING_RAW == XMIGRATE__ENCODING__ENCODING_RAW, "wire number");
static_assert((int)PF_ENCODING_ZERO == XMIGRATE__ENCODING__ENCODING_ZERO, "wire number");
static_assert((int)PF_ENCODING_ZSTD == XMIGRATE__ENCODING__ENCODING_ZSTD, "wire number");

/* Where a walk through the runs has come to. */
struct walk {
	uint64_t end;	  /* of the run before, in pages */
	uint32_t pages;	  /* of all runs so far */
	uint64_t payload; /* likewise, bytes */
	size_t zstd;	  /* ZSTD runs so far */
};

/* Adds a run to the totals. NULL, or which rule of docs/stream.md it breaks. */
static const char *walk_run(struct walk *walk, const struct pf_run *run)
{
	if (run->first < walk->end)
		return "a run overlaps the one before";
	if (run->count == 0)
		return "a run has no pages";
	if (run->count > PF_BATCH_PAGES_MAX - walk->pages)
		return "it has more than 65536 pages";
	if (run->first >= PAGES_END_MAX || run->count > PAGES_END_MAX - run->first)
		return "a run ends behind page 2^40";
	switch (run->encoding) {
	case PF_ENCODING_RAW:
		if (run->bytes != (uint64_t)run->count * PF_PAGE_SIZE)
			return "a RAW run's bytes are not its pages'";
		break;
	case PF_ENCODING_ZERO:
		if (run->bytes != 0)
			return "a ZERO run has bytes";
		break;
	case PF_ENCODING_ZSTD:
		if (run->count > ZSTD_PAGES_MAX)
			return "a ZSTD run has more than 256 pages";
		if (run->bytes == 0 || run->bytes > run->count * PF_PAGE_SIZE)
			return "a ZSTD run has no bytes, or more than its pages";
		walk->zstd++;
		break;
	default:
		return "a run has an unknown encoding";
	}
	walk->end = run->first + run->count;
	walk->pages += run->count;
	walk->payload += run->bytes;
	return NULL;
}

static int broken_run(const char *rule, size_t run, struct xm_error *err)
{
	return xm_fail(
		err, XM_KIND_INTERNAL, -EINVAL,
		"Run %zu of a batch of pages cannot be sent: %s. This is a defect in xmigrate.",
		run, rule);
}

int pf_pages_encode(const struct pf_pages *pages, struct pf_buffer *body, struct xm_error *err)
{
	uint64_t first_deltas[PF_RUNS_MAX];
	uint32_t counts[PF_RUNS_MAX], zstd_bytes[PF_RUNS_MAX];
	Xmigrate__Encoding encodings[PF_RUNS_MAX];
	Xmigrate__Pages wire = XMIGRATE__PAGES__INIT;
	struct walk walk = {0};

	if (pages->run_count == 0 || pages->run_count > PF_RUNS_MAX)
		return broken_run("the number of runs is out of range", pages->run_count, err);
	for (size_t i = 0; i < pages->run_count; i++) {
		const struct pf_run *run = &pages->runs[i];
		const char *rule;

		first_deltas[i] = run->first - walk.end;
		counts[i] = run->count;
		encodings[i] = (Xmigrate__Encoding)run->encoding;
		if (run->encoding == PF_ENCODING_ZSTD)
			zstd_bytes[walk.zstd] = run->bytes;
		rule = walk_run(&walk, run);
		if (rule)
			return broken_run(rule, i, err);
	}
	wire.round = pages->round;
	wire.object = pages->object;
	wire.first_deltas = first_deltas;
	wire.counts = counts;
	wire.encodings = encodings;
	wire.zstd_bytes = zstd_bytes;
	wire.n_first_deltas = wire.n_counts = wire.n_encodings = pages->run_count;
	wire.n_zstd_bytes = walk.zstd;
	return pf_pack(PF_TYPE_PAGES, &wire.base, body, err);
}

/* Run i as the message has it; the payload bytes of RAW and ZERO follow from the rest. */
static const char *read_run(const Xmigrate__Pages *wire, size_t i, const struct walk *walk,
			    struct pf_run *ret_run)
{
	struct pf_run run = {
		.count = wire->counts[i],
		.encoding = (enum pf_encoding)wire->encodings[i],
	};

	if (wire->first_deltas[i] >= PAGES_END_MAX)
		return "a run ends behind page 2^40";
	if (run.count > PF_BATCH_PAGES_MAX)
		return "it has more than 65536 pages";
	run.first = walk->end + wire->first_deltas[i];
	if (run.encoding == PF_ENCODING_RAW)
		run.bytes = run.count * PF_PAGE_SIZE;
	if (run.encoding == PF_ENCODING_ZSTD) {
		if (walk->zstd >= wire->n_zstd_bytes)
			return "it has fewer ZSTD sizes than ZSTD runs";
		run.bytes = wire->zstd_bytes[walk->zstd];
	}
	*ret_run = run;
	return NULL;
}

static int read_runs(const Xmigrate__Pages *wire, uint32_t payload_size, struct pf_run *runs,
		     struct xm_error *err)
{
	struct walk walk = {0};

	for (size_t i = 0; i < wire->n_first_deltas; i++) {
		const char *rule = read_run(wire, i, &walk, &runs[i]);

		if (!rule)
			rule = walk_run(&walk, &runs[i]);
		if (rule)
			return pf_bad(err, PF_TYPE_PAGES, "%s (run %zu)", rule, i);
	}
	if (walk.zstd != wire->n_zstd_bytes)
		return pf_bad(err, PF_TYPE_PAGES, "it has more ZSTD sizes than ZSTD runs");
	if (walk.payload != payload_size)
		return pf_bad(err, PF_TYPE_PAGES, "its runs have %llu bytes, its payload %u",
			      (unsigned long long)walk.payload, payload_size);
	return 0;
}

int pf_pages_decode(const void *body, size_t size, uint32_t payload_size, struct pf_pages *pages,
		    struct xm_error *err)
{
	PF_STACK_ARENA(arena, PAGES_ARENA);
	Xmigrate__Pages *wire;
	int rc;

	rc = pf_unpack(PF_TYPE_PAGES, &xmigrate__pages__descriptor, body, size, &arena, &wire, err);
	if (rc != 0)
		return rc;
	if (wire->round == 0)
		return pf_bad(err, PF_TYPE_PAGES, "its round is 0");
	if (wire->n_first_deltas == 0 || wire->n_first_deltas > PF_RUNS_MAX)
		return pf_bad(err, PF_TYPE_PAGES, "it has %zu runs instead of 1 to %u",
			      wire->n_first_deltas, PF_RUNS_MAX);
	if (wire->n_counts != wire->n_first_deltas || wire->n_encodings != wire->n_first_deltas)
		return pf_bad(err, PF_TYPE_PAGES, "its arrays differ in length");
	rc = read_runs(wire, payload_size, pages->runs, err);
	if (rc != 0)
		return rc;
	pages->round = wire->round;
	pages->object = wire->object;
	pages->run_count = (uint32_t)wire->n_first_deltas;
	return 0;
}
