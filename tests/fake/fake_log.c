// SPDX-License-Identifier: Apache-2.0
/* An exact dirty log: a bitmap per consumer, marked under the lock under which the guest writes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bitmap.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "tests/fake/internal.h"

static void free_log(struct fake_log *log)
{
	for (unsigned i = 0; i < HV_REGIONS_MAX; i++)
		free(log->bits[i]);
	free(log);
}

int fake_log_start(struct hv_domain *domain, struct hv_log **ret_log, struct xm_error *err)
{
	struct fake_domain *fake = fake_of(domain);
	struct fake_log *log = calloc(1, sizeof(*log));

	if (!log)
		return xm_fail(err, XM_KIND_HOST, -ENOMEM, "no memory for a fake log");
	log->log.domain = domain;
	for (unsigned i = 0; i < domain->region_count; i++) {
		uint64_t pages = domain->regions[i].size >> HV_PAGE_SHIFT;

		log->bits[i] = calloc(xm_bitmap_words(pages), sizeof(uint64_t));
		if (!log->bits[i]) {
			free_log(log);
			return xm_fail(err, XM_KIND_HOST, -ENOMEM, "no memory for a fake log");
		}
		xm_bitmap_set_range(log->bits[i], 0, pages);
	}
	XM_LOCK_GUARD(&fake->lock);
	log->next = fake->logs;
	fake->logs = log;
	fake->counts.logs++;
	*ret_log = &log->log;
	return 0;
}

/* Copies a range out, and clears it if asked. Ranges are whole words, as domain.c has checked. */
static void fetch(struct hv_log *base, unsigned region, uint64_t first, uint64_t count,
		  uint64_t *ret_bits, bool clear)
{
	struct fake_log *log = (struct fake_log *)base;
	size_t bytes = xm_bitmap_words(count) * sizeof(uint64_t);
	uint64_t *bits = log->bits[region] + first / 64;
	XM_LOCK_GUARD(&fake_of(base->domain)->lock);

	memcpy(ret_bits, bits, bytes);
	if (clear)
		memset(bits, 0, bytes);
}

int fake_log_clean(struct hv_log *log, unsigned region, uint64_t first, uint64_t count,
		   uint64_t *ret_bits, struct xm_error *err)
{
	int rc = fake_failing(log->domain, FAKE_OP_CLEAN, "cleaning the log", err);

	if (rc)
		return rc;
	fake_moment(log->domain, FAKE_CLEAN, region, first, count);
	fetch(log, region, first, count, ret_bits, true);
	fake_moment(log->domain, FAKE_CLEANED, region, first, count);
	return 0;
}

int fake_log_peek(struct hv_log *log, unsigned region, uint64_t first, uint64_t count,
		  uint64_t *ret_bits, struct xm_error *err)
{
	(void)err;
	fetch(log, region, first, count, ret_bits, false);
	fake_moment(log->domain, FAKE_PEEKED, region, first, count);
	return 0;
}

void fake_log_stop(struct hv_log *base)
{
	struct fake_log *log = (struct fake_log *)base;
	struct fake_domain *fake = fake_of(base->domain);
	struct fake_log **link;

	pthread_mutex_lock(&fake->lock);
	for (link = &fake->logs; *link != log; link = &(*link)->next)
		;
	*link = log->next;
	fake->counts.logs--;
	pthread_mutex_unlock(&fake->lock);
	free_log(log);
}

void fake_log_mark(struct fake_domain *fake, unsigned region, uint64_t first, uint64_t count)
{
	for (struct fake_log *log = fake->logs; log; log = log->next)
		xm_bitmap_set_range(log->bits[region], first, count);
}
