// SPDX-License-Identifier: Apache-2.0
/*
 * How pages become a batch. Each page is copied once into the transport's staging buffer, since the running guest
 * may change it at any moment; the zero test, the hash, compression and the send all see the copy.
 */
#include "migrate/source.h"

#include <errno.h>
#include <string.h>
#include <zstd.h>

#include "common/fault.h"

/*
 * The guest writes while we read. A torn copy does no harm: the write has set the page's bit in the
 * log, so the page comes again. ThreadSanitizer, which cannot know that, is shown single loads.
 */
static void copy_page(uint8_t *to, const uint8_t *from)
{
#ifdef __SANITIZE_THREAD__
	for (size_t i = 0; i < HV_PAGE_SIZE; i += 8) {
		uint64_t word = __atomic_load_n((const uint64_t *)(from + i), __ATOMIC_RELAXED);

		memcpy(to + i, &word, 8);
	}
#else
	memcpy(to, from, HV_PAGE_SIZE);
#endif
}

void mig_batch_drop(struct mig_source_worker *worker)
{
	if (worker->buffer)
		tp_buffer_put(worker->source->session, worker->channel, worker->buffer);
	worker->buffer = NULL;
	worker->fill = 0;
	worker->run_count = 0;
	worker->page_count = 0;
	worker->plain_count = 0;
}

static int borrow(struct mig_source_worker *worker, struct xm_error *err)
{
	if (worker->buffer)
		return 0;
	return tp_buffer_get(worker->source->session, worker->channel, &worker->buffer, err);
}

/* The limit on bytes is met in the middle of a round: there is no use in the rest of it. */
static int count_payload(struct mig_source *source, uint32_t payload, struct xm_error *err)
{
	uint64_t sent = atomic_fetch_add(&source->sent_payload, payload) + payload;
	uint64_t max = atomic_load(&source->bytes_max);

	if (sent <= max)
		return 0;
	return xm_fail(err, XM_KIND_REFUSED, -EPERM,
		       "the limits cannot be met: %llu MB were sent and round %u is not complete, "
		       "where %llu MB were allowed. The domain runs on here. What would help: a "
		       "higher limit on bytes, compression, or moving it without --live",
		       (unsigned long long)(sent / 1000000), source->round.number,
		       (unsigned long long)(max / 1000000));
}

static int submit(struct mig_source_worker *worker, struct xm_error *err)
{
	struct mig_source *source = worker->source;
	struct pf_pages pages = {
		.round = source->round.number,
		.object = worker->object,
		.run_count = worker->run_count,
		.runs = worker->runs,
	};
	struct tp_frame frame = {.type = PF_TYPE_PAGES, .flags = PF_FLAG_MANDATORY};
	uint32_t payload = (uint32_t)worker->fill;
	struct tp_buffer *buffer;
	int rc;

	rc = pf_pages_encode(&pages, &worker->body, err);
	if (rc == 0)
		rc = borrow(worker, err);
	if (rc)
		return rc;
	frame.body = worker->body.data;
	frame.body_size = (uint32_t)worker->body.size;
	frame.payload_sum = pf_checksum(worker->hashes, worker->page_count * sizeof(uint64_t));
	buffer = worker->buffer;
	worker->buffer = NULL;
	rc = tp_submit(source->session, worker->channel, &frame, buffer, payload, err);
	if (rc)
		return rc;
	worker->tally.pages += worker->page_count;
	worker->tally.payload += payload;
	atomic_fetch_add_explicit(&source->sent_pages, worker->page_count, memory_order_relaxed);
	worker->fill = 0;
	worker->run_count = 0;
	worker->page_count = 0;
	return count_payload(source, payload, err);
}

static void add_run(struct mig_source_worker *worker, uint64_t first, uint32_t count,
		    enum pf_encoding encoding, uint32_t bytes)
{
	struct pf_run *last = worker->run_count ? &worker->runs[worker->run_count - 1] : NULL;

	if (last && encoding != PF_ENCODING_ZSTD && last->encoding == encoding &&
	    last->first + last->count == first) {
		last->count += count;
		last->bytes += bytes;
		return;
	}
	worker->runs[worker->run_count++] = (struct pf_run){
		.first = first, .count = count, .encoding = encoding, .bytes = bytes};
}

/* Compresses the pages that wait in `plain` into the staging buffer, or copies them if that is shorter. */
static int end_plain(struct mig_source_worker *worker, struct xm_error *err)
{
	size_t plain = (size_t)worker->plain_count * HV_PAGE_SIZE;
	size_t capacity = tp_buffer_capacity(worker->source->session);
	uint64_t first = worker->plain_first;
	uint32_t count = worker->plain_count;
	uint8_t *to;
	size_t size;
	int rc;

	if (count == 0)
		return 0;
	rc = borrow(worker, err);
	if (rc)
		return rc;
	/* Room for all of it is seen to when a page is added. */
	to = worker->buffer->data + worker->fill;
	if (worker->fill + plain > capacity)
		return xm_fail(err, XM_KIND_INTERNAL, -EOVERFLOW, "a batch outgrew its buffer");
	size = ZSTD_compressCCtx(worker->zstd, to, plain - 1, worker->plain, plain,
				 worker->source->config.zstd_level);
	worker->plain_count = 0;
	if (ZSTD_isError(size)) {
		memcpy(to, worker->plain, plain);
		add_run(worker, first, count, PF_ENCODING_RAW, (uint32_t)plain);
		worker->fill += plain;
		return 0;
	}
	add_run(worker, first, count, PF_ENCODING_ZSTD, (uint32_t)size);
	worker->fill += size;
	return 0;
}

int mig_batch_flush(struct mig_source_worker *worker, struct xm_error *err)
{
	int rc = 0;

	if (worker->zstd)
		rc = end_plain(worker, err);
	if (rc == 0 && worker->page_count) {
		rc = submit(worker, err);
		mig_worker_rest(worker);
	}
	return rc;
}

/* Is there room for one more page, whatever it turns out to be? */
static bool is_full(const struct mig_source_worker *worker)
{
	size_t waiting = (size_t)worker->plain_count * HV_PAGE_SIZE;

	return worker->fill + waiting + HV_PAGE_SIZE >
		       tp_buffer_capacity(worker->source->session) ||
	       worker->run_count + 2 > PF_RUNS_MAX || worker->page_count == MIG_BATCH_PAGES;
}

/* Where the page's copy goes; a run of pages that wait for compression ends where the pages do. */
static int stage(struct mig_source_worker *worker, uint64_t page, uint8_t **ret_staged,
		 struct xm_error *err)
{
	int rc = 0;

	if (!worker->zstd) {
		rc = borrow(worker, err);
		if (rc)
			return rc;
		*ret_staged = worker->buffer->data + worker->fill;
		return 0;
	}
	if (worker->plain_count == MIG_ZSTD_PAGES ||
	    (worker->plain_count && worker->plain_first + worker->plain_count != page))
		rc = end_plain(worker, err);
	if (rc)
		return rc;
	*ret_staged = worker->plain + (size_t)worker->plain_count * HV_PAGE_SIZE;
	return 0;
}

/* Takes the staged page into the batch. */
static int take(struct mig_source_worker *worker, uint64_t page, uint64_t hash,
		struct xm_error *err)
{
	int rc = 0;

	if (hash == 0) {
		if (worker->zstd)
			rc = end_plain(worker, err);
		if (rc)
			return rc;
		add_run(worker, page, 1, PF_ENCODING_ZERO, 0);
		atomic_fetch_add_explicit(&worker->source->zero_pages, 1, memory_order_relaxed);
	} else if (worker->zstd) {
		if (worker->plain_count == 0)
			worker->plain_first = page;
		worker->plain_count++;
		worker->tally.content++;
	} else {
		add_run(worker, page, 1, PF_ENCODING_RAW, HV_PAGE_SIZE);
		worker->fill += HV_PAGE_SIZE;
		worker->tally.content++;
	}
	worker->hashes[worker->page_count++] = hash;
	return 0;
}

int mig_batch_add(struct mig_source_worker *worker, uint32_t object, uint64_t page,
		  uint64_t row_page, const uint8_t *host, struct xm_error *err)
{
	struct mig_source *source = worker->source;
	uint8_t *staged;
	uint64_t hash;
	int rc = 0;

	if (worker->page_count && (object != worker->object || is_full(worker)))
		rc = mig_batch_flush(worker, err);
	if (rc == 0)
		rc = stage(worker, page, &staged, err);
	if (rc)
		return rc;
	worker->object = object;
	copy_page(staged, host);
	hash = pf_page_hash(staged);
	/*
	 * Written, with the same content as before: the target has it. (In the first round a page of zeros is
	 * sent all the same, in case creating the domain there has written to it.)
	 */
	if (source->round.number > 1 && hash == source->table.hashes[row_page])
		return 0;
	mig_table_enter(&source->table, row_page, object, page, hash, &worker->tally.digest);
	if (xm_fault("migrate.break.drop-page") == 1)
		return 0;
	return take(worker, page, hash, err);
}
