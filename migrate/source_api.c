// SPDX-License-Identifier: Apache-2.0
/* What other threads may ask of a migration, and change, while it runs. */
#include "migrate/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "migrate/thread.h"

static int check_config(const struct mig_source_config *config, struct xm_error *err)
{
	if (config->channels < 1 || config->channels > PF_CHANNELS_MAX)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "%u page channels were asked for; there can be 1 to %u",
			       config->channels, PF_CHANNELS_MAX);
	if (config->limits.rounds < 1)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "the limit on rounds must be 1 or more");
	if (config->zstd_level < -7 || config->zstd_level > 19)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "the compression level %d is out of range; it can be -7 to 19",
			       config->zstd_level);
	if (config->keep_running && tp_can_answer(config->session))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "a domain that moves to another host cannot keep running here");
	if (memchr(config->name, 0, sizeof(config->name)) == NULL)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "the domain's name is too long");
	return 0;
}

/* 0 on the operator's side means four times the domain's memory. */
static uint64_t resolve_bytes(const struct mig_source *source, uint64_t bytes)
{
	return bytes ? bytes : 4 * hv_domain_config(source->domain)->memory_bytes;
}

int mig_source_create(const struct mig_source_config *config, struct mig_source **ret_source,
		      struct xm_error *err)
{
	struct mig_source *source;
	unsigned most = tp_channels_max(config->session);
	int rc;

	rc = check_config(config, err);
	if (rc)
		return rc;
	source = calloc(1, sizeof(*source));
	if (!source)
		return xm_fail(err, XM_KIND_HOST, -ENOMEM, "no memory for a migration");
	source->config = *config;
	source->config.config = config->config ? strdup(config->config) : NULL;
	source->domain = config->domain;
	source->session = config->session;
	source->answers = tp_can_answer(config->session);
	source->channels = config->channels < most ? config->channels : most;
	source->limits = config->limits;
	source->limits.bytes = resolve_bytes(source, config->limits.bytes);
	atomic_store(&source->bytes_max, source->limits.bytes);
	/* Not when it runs: limits may have been changed by then. */
	tp_set_bandwidth(config->session, config->limits.bandwidth);
	mig_control_init(&source->control, config->session, "target");
	pthread_mutex_init(&source->lock, NULL);
	mig_cond_init(&source->changed);
	mig_cond_init(&source->work);
	*ret_source = source;
	return 0;
}

void mig_source_destroy(struct mig_source *source)
{
	if (!source)
		return;
	mig_control_finish(&source->control);
	mig_table_finish(&source->table);
	mig_bitmap_destroy(&source->layout, source->pending);
	mig_bitmap_destroy(&source->layout, source->skipped);
	mig_bitmap_destroy(&source->layout, source->fetched);
	mig_sections_finish(&source->sections);
	pthread_mutex_destroy(&source->lock);
	pthread_cond_destroy(&source->changed);
	pthread_cond_destroy(&source->work);
	free((char *)source->config.config);
	free(source);
}

int mig_source_cancel(struct mig_source *source, struct xm_error *err)
{
	struct xm_error cause = XM_ERROR_INIT;
	enum mig_state state;
	bool late;

	pthread_mutex_lock(&source->lock);
	state = source->state;
	late = source->finished || state >= MIG_COMMIT_SENT;
	source->cancelled |= !late;
	pthread_cond_signal(&source->changed);
	pthread_mutex_unlock(&source->lock);
	if (late)
		return xm_fail(err, XM_KIND_CONFLICT, -EALREADY,
			       "it is too late to cancel the migration of '%s': it is in state %s",
			       source->config.name, mig_state_name(state));
	xm_fail(&cause, XM_KIND_CANCELLED, -ECANCELED, "the migration was cancelled at the source");
	mig_control_give_up(&source->control, PF_TYPE_ABORT, &cause);
	return 0;
}

int mig_source_set_limits(struct mig_source *source, const struct mig_limits *limits,
			  struct xm_error *err)
{
	if (limits->rounds < 1)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "the limit on rounds must be 1 or more");
	pthread_mutex_lock(&source->lock);
	source->limits = *limits;
	source->limits.bytes = resolve_bytes(source, limits->bytes);
	source->limits_changed = true;
	if (source->state < MIG_STOPCOPY)
		atomic_store(&source->bytes_max, source->limits.bytes);
	pthread_cond_signal(&source->changed);
	pthread_mutex_unlock(&source->lock);
	tp_set_bandwidth(source->session, limits->bandwidth);
	return 0;
}

void mig_source_limits(struct mig_source *source, struct mig_limits *ret_limits)
{
	XM_LOCK_GUARD(&source->lock);

	*ret_limits = source->limits;
}

/* The lock is held. */
static void fill_estimates(struct mig_source *source, struct mig_progress *progress)
{
	uint64_t elapsed = xm_now_ns() - source->round.started_ns;
	uint64_t payload = atomic_load(&source->sent_payload) - source->round.payload_before;
	bool copying = source->state == MIG_PRECOPY || source->state == MIG_STOPCOPY;

	progress->bandwidth = source->rate;
	if (copying && source->round.number && elapsed > 10 * XM_NS_PER_MS && payload)
		progress->bandwidth = (uint64_t)((double)payload * 1e9 / (double)elapsed);
	if (progress->bandwidth && source->state == MIG_PRECOPY)
		progress->eta_ns = (uint64_t)((double)progress->remaining_bytes * 1e9 /
					      (double)progress->bandwidth);
}

void mig_source_fill_progress(struct mig_source *source, struct mig_progress *ret_progress)
{
	struct tp_stats stats;
	struct mig_progress progress = {0};
	XM_LOCK_GUARD(&source->lock);

	tp_stats(source->session, &stats);
	progress.state = source->state;
	progress.round = source->round.number;
	progress.memory_bytes = hv_domain_config(source->domain)->memory_bytes;
	progress.sent_pages = atomic_load(&source->sent_pages);
	progress.zero_pages = atomic_load(&source->zero_pages);
	progress.skipped_pages = atomic_load(&source->skipped_pages);
	progress.wire_bytes = stats.bytes_sent;
	progress.remaining_bytes = atomic_load(&source->round_pages_left) * HV_PAGE_SIZE;
	progress.dirty_rate = source->dirty_rate;
	progress.predicted_pause_ns = source->predicted_ns;
	progress.elapsed_ns = source->began_ns ? xm_now_ns() - source->began_ns : 0;
	fill_estimates(source, &progress);
	*ret_progress = progress;
}

void mig_source_progress(struct mig_source *source, struct mig_progress *ret_progress)
{
	mig_source_fill_progress(source, ret_progress);
}
