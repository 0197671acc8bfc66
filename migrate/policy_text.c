// SPDX-License-Identifier: Apache-2.0
/* The sentences in which a migration declines. */
#include "migrate/policy.h"

#include <errno.h>
#include <stdio.h>

#include "common/clock.h"

#define MB 1e6

static double megabytes(uint64_t bytes)
{
	return (double)bytes / MB;
}

static unsigned long long milliseconds(uint64_t ns)
{
	return (unsigned long long)((ns + XM_NS_PER_MS - 1) / XM_NS_PER_MS);
}

/* A ceiling that would do, with a fifth to spare, in round numbers. */
static unsigned long long ceiling_that_does(uint64_t pause_ns)
{
	unsigned long long ms = milliseconds(pause_ns + pause_ns / 5);

	return (ms + 9) / 10 * 10;
}

static void why(const struct mig_refusal *refusal, char *text, size_t size)
{
	switch (refusal->reason) {
	case MIG_REASON_ROUNDS:
		snprintf(text, size, "after %u rounds, the most that were allowed, ",
			 refusal->rounds);
		return;
	case MIG_REASON_BYTES:
		snprintf(text, size, "with all the bytes sent that were allowed, ");
		return;
	case MIG_REASON_STALLED:
		snprintf(text, size, "after %u rounds, of which the last %u did not help, ",
			 refusal->rounds, MIG_STALLED_MAX);
		return;
	case MIG_REASON_HOPELESS:
	case MIG_REASON_NONE:
		break;
	}
	snprintf(text, size, "while the guest goes on like this, ");
}

int mig_policy_refuse(const struct mig_refusal *refusal, struct xm_error *err)
{
	char reason[128];
	char longer[64] = "";

	why(refusal, reason, sizeof(reason));
	if (refusal->lasting)
		snprintf(longer, sizeof(longer), "--max-downtime %llums, ",
			 ceiling_that_does(refusal->pause_ns));
	return xm_fail(
		err, XM_KIND_REFUSED, -EPERM,
		"the limits cannot be met: the guest dirties %.0f MB/s, %s carries %.0f MB/s, "
		"and %sthe pause would be %s%llu ms, over the ceiling of %llu ms. The domain "
		"runs on here. What would help: %smore bandwidth or channels, a throttled "
		"guest, or moving it without --live",
		megabytes(refusal->dirty_rate),
		refusal->rate_is_limit ? "the bandwidth limit" : "the link",
		megabytes(refusal->rate), reason, refusal->lasting ? "" : "at least ",
		milliseconds(refusal->pause_ns), milliseconds(refusal->ceiling_ns), longer);
}
