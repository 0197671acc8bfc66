// SPDX-License-Identifier: Apache-2.0
/*
 * A page channel's thread: claims blocks from the round's cursor, in ascending order, decides which of their
 * pages are to be sent, and puts these into batches.
 */
#include "migrate/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "common/bitmap.h"
#include "common/cleanup.h"
#include "common/fault.h"
#include "migrate/thread.h"

/* Blocks of one claim where there is nothing but a hole: one clean serves them all. */
#define HOLE_BLOCKS_MAX 128

/* Blocks [first, first + count), all of one region. */
struct claim {
	uint64_t first;
	uint64_t count;
	bool hole;
};

int mig_worker_init(struct mig_source_worker *worker, struct mig_source *source, unsigned channel,
		    struct xm_error *err)
{
	worker->source = source;
	worker->channel = channel;
	worker->runs = calloc(PF_RUNS_MAX, sizeof(*worker->runs));
	worker->hashes = calloc(MIG_BATCH_PAGES, sizeof(*worker->hashes));
	if (!worker->runs || !worker->hashes)
		return xm_fail(err, XM_KIND_HOST, -ENOMEM, "no memory for a page channel");
	if (source->config.zstd_level == 0)
		return 0;
	worker->zstd = ZSTD_createCCtx();
	worker->plain = aligned_alloc(64, MIG_ZSTD_PAGES * HV_PAGE_SIZE);
	if (!worker->zstd || !worker->plain)
		return xm_fail(err, XM_KIND_HOST, -ENOMEM, "no memory for compression");
	return 0;
}

void mig_worker_finish(struct mig_source_worker *worker)
{
	if (worker->buffer)
		mig_batch_drop(worker);
	free(worker->runs);
	free(worker->hashes);
	free(worker->plain);
	ZSTD_freeCCtx(worker->zstd);
	pf_buffer_finish(&worker->body);
	memset(worker, 0, sizeof(*worker));
}

void mig_worker_rest(struct mig_source_worker *worker)
{
	if (worker->pace && !atomic_load_explicit(&worker->source->hurried, memory_order_relaxed))
		xm_pace(worker->pace);
}

uint64_t mig_worker_memory(const struct mig_source_worker *worker)
{
	uint64_t bytes = PF_RUNS_MAX * sizeof(*worker->runs) +
			 MIG_BATCH_PAGES * sizeof(*worker->hashes) + worker->body.capacity;

	if (worker->zstd)
		bytes += MIG_ZSTD_PAGES * HV_PAGE_SIZE + ZSTD_sizeof_CCtx(worker->zstd);
	return bytes;
}

/* ------------------------------------------------------------------ claiming blocks */

/* The next block that has something pending. */
static bool claim_pending(struct mig_source *source, struct claim *ret_claim)
{
	uint64_t from = atomic_load(&source->cursor);
	uint64_t page;

	do {
		page = xm_bitmap_next_set(source->pending, source->layout.pages,
					  from * MIG_BLOCK_PAGES);
		if (page == source->layout.pages)
			return false;
	} while (!atomic_compare_exchange_weak(&source->cursor, &from, page / MIG_BLOCK_PAGES + 1));
	*ret_claim = (struct claim){.first = page / MIG_BLOCK_PAGES, .count = 1};
	return true;
}

/* What follows `from`: a stretch of blocks without a touched page, or one block with some. */
static int next_stretch(struct mig_source *source, uint64_t from, struct claim *ret_claim,
			struct xm_error *err)
{
	uint64_t row_page = from * MIG_BLOCK_PAGES;
	unsigned region = mig_layout_region(&source->layout, row_page);
	const struct mig_span *span = &source->layout.spans[region];
	uint64_t present, block, end;
	int rc;

	rc = hv_memory_next_present(source->domain, region, row_page - span->first, &present, err);
	if (rc)
		return rc;
	block = (span->first + present) / MIG_BLOCK_PAGES;
	end = block > from ? block : from + 1;
	if (end > from + HOLE_BLOCKS_MAX)
		end = from + HOLE_BLOCKS_MAX;
	*ret_claim = (struct claim){.first = from, .count = end - from, .hole = block > from};
	return 0;
}

static int claim_everything(struct mig_source *source, struct claim *ret_claim, bool *ret_any,
			    struct xm_error *err)
{
	uint64_t from = atomic_load(&source->cursor);
	struct claim claim;
	int rc;

	do {
		if (from >= mig_layout_blocks(&source->layout)) {
			*ret_any = false;
			return 0;
		}
		rc = next_stretch(source, from, &claim, err);
		if (rc)
			return rc;
	} while (!atomic_compare_exchange_weak(&source->cursor, &from, from + claim.count));
	*ret_claim = claim;
	*ret_any = true;
	return 0;
}

/* -------------------------------------------------------------- what of a block is sent */

static int send_bits(struct mig_source_worker *worker, uint64_t block, const uint64_t *bits,
		     struct xm_error *err)
{
	const struct mig_layout *layout = &worker->source->layout;
	uint64_t row_first = block * MIG_BLOCK_PAGES;
	unsigned region = mig_layout_region(layout, row_first);
	const struct mig_span *span = &layout->spans[region];

	for (unsigned w = 0; w < MIG_BLOCK_WORDS; w++) {
		for (uint64_t left = bits[w]; left; left &= left - 1) {
			uint64_t row_page = row_first + w * 64 + (unsigned)__builtin_ctzll(left);
			uint64_t page = row_page - span->first;
			int rc = mig_batch_add(worker, region, page, row_page,
					       span->host + page * HV_PAGE_SIZE, err);

			if (rc)
				return rc;
		}
	}
	return 0;
}

static uint64_t count_bits(const uint64_t *bits)
{
	return xm_bitmap_count(bits, MIG_BLOCK_PAGES);
}

static void progress_by(struct mig_source *source, uint64_t pages)
{
	atomic_fetch_sub_explicit(&source->round_pages_left, pages, memory_order_relaxed);
}

/* One block of a round over everything. Its log was cleaned already: only now may one look what is there. */
static int send_present(struct mig_source_worker *worker, uint64_t block, struct xm_error *err)
{
	struct mig_source *source = worker->source;
	uint64_t row_page = block * MIG_BLOCK_PAGES;
	unsigned region = mig_layout_region(&source->layout, row_page);
	uint64_t first = row_page - source->layout.spans[region].first;
	uint64_t bits[MIG_BLOCK_WORDS];
	int rc;

	rc = hv_memory_present(source->domain, region, first, MIG_BLOCK_PAGES, bits, err);
	if (rc == 0)
		rc = hv_memory_ensure_present(source->domain, region, first, MIG_BLOCK_PAGES, err);
	if (rc)
		return rc;
	memcpy(source->pending + block * MIG_BLOCK_WORDS, bits, sizeof(bits));
	return send_bits(worker, block, bits, err);
}

static int send_stretch(struct mig_source_worker *worker, const struct claim *claim,
			struct xm_error *err)
{
	struct mig_source *source = worker->source;
	uint64_t ignored[HOLE_BLOCKS_MAX * MIG_BLOCK_WORDS];
	uint64_t row_page = claim->first * MIG_BLOCK_PAGES;
	unsigned region = mig_layout_region(&source->layout, row_page);
	uint64_t first = row_page - source->layout.spans[region].first;
	uint64_t count = claim->count * MIG_BLOCK_PAGES;
	uint64_t present;
	int rc = 0;

	if (source->log)
		rc = hv_log_clean(source->log, region, first, count, ignored, err);
	if (rc)
		return rc;
	progress_by(source, count);
	if (claim->hole) {
		/* Touched between the claim and the clean? Then the log will not say so again. */
		rc = hv_memory_next_present(source->domain, region, first, &present, err);
		if (rc || present >= first + count)
			return rc;
	}
	for (uint64_t i = 0; i < claim->count && rc == 0; i++)
		rc = send_present(worker, claim->first + i, err);
	return rc;
}

/* One block of a later round: what is pending, less what the guest is writing again just now. */
static int send_pending(struct mig_source_worker *worker, uint64_t block, struct xm_error *err)
{
	struct mig_source *source = worker->source;
	uint64_t row_page = block * MIG_BLOCK_PAGES;
	unsigned region = mig_layout_region(&source->layout, row_page);
	uint64_t first = row_page - source->layout.spans[region].first;
	uint64_t bits[MIG_BLOCK_WORDS], again[MIG_BLOCK_WORDS];
	int rc;

	memcpy(bits, source->pending + block * MIG_BLOCK_WORDS, sizeof(bits));
	progress_by(source, count_bits(bits));
	rc = hv_memory_ensure_present(source->domain, region, first, MIG_BLOCK_PAGES, err);
	if (rc)
		return rc;
	if (source->round.skip) {
		rc = hv_log_peek(source->log, region, first, MIG_BLOCK_PAGES, again, err);
		if (rc)
			return rc;
		for (unsigned w = 0; w < MIG_BLOCK_WORDS; w++) {
			again[w] &= bits[w];
			bits[w] &= ~again[w];
		}
		/* No other worker has this block, so these are plain words. */
		memcpy(source->skipped + block * MIG_BLOCK_WORDS, again, sizeof(again));
		atomic_fetch_add_explicit(&source->skipped_pages, count_bits(again),
					  memory_order_relaxed);
	}
	return send_bits(worker, block, bits, err);
}

int mig_worker_run_round(struct mig_source_worker *worker, struct xm_error *err)
{
	struct mig_source *source = worker->source;
	struct claim claim;
	bool any = true;
	int rc = 0;

	while (rc == 0 && !atomic_load_explicit(&source->stopping, memory_order_relaxed)) {
		if (source->round.everything)
			rc = claim_everything(source, &claim, &any, err);
		else
			any = claim_pending(source, &claim);
		if (rc || !any)
			break;
		if (source->round.everything)
			rc = send_stretch(worker, &claim, err);
		else
			rc = send_pending(worker, claim.first, err);
		mig_worker_rest(worker);
	}
	if (rc == 0)
		rc = mig_batch_flush(worker, err);
	if (rc)
		mig_batch_drop(worker);
	return rc;
}

/* ------------------------------------------------------------------------ threads */

/* Waits for a round that this worker has not seen; false: there will be none. */
static bool await_round(struct mig_source_worker *worker)
{
	struct mig_source *source = worker->source;
	XM_LOCK_GUARD(&source->lock);

	while (!source->quit && (source->busy == 0 || worker->round_seen == source->round.number))
		pthread_cond_wait(&source->work, &source->lock);
	if (source->quit)
		return false;
	worker->round_seen = source->round.number;
	return true;
}

static void round_done(struct mig_source_worker *worker, int rc)
{
	struct mig_source *source = worker->source;
	XM_LOCK_GUARD(&source->lock);

	source->busy--;
	if (rc)
		source->worker_failed = true;
	if (rc || source->busy == 0)
		pthread_cond_signal(&source->changed);
}

static void *worker_thread(void *argument)
{
	struct mig_source_worker *worker = argument;
	struct xm_pace pace;

	xm_pace_start(&pace);
	while (await_round(worker)) {
		int rc;

		worker->pace = &pace;
		rc = mig_worker_run_round(worker, &worker->error);
		worker->pace = NULL;
		round_done(worker, rc);
	}
	xm_pace_finish(&pace);
	pthread_mutex_lock(&worker->source->lock);
	worker->source->cpu_ns += mig_own_cpu_ns();
	pthread_mutex_unlock(&worker->source->lock);
	return NULL;
}

int mig_workers_start(struct mig_source *source, struct xm_error *err)
{
	char name[24];

	for (unsigned i = 0; i < source->channels; i++) {
		int rc = mig_worker_init(&source->workers[i], source, i + 1, err);

		if (rc)
			return rc;
		snprintf(name, sizeof(name), "mig-send-%u", i + 1);
		rc = mig_thread_start(&source->workers[i].thread, worker_thread,
				      &source->workers[i], name, err);
		if (rc)
			return rc;
		source->workers[i].started = true;
	}
	return 0;
}

void mig_workers_stop(struct mig_source *source)
{
	pthread_mutex_lock(&source->lock);
	source->quit = true;
	pthread_cond_broadcast(&source->work);
	pthread_mutex_unlock(&source->lock);
	atomic_store(&source->stopping, true);
	for (unsigned i = 0; i < source->channels; i++) {
		if (source->workers[i].started)
			pthread_join(source->workers[i].thread, NULL);
		source->workers[i].started = false;
		if (source->workers[i].buffer)
			mig_batch_drop(&source->workers[i]);
	}
}
