// SPDX-License-Identifier: Apache-2.0
/* Making and unmaking a receiver, and what other threads may ask of it while it runs. */
#include "migrate/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "migrate/thread.h"

int mig_target_create(const struct mig_target_config *config, struct mig_target **ret_target,
		      struct xm_error *err)
{
	struct mig_target *target = calloc(1, sizeof(*target));

	if (!target)
		return xm_fail(err, XM_KIND_HOST, -ENOMEM, "no memory to receive a migration");
	target->config = *config;
	target->session = config->session;
	target->answers = tp_can_answer(config->session);
	target->round = 1;
	mig_control_init(&target->control, config->session, "source");
	pthread_mutex_init(&target->lock, NULL);
	mig_cond_init(&target->arrived);
	mig_cond_init(&target->opened);
	*ret_target = target;
	return 0;
}

void mig_target_destroy(struct mig_target *target)
{
	if (!target)
		return;
	mig_control_finish(&target->control);
	mig_table_finish(&target->table);
	mig_sections_finish(&target->sections);
	mig_populate_finish(target);
	pthread_mutex_destroy(&target->lock);
	pthread_cond_destroy(&target->arrived);
	pthread_cond_destroy(&target->opened);
	free(target);
}

void mig_target_cancel(struct mig_target *target)
{
	struct xm_error cause = XM_ERROR_INIT;

	xm_fail(&cause, XM_KIND_CANCELLED, -ECANCELED, "the migration was cancelled at the target");
	mig_target_fail(target, &cause);
}

void mig_target_progress(struct mig_target *target, struct mig_progress *ret_progress)
{
	struct mig_progress progress = {0};
	struct tp_stats stats;
	XM_LOCK_GUARD(&target->lock);

	tp_stats(target->session, &stats);
	progress.state = target->state;
	progress.round = target->state >= MIG_RECEIVING ? target->round : 0;
	/* The name and size are known once the source has introduced itself. */
	if (target->state >= MIG_RECEIVING)
		progress.memory_bytes = target->hello.memory_bytes;
	progress.sent_pages = atomic_load(&target->received_pages);
	progress.zero_pages = atomic_load(&target->zero_pages);
	progress.wire_bytes = stats.bytes_received;
	progress.elapsed_ns = target->began_ns ? xm_now_ns() - target->began_ns : 0;
	*ret_progress = progress;
}
