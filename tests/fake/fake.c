// SPDX-License-Identifier: Apache-2.0
/* A fake domain's life: made, paused, resumed, its state saved and loaded. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "tests/fake/internal.h"

#define STATE_VERSION 1

void fake_moment(struct hv_domain *domain, enum fake_event event, unsigned region, uint64_t first,
		 uint64_t count)
{
	struct fake_domain *fake = fake_of(domain);
	struct fake_moment moment = {
		.event = event, .region = region, .first = first, .count = count};

	if (fake->hook)
		fake->hook(fake->opaque, domain, &moment);
}

int fake_failing(struct hv_domain *domain, enum fake_operation operation, const char *name,
		 struct xm_error *err)
{
	struct fake_domain *fake = fake_of(domain);
	XM_LOCK_GUARD(&fake->lock);

	if (!(fake->failing & operation))
		return 0;
	return xm_fail(err, XM_KIND_HOST, -EIO, "the fake domain was told to fail at %s", name);
}

void fake_fail(struct hv_domain *domain, unsigned operations)
{
	XM_LOCK_GUARD(&fake_of(domain)->lock);

	fake_of(domain)->failing = operations;
}

void fake_counts(struct hv_domain *domain, struct fake_counts *ret_counts)
{
	XM_LOCK_GUARD(&fake_of(domain)->lock);

	*ret_counts = fake_of(domain)->counts;
}

static void destroy(struct hv_domain *domain)
{
	struct fake_domain *fake = fake_of(domain);

	fake_memory_destroy(fake);
	pthread_mutex_destroy(&fake->lock);
	free(fake);
}

/* ------------------------------------------------------------------------ execution */

static int pause_domain(struct hv_domain *domain, struct hv_pause_times *ret_times,
			struct xm_error *err)
{
	struct fake_domain *fake = fake_of(domain);
	int rc = fake_failing(domain, FAKE_OP_PAUSE, "pause", err);

	if (rc)
		return rc;
	*ret_times = (struct hv_pause_times){.stopped_at = xm_now_ns()};
	pthread_mutex_lock(&fake->lock);
	fake->paused = true;
	fake->counts.pauses++;
	pthread_mutex_unlock(&fake->lock);
	fake_moment(domain, FAKE_PAUSED, 0, 0, 0);
	return 0;
}

static int resume_domain(struct hv_domain *domain, struct xm_error *err)
{
	struct fake_domain *fake = fake_of(domain);
	int rc = fake_failing(domain, FAKE_OP_RESUME, "resume", err);

	if (rc)
		return rc;
	pthread_mutex_lock(&fake->lock);
	fake->paused = false;
	fake->counts.resumes++;
	pthread_mutex_unlock(&fake->lock);
	fake_moment(domain, FAKE_RESUMED, 0, 0, 0);
	return 0;
}

static bool paused_domain(struct hv_domain *domain)
{
	XM_LOCK_GUARD(&fake_of(domain)->lock);

	return fake_of(domain)->paused;
}

static int throttle(struct hv_domain *domain, unsigned vcpu, unsigned percent, struct xm_error *err)
{
	(void)domain;
	(void)vcpu;
	(void)percent;
	(void)err;
	return 0;
}

static int vcpu_stats(struct hv_domain *domain, unsigned vcpu, struct hv_vcpu_stats *ret_stats,
		      struct xm_error *err)
{
	(void)domain;
	(void)vcpu;
	(void)err;
	*ret_stats = (struct hv_vcpu_stats){0};
	return 0;
}

/* ---------------------------------------------------------------------------- state */

static int state_save(struct hv_domain *domain, struct hv_state *ret_state, struct xm_error *err)
{
	struct fake_domain *fake = fake_of(domain);
	int rc = fake_failing(domain, FAKE_OP_SAVE, "saving state", err);

	if (rc)
		return rc;
	fake_moment(domain, FAKE_SAVE, 0, 0, 0);
	XM_LOCK_GUARD(&fake->lock);
	fake->counts.saves++;
	rc = hv_state_add(ret_state, "clock", 0, STATE_VERSION, &fake->steps, sizeof(fake->steps),
			  err);
	for (unsigned i = 0; i < domain->config.vcpus && rc == 0; i++)
		rc = hv_state_add(ret_state, "vcpu", i, STATE_VERSION, fake->registers[i],
				  sizeof(fake->registers[i]), err);
	return rc;
}

static int find(const struct hv_state *state, const char *name, uint32_t instance, uint32_t size,
		const void **ret_data, struct xm_error *err)
{
	const struct hv_section *section = hv_state_find(state, name, instance);

	if (!section || section->version != STATE_VERSION || section->size != size)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "state section %s %u is missing or not one of ours", name, instance);
	*ret_data = section->data;
	return 0;
}

static int state_load(struct hv_domain *domain, const struct hv_state *state, struct xm_error *err)
{
	struct fake_domain *fake = fake_of(domain);
	const void *data;
	int rc = fake_failing(domain, FAKE_OP_LOAD, "loading state", err);

	if (rc)
		return rc;
	if (state->count != domain->config.vcpus + 1)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG, "%u state sections, not %u",
			       state->count, domain->config.vcpus + 1);
	pthread_mutex_lock(&fake->lock);
	rc = find(state, "clock", 0, sizeof(fake->steps), &data, err);
	if (rc == 0)
		memcpy(&fake->steps, data, sizeof(fake->steps));
	for (unsigned i = 0; i < domain->config.vcpus && rc == 0; i++) {
		rc = find(state, "vcpu", i, sizeof(fake->registers[i]), &data, err);
		if (rc == 0)
			memcpy(fake->registers[i], data, sizeof(fake->registers[i]));
	}
	fake->counts.loads++;
	pthread_mutex_unlock(&fake->lock);
	if (rc == 0)
		fake_moment(domain, FAKE_LOADED, 0, 0, 0);
	return rc;
}

static int platform_describe(struct hv_domain *domain, struct hv_state *ret_platform,
			     struct xm_error *err)
{
	return hv_state_add(ret_platform, "fake-platform", 0, STATE_VERSION, &domain->config.vcpus,
			    sizeof(domain->config.vcpus), err);
}

/* ----------------------------------------------------------------- what a fake has not */

static bool log_counts_vcpus(const struct hv_domain *domain)
{
	(void)domain;
	return false;
}

static uint64_t log_vcpu_pages(struct hv_domain *domain, unsigned vcpu)
{
	(void)domain;
	(void)vcpu;
	return 0;
}

static void mark_dirty(struct hv_domain *domain, unsigned region, uint64_t first, uint64_t count)
{
	XM_LOCK_GUARD(&fake_of(domain)->lock);

	fake_log_mark(fake_of(domain), region, first, count);
}

static size_t console_input(struct hv_domain *domain, const void *data, size_t size)
{
	(void)domain;
	(void)data;
	return size;
}

static uint64_t report(struct hv_domain *domain, char *buffer, size_t size)
{
	(void)domain;
	if (size)
		buffer[0] = '\0';
	return 0;
}

static const struct hv_ops fake_ops = {
	.destroy = destroy,
	.memory_present = fake_memory_present,
	.memory_next_present = fake_memory_next_present,
	.memory_populate = fake_memory_populate,
	.log_start = fake_log_start,
	.log_clean = fake_log_clean,
	.log_peek = fake_log_peek,
	.log_stop = fake_log_stop,
	.log_counts_vcpus = log_counts_vcpus,
	.log_vcpu_pages = log_vcpu_pages,
	.pause = pause_domain,
	.resume = resume_domain,
	.paused = paused_domain,
	.throttle = throttle,
	.vcpu_stats = vcpu_stats,
	.state_save = state_save,
	.state_load = state_load,
	.platform_describe = platform_describe,
	.mark_dirty = mark_dirty,
	.console_input = console_input,
	.report = report,
};

int fake_create(const struct fake_config *config, fake_hook *hook, void *opaque,
		struct hv_domain **ret_domain, struct xm_error *err)
{
	struct fake_domain *fake = calloc(1, sizeof(*fake));
	int rc;

	if (!fake)
		return xm_fail(err, XM_KIND_HOST, -ENOMEM, "no memory for a fake domain");
	fake->domain.ops = &fake_ops;
	fake->domain.config =
		(struct hv_config){.memory_bytes = config->memory_bytes, .vcpus = config->vcpus};
	fake->config = *config;
	fake->hook = hook;
	fake->opaque = opaque;
	fake->paused = true;
	fake->memfd = -1;
	pthread_mutex_init(&fake->lock, NULL);
	rc = fake_memory_create(fake, err);
	if (rc) {
		destroy(&fake->domain);
		return rc;
	}
	fake_guest_registers(fake);
	*ret_domain = &fake->domain;
	return 0;
}
