// SPDX-License-Identifier: Apache-2.0
/*
 * One batch: read straight into guest memory (compressed runs through a buffer), hashed where it lies, its checksum
 * verified, and entered in the table. The domain does not run yet, so a batch that turns out bad has harmed nothing.
 */
#include "migrate/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "common/bitmap.h"

static int check_runs(struct mig_target *target, const struct pf_pages *pages, struct xm_error *err)
{
	const struct pf_run *last;

	if (pages->object >= target->layout.count)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "the source sent pages of object %u; the domain has %u",
			       pages->object, target->layout.count);
	/* They ascend without overlapping, as decoding made sure, so the last one reaches furthest. */
	last = &pages->runs[pages->run_count - 1];
	if (last->first > target->layout.spans[pages->object].pages ||
	    last->count > target->layout.spans[pages->object].pages - last->first)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "the source sent page %llu of object %u, which has %llu",
			       (unsigned long long)(last->first + last->count - 1), pages->object,
			       (unsigned long long)target->layout.spans[pages->object].pages);
	return 0;
}

/* Grows the worker's buffers to what this batch needs; the caps on frames bound both. */
static int reserve(struct mig_target_worker *worker, uint32_t pages, uint32_t packed,
		   struct xm_error *err)
{
	if (pages > worker->hashes_capacity) {
		uint64_t *grown = realloc(worker->hashes, pages * sizeof(*grown));

		if (!grown)
			return xm_fail(err, XM_KIND_HOST, -ENOMEM, "no memory for page hashes");
		worker->hashes = grown;
		worker->hashes_capacity = pages;
	}
	if (packed > worker->packed_capacity) {
		uint8_t *grown = realloc(worker->packed, packed);

		if (!grown)
			return xm_fail(err, XM_KIND_HOST, -ENOMEM,
				       "no memory for compressed pages");
		worker->packed = grown;
		worker->packed_capacity = packed;
	}
	if (packed && !worker->zstd) {
		worker->zstd = ZSTD_createDCtx();
		if (!worker->zstd)
			return xm_fail(err, XM_KIND_HOST, -ENOMEM, "no memory to decompress");
	}
	return 0;
}

static int measure(struct mig_target_worker *worker, const struct pf_pages *pages,
		   struct xm_error *err)
{
	uint32_t count = 0, packed = 0;

	for (uint32_t i = 0; i < pages->run_count; i++) {
		count += pages->runs[i].count;
		if (pages->runs[i].encoding == PF_ENCODING_ZSTD)
			packed += pages->runs[i].bytes;
	}
	return reserve(worker, count, packed, err);
}

/* Reads the payload to where its bytes belong. */
static int read_payload(struct mig_target_worker *worker, const struct pf_pages *pages,
			struct xm_error *err)
{
	uint8_t *host = worker->target->layout.spans[pages->object].host;
	uint32_t packed = 0;
	int count = 0;

	for (uint32_t i = 0; i < pages->run_count; i++) {
		const struct pf_run *run = &pages->runs[i];
		uint8_t *to = host + run->first * HV_PAGE_SIZE;

		if (run->encoding == PF_ENCODING_ZERO)
			continue;
		if (run->encoding == PF_ENCODING_ZSTD) {
			to = worker->packed + packed;
			packed += run->bytes;
		} else {
			int rc = mig_populate_run(worker->target, pages->object, run->first,
						  run->count, err);

			if (rc)
				return rc;
		}
		worker->parts[count++] = (struct iovec){.iov_base = to, .iov_len = run->bytes};
	}
	if (count == 0)
		return 0;
	return tp_receive_payload(worker->target->session, worker->channel, worker->parts, count,
				  err);
}

static int unpack(struct mig_target_worker *worker, const struct pf_run *run, uint32_t object,
		  const uint8_t *packed, struct xm_error *err)
{
	struct mig_target *target = worker->target;
	uint8_t *to = target->layout.spans[object].host + run->first * HV_PAGE_SIZE;
	size_t size = (size_t)run->count * HV_PAGE_SIZE;
	size_t got;
	int rc;

	rc = mig_populate_run(target, object, run->first, run->count, err);
	if (rc)
		return rc;
	if (ZSTD_findFrameCompressedSize(packed, run->bytes) != run->bytes)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "compressed pages from %llu of object %u are not one zstd frame",
			       (unsigned long long)run->first, object);
	got = ZSTD_decompressDCtx(worker->zstd, to, size, packed, run->bytes);
	if (ZSTD_isError(got) || got != size)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "compressed pages from %llu of object %u cannot be unpacked: %s",
			       (unsigned long long)run->first, object,
			       ZSTD_isError(got) ? ZSTD_getErrorName(got) : "too short");
	return 0;
}

/* Zeroes what is there; what was never touched is zero and stays untouched. */
static int clear_pages(struct mig_target *target, uint32_t object, uint64_t first, uint32_t count,
		       struct xm_error *err)
{
	uint8_t *host = target->layout.spans[object].host;
	uint64_t present[MIG_BLOCK_WORDS];

	while (count) {
		uint32_t step = count < MIG_BLOCK_PAGES ? count : MIG_BLOCK_PAGES;
		int rc = hv_memory_present(target->domain, object, first, step, present, err);

		if (rc)
			return rc;
		for (uint32_t i = 0; i < step; i++) {
			uint8_t *page = host + (first + i) * HV_PAGE_SIZE;

			if (xm_bitmap_test(present, i) && !pf_page_is_zero(page))
				memset(page, 0, HV_PAGE_SIZE);
		}
		first += step;
		count -= step;
	}
	return 0;
}

/* Brings every run into place and hashes its pages into worker->hashes, in the order of the runs. */
static int place_runs(struct mig_target_worker *worker, const struct pf_pages *pages,
		      uint32_t *ret_count, struct xm_error *err)
{
	struct mig_target *target = worker->target;
	const uint8_t *host = target->layout.spans[pages->object].host;
	const uint8_t *packed = worker->packed;
	uint32_t count = 0;

	for (uint32_t i = 0; i < pages->run_count; i++) {
		const struct pf_run *run = &pages->runs[i];
		int rc = 0;

		if (run->encoding == PF_ENCODING_ZERO) {
			rc = clear_pages(target, pages->object, run->first, run->count, err);
			memset(worker->hashes + count, 0, run->count * sizeof(uint64_t));
			count += run->count;
			atomic_fetch_add_explicit(&target->zero_pages, run->count,
						  memory_order_relaxed);
		} else if (run->encoding == PF_ENCODING_ZSTD) {
			rc = unpack(worker, run, pages->object, packed, err);
			packed += run->bytes;
		}
		if (rc)
			return rc;
		if (run->encoding == PF_ENCODING_ZERO)
			continue;
		for (uint32_t p = 0; p < run->count; p++)
			worker->hashes[count++] =
				pf_page_hash(host + (run->first + p) * HV_PAGE_SIZE);
	}
	*ret_count = count;
	return 0;
}

static void enter_hashes(struct mig_target_worker *worker, const struct pf_pages *pages,
			 pf_digest *digest)
{
	struct mig_target *target = worker->target;
	uint64_t row_first = target->layout.spans[pages->object].first;
	const uint64_t *hash = worker->hashes;

	for (uint32_t i = 0; i < pages->run_count; i++) {
		const struct pf_run *run = &pages->runs[i];

		for (uint32_t p = 0; p < run->count; p++)
			mig_table_enter(&target->table, row_first + run->first + p, pages->object,
					run->first + p, *hash++, digest);
	}
}

static void publish(struct mig_target_worker *worker, const struct pf_header *header,
		    uint32_t count, pf_digest digest)
{
	struct mig_target *target = worker->target;

	atomic_fetch_add_explicit(&target->received_pages, count, memory_order_relaxed);
	pthread_mutex_lock(&target->lock);
	worker->arrived.seq = header->seq;
	worker->arrived.pages += count;
	worker->arrived.payload += header->payload_size;
	worker->arrived.digest += digest;
	pthread_cond_signal(&target->arrived);
	pthread_mutex_unlock(&target->lock);
}

int mig_target_apply(struct mig_target_worker *worker, const struct pf_header *header,
		     const void *body, struct xm_error *err)
{
	struct pf_pages pages = {.runs = worker->runs};
	pf_digest digest = 0;
	uint32_t count;
	int rc;

	rc = pf_pages_decode(body, header->body_size, header->payload_size, &pages, err);
	if (rc == 0)
		rc = check_runs(worker->target, &pages, err);
	if (rc == 0)
		rc = measure(worker, &pages, err);
	if (rc == 0)
		rc = mig_target_await_round(worker->target, pages.round, err);
	if (rc == 0)
		rc = read_payload(worker, &pages, err);
	if (rc == 0)
		rc = place_runs(worker, &pages, &count, err);
	if (rc)
		return rc;
	if (pf_checksum(worker->hashes, count * sizeof(uint64_t)) != header->payload_sum)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "pages were damaged on their way (frame %llu of channel %u: the "
			       "checksum of its page hashes differs)",
			       (unsigned long long)header->seq, worker->channel);
	enter_hashes(worker, &pages, &digest);
	publish(worker, header, count, digest);
	return 0;
}
