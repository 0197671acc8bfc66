// SPDX-License-Identifier: Apache-2.0
/*
 * A round: the workers (or the coordinator, where there is little to send) put what is pending on the page channels,
 * and a seal on channel 0 says what was sent. What is pending stays so until the target has acknowledged it.
 */
#include "migrate/source.h"

#include <errno.h>
#include <string.h>

#include "common/bitmap.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"

/* What a rate must be measured on to be believed. */
#define SETTLED_BYTES (4ull << 20)
/* Points that a refusal waits for, so that it can say whether a longer ceiling would do: half a second. */
#define JUDGE_POINTS_MIN 3

/* ------------------------------------------------------------------- the log's harvest */

/* Pages with a bit in the row's words [first, first + words), after ORing `more` in. */
static uint64_t merge(uint64_t *pending, const uint64_t *more, uint64_t words)
{
	uint64_t dirty = 0;

	for (uint64_t w = 0; w < words; w++) {
		if (!more[w])
			continue;
		dirty += (uint64_t)__builtin_popcountll(more[w]);
		pending[w] |= more[w];
	}
	return dirty;
}

int mig_round_fetch(struct mig_source *source, uint64_t *ret_pages, struct xm_error *err)
{
	/* Of a paused domain a peek tells the same, and need not protect pages that nobody writes. */
	int (*read)(struct hv_log *, unsigned, uint64_t, uint64_t, uint64_t *, struct xm_error *) =
		source->paused_here ? hv_log_peek : hv_log_clean;
	const struct mig_layout *layout = &source->layout;
	uint64_t now = xm_now_ns();
	uint64_t dirty = 0;

	for (unsigned i = 0; i < layout->count; i++) {
		uint64_t word = layout->spans[i].first / 64;
		int rc = read(source->log, i, 0, layout->spans[i].pages, source->fetched + word,
			      err);

		if (rc)
			return rc;
		dirty += merge(source->pending + word, source->fetched + word,
			       layout->spans[i].pages / 64);
	}
	if (source->measure.cleaned_ns && now > source->measure.cleaned_ns)
		source->measure.dirty_rate = (uint64_t)((double)dirty * HV_PAGE_SIZE * 1e9 /
							(double)(now - source->measure.cleaned_ns));
	source->measure.cleaned_ns = now;
	*ret_pages = xm_bitmap_count(source->pending, layout->pages);
	return 0;
}

/* ------------------------------------------------------------ while the workers work */

static int worker_error(struct mig_source *source, struct xm_error *err)
{
	for (unsigned i = 0; i < source->channels; i++)
		if (source->workers[i].error.kind != XM_KIND_NONE) {
			*err = source->workers[i].error;
			return err->code;
		}
	return xm_fail(err, XM_KIND_INTERNAL, -EIO, "a page channel failed without a reason");
}

/* The rate at which the first round goes, in bytes of pages, once it says something. */
static struct mig_link link_now(struct mig_source *source)
{
	double elapsed = (double)(xm_now_ns() - source->round.started_ns) / 1e9;
	double payload = (double)atomic_load(&source->sent_payload);
	double content =
		(double)(atomic_load(&source->sent_pages) - atomic_load(&source->zero_pages)) *
		HV_PAGE_SIZE;
	double limit = (double)source->limits.bandwidth;
	struct mig_link link = {
		.rate = content > 0 && elapsed > 0 ? (uint64_t)(content / elapsed) : 0,
		.fixed_ns = source->measure.probe_ns,
		.state_bytes = source->measure.state_bytes,
	};

	/* A limit is known better than it can be measured this early. */
	if (limit > 0 && payload / elapsed > limit / 2) {
		link.rate = (uint64_t)(limit * content / payload);
		link.rate_is_limit = true;
	}
	return link;
}

/* Looks at the sample; refuses where pre-copy can't meet the limits. Called with the lock held. */
static int judge_sample(struct mig_source *source, struct xm_error *err)
{
	struct mig_sample *sample = &source->sample;
	struct mig_refusal refusal = {.reason = MIG_REASON_HOPELESS};
	struct mig_link link = link_now(source);

	source->dirty_rate = mig_sample_rate(sample);
	source->rate = link.rate;
	if (link.rate == 0 || sample->peeks < JUDGE_POINTS_MIN ||
	    !mig_policy_hopeless(&link, sample->points, sample->peeks, source->limits.downtime_ns,
				 &refusal.pause_ns, &refusal.lasting))
		return 0;
	refusal.dirty_rate = source->dirty_rate;
	refusal.rate = link.rate;
	refusal.rate_is_limit = link.rate_is_limit;
	refusal.ceiling_ns = source->limits.downtime_ns;
	return mig_policy_refuse(&refusal, err);
}

/* Waits, with the lock held, until the workers are done; meanwhile serves whoever wants something. */
static int oversee(struct mig_source *source, struct xm_error *err)
{
	while (source->busy) {
		uint64_t due = mig_sample_due_ns(&source->sample);
		struct timespec until = xm_timespec(due);
		bool judge = source->limits_changed;
		int rc = 0;

		if (source->cancelled || source->worker_failed)
			return 0;
		source->limits_changed = false;
		if (xm_now_ns() >= due) {
			rc = mig_sample_peek(&source->sample, err);
			judge = true;
		}
		if (rc == 0 && judge && source->sample.peeks && source->round.everything)
			rc = judge_sample(source, err);
		if (rc)
			return rc;
		if (xm_now_ns() >= mig_sample_due_ns(&source->sample))
			continue;
		if (due == UINT64_MAX)
			pthread_cond_wait(&source->changed, &source->lock);
		else
			pthread_cond_clockwait(&source->changed, &source->lock, CLOCK_MONOTONIC,
					       &until);
	}
	return 0;
}

static int all_send(struct mig_source *source, struct xm_error *err)
{
	bool failed;
	int rc;

	pthread_mutex_lock(&source->lock);
	source->busy = source->channels;
	pthread_cond_broadcast(&source->work);
	rc = oversee(source, err);
	failed = source->worker_failed;
	pthread_mutex_unlock(&source->lock);
	if (rc)
		return rc;
	rc = mig_source_check(source, err);
	if (rc)
		return rc;
	return failed ? worker_error(source, err) : 0;
}

/* The worker is parked, and parks until the next round: its channel is ours for the moment. */
static int send_alone(struct mig_source *source, struct xm_error *err)
{
	struct mig_source_worker *worker = &source->workers[0];
	int rc = mig_worker_run_round(worker, &worker->error);

	return rc ? worker_error(source, err) : 0;
}

/* -------------------------------------------------------------------- round and seal */

static void begin(struct mig_source *source, uint64_t pages)
{
	bool everything = source->round.number == 0;

	for (unsigned i = 0; i < source->channels; i++)
		source->workers[i].tally = (struct mig_tally){0};
	atomic_store(&source->cursor, 0);
	atomic_store(&source->round_pages_left, everything ? source->layout.pages : pages);
	pthread_mutex_lock(&source->lock);
	source->round.number++;
	source->round.everything = everything;
	source->round.skip = source->log && !everything && pages >= MIG_PEEK_PAGES_MIN &&
			     source->state == MIG_PRECOPY;
	source->round.payload_before = atomic_load(&source->sent_payload);
	source->round.started_ns = xm_now_ns();
	pthread_mutex_unlock(&source->lock);
}

static int send_seal(struct mig_source *source, bool final, struct xm_error *err)
{
	struct pf_seal seal = {
		.round = source->round.number,
		.final = final,
		.channel_count = source->channels,
	};
	int rc;

	for (unsigned i = 0; i < source->channels; i++) {
		const struct mig_tally *tally = &source->workers[i].tally;

		seal.pages += tally->pages;
		seal.payload_bytes += tally->payload;
		seal.last_seq[i] = tp_last_seq(source->session, i + 1);
		source->digest += tally->digest;
	}
	seal.digest = source->digest;
	rc = pf_seal_encode(&seal, &source->control.body, err);
	if (rc)
		return rc;
	return mig_control_send(&source->control, PF_TYPE_SEAL, true, NULL, 0, err);
}

int mig_round_send(struct mig_source *source, bool final, struct xm_error *err)
{
	uint64_t pages =
		source->round.number ? xm_bitmap_count(source->pending, source->layout.pages) : 0;
	int rc;

	if (xm_fault("migrate.round") < 0)
		return xm_fail(err, XM_KIND_INTERNAL, -EIO, "fault injected at a round's start");
	begin(source, pages);
	if (!source->round.everything && pages <= MIG_ALONE_PAGES_MAX)
		rc = send_alone(source, err);
	else
		rc = all_send(source, err);
	if (rc == 0)
		rc = send_seal(source, final, err);
	return rc;
}

/* What the round says about the link: from its start to the target's answer. */
static void measure(struct mig_source *source)
{
	struct mig_measure *m = &source->measure;
	uint64_t elapsed = xm_now_ns() - source->round.started_ns;
	uint64_t content = 0, payload = 0, rate;
	bool settled;

	for (unsigned i = 0; i < source->channels; i++) {
		content += source->workers[i].tally.content * HV_PAGE_SIZE;
		payload += source->workers[i].tally.payload;
	}
	if (elapsed == 0 || content == 0)
		return;
	rate = (uint64_t)((double)content * 1e9 / (double)elapsed);
	settled = content >= SETTLED_BYTES && !source->round.everything;
	if (content < SETTLED_BYTES && (m->round_trip_ns == 0 || elapsed < m->round_trip_ns))
		m->round_trip_ns = elapsed;
	if (m->rate && content < SETTLED_BYTES)
		return;
	m->rate = rate ? rate : 1;
	m->rate_is_settled = settled;
	m->payload_percent = payload * 100 / content;
}

int mig_round_sealed(struct mig_source *source, struct xm_error *err)
{
	struct pf_header header;
	struct pf_sealed sealed;
	const void *body;
	uint64_t *swap;
	int rc;

	if (source->answers) {
		rc = mig_control_expect(&source->control, PF_TYPE_SEALED, &header, &body, NULL,
					err);
		if (rc == 0)
			rc = pf_sealed_decode(body, header.body_size, &sealed, err);
		if (rc)
			return rc;
		if (sealed.round != source->round.number)
			return xm_fail(err, XM_KIND_DATA, -EPROTO,
				       "the target broke the protocol: it acknowledged round %u "
				       "where round %u was sent",
				       sealed.round, source->round.number);
	}
	measure(source);
	swap = source->pending;
	source->pending = source->skipped;
	source->skipped = swap;
	memset(source->skipped, 0, mig_bitmap_bytes(&source->layout));
	return 0;
}
