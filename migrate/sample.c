// SPDX-License-Identifier: Apache-2.0
#include "migrate/sample.h"

#include <errno.h>
#include <stdlib.h>

#include "common/bitmap.h"
#include "common/clock.h"
#include "common/error.h"

#define SAMPLED_OF 16
#define BLOCKS_MIN 8

static const uint64_t peek_after_ms[] = {100, 250, 500, 1000, 2000};

#define PEEKS (sizeof(peek_after_ms) / sizeof(peek_after_ms[0]))
_Static_assert(PEEKS <= MIG_DIRTY_POINTS_MAX, "each peek has its point");

/* One block of each group, at a place in it that a multiplicative hash chooses. */
static void choose(struct mig_sample *sample, uint64_t blocks)
{
	for (unsigned i = 0; i < sample->count; i++) {
		uint64_t first = blocks * i / sample->count;
		uint64_t size = blocks * (i + 1) / sample->count - first;
		uint64_t jitter = (i * 0x9e3779b97f4a7c15ull) >> 32;

		sample->blocks[i] = (uint32_t)(first + jitter % size);
	}
}

typedef int log_reader(struct hv_log *log, unsigned region, uint64_t first, uint64_t count,
		       uint64_t *ret_bits, struct xm_error *err);

/* Reads the sampled blocks by clean or peek; returns how many pages are dirty by `ret_pages`. */
static int read_blocks(struct mig_sample *sample, log_reader *reader, uint64_t *ret_pages,
		       struct xm_error *err)
{
	uint64_t bits[MIG_BLOCK_WORDS];
	uint64_t pages = 0;

	for (unsigned i = 0; i < sample->count; i++) {
		uint64_t row_page = (uint64_t)sample->blocks[i] * MIG_BLOCK_PAGES;
		unsigned region = mig_layout_region(sample->layout, row_page);
		int rc = reader(sample->log, region, row_page - sample->layout->spans[region].first,
				MIG_BLOCK_PAGES, bits, err);

		if (rc)
			return rc;
		pages += xm_bitmap_count(bits, MIG_BLOCK_PAGES);
	}
	*ret_pages = pages;
	return 0;
}

int mig_sample_start(struct mig_sample *sample, struct hv_domain *domain,
		     const struct mig_layout *layout, struct xm_error *err)
{
	uint64_t blocks = mig_layout_blocks(layout);
	uint64_t count = blocks / SAMPLED_OF;
	uint64_t ignored;
	int rc;

	if (count < BLOCKS_MIN)
		count = blocks < BLOCKS_MIN ? blocks : BLOCKS_MIN;
	*sample = (struct mig_sample){.layout = layout, .count = (unsigned)count};
	sample->blocks = calloc(count, sizeof(*sample->blocks));
	if (!sample->blocks)
		return xm_fail(err, XM_KIND_HOST, -ENOMEM, "no memory to sample the dirty rate");
	choose(sample, blocks);
	rc = hv_log_start(domain, &sample->log, err);
	if (rc == 0)
		rc = read_blocks(sample, hv_log_clean, &ignored, err);
	if (rc)
		mig_sample_stop(sample);
	else
		sample->started_ns = xm_now_ns();
	return rc;
}

uint64_t mig_sample_due_ns(const struct mig_sample *sample)
{
	if (!sample->log || sample->peeks == PEEKS)
		return UINT64_MAX;
	return sample->started_ns + peek_after_ms[sample->peeks] * XM_NS_PER_MS;
}

int mig_sample_peek(struct mig_sample *sample, struct xm_error *err)
{
	struct mig_dirty_point *point = &sample->points[sample->peeks];
	uint64_t pages;
	int rc;

	rc = read_blocks(sample, hv_log_peek, &pages, err);
	if (rc)
		return rc;
	point->after_ns = xm_now_ns() - sample->started_ns;
	point->bytes = (uint64_t)((double)pages * (double)mig_layout_blocks(sample->layout) /
				  sample->count * HV_PAGE_SIZE);
	sample->peeks++;
	return 0;
}

uint64_t mig_sample_rate(const struct mig_sample *sample)
{
	uint64_t best = 0;

	/* Where the working set is small, the rate shows in the first points only. */
	for (unsigned i = 0; i < sample->peeks; i++) {
		uint64_t rate = (uint64_t)((double)sample->points[i].bytes * 1e9 /
					   (double)sample->points[i].after_ns);

		if (rate > best)
			best = rate;
	}
	return best;
}

void mig_sample_stop(struct mig_sample *sample)
{
	hv_log_stop(sample->log);
	sample->log = NULL;
	free(sample->blocks);
	sample->blocks = NULL;
}
