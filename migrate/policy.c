// SPDX-License-Identifier: Apache-2.0
#include "migrate/policy.h"

#include "common/clock.h"

/* What a rate measured during first touches must wait for before it counts against the guest. */
#define UNSETTLED_AFTER_NS (3 * XM_NS_PER_S / 2)

/* Nanoseconds for so many bytes, without overflow. */
static uint64_t time_for(uint64_t bytes, uint64_t rate)
{
	unsigned __int128 ns = (unsigned __int128)bytes * XM_NS_PER_S / (rate ? rate : 1);

	return ns > UINT64_MAX / 4 ? UINT64_MAX / 4 : (uint64_t)ns;
}

static uint64_t bytes_in(uint64_t ns, uint64_t rate)
{
	unsigned __int128 bytes = (unsigned __int128)ns * rate / XM_NS_PER_S;

	return bytes > UINT64_MAX / 4 ? UINT64_MAX / 4 : (uint64_t)bytes;
}

uint64_t mig_policy_predict(const struct mig_link *link, uint64_t dirty_bytes)
{
	return time_for(dirty_bytes + link->state_bytes, link->rate) + link->fixed_ns;
}

static unsigned margin_percent(const struct mig_link *link)
{
	if (link->rate_is_limit)
		return 110;
	return link->rate_is_settled ? 125 : 800;
}

bool mig_policy_hopeless(const struct mig_link *link, const struct mig_dirty_point *points,
			 size_t count, uint64_t downtime_ns, uint64_t *ret_pause_ns,
			 bool *ret_lasting)
{
	bool unsettled = !link->rate_is_limit && !link->rate_is_settled;
	bool hopeless = false;
	uint64_t most = 0;

	for (size_t i = 0; i < count; i++) {
		/* D never falls with t, so what was seen within a shorter time holds for the ceiling too. */
		uint64_t t = points[i].after_ns > downtime_ns ? points[i].after_ns : downtime_ns;
		uint64_t carried = bytes_in(t, link->rate);

		if (points[i].bytes > most)
			most = points[i].bytes;
		if (unsettled && points[i].after_ns < UNSETTLED_AFTER_NS)
			continue;
		if ((unsigned __int128)points[i].bytes * 100 >
		    (unsigned __int128)carried * margin_percent(link))
			hopeless = true;
	}
	if (!hopeless)
		return false;
	*ret_pause_ns = mig_policy_predict(link, most);
	*ret_lasting = count >= 2 && points[count - 1].bytes <=
					     points[count - 2].bytes + points[count - 2].bytes / 5;
	return true;
}

/* What one more round would leave to be predicted. */
static uint64_t predict_next(const struct mig_round_facts *facts, uint64_t now_ns)
{
	uint64_t round_ns = time_for(facts->dirty_bytes, facts->link.rate) + facts->round_trip_ns;
	uint64_t next = mig_policy_predict(&facts->link, bytes_in(round_ns, facts->dirty_rate));
	uint64_t trend;

	if (facts->previous_ns == 0 || now_ns >= facts->previous_ns)
		return next;
	/*
	 * The dirty rate of a long round says little about a short one where the guest writes the same
	 * pages over and over, so the last round's gain is believed too, the worse of both.
	 */
	trend = (uint64_t)((unsigned __int128)now_ns * now_ns / facts->previous_ns);
	return trend > next ? trend : next;
}

static enum mig_reason limit_met(const struct mig_round_facts *facts)
{
	if (facts->rounds >= facts->limits.rounds)
		return MIG_REASON_ROUNDS;
	if (facts->sent_bytes >= facts->limits.bytes ||
	    facts->dirty_bytes > facts->limits.bytes - facts->sent_bytes)
		return MIG_REASON_BYTES;
	return MIG_REASON_NONE;
}

void mig_policy_decide(const struct mig_round_facts *facts, struct mig_decision *ret_decision)
{
	uint64_t now = mig_policy_predict(&facts->link, facts->dirty_bytes);
	uint64_t next = predict_next(facts, now);
	enum mig_reason limit = limit_met(facts);
	struct mig_decision decision = {
		.verdict = MIG_CONTINUE,
		.predicted_ns = now,
		.next_ns = next,
	};

	if (facts->previous_ns && now > facts->previous_ns - facts->previous_ns / 10)
		decision.stalled = facts->stalled + 1;
	if (now <= facts->limits.downtime_ns) {
		if (limit != MIG_REASON_NONE || next > now - now / 4)
			decision.verdict = MIG_STOP;
	} else if (limit != MIG_REASON_NONE) {
		decision.verdict = MIG_REFUSE;
		decision.reason = limit;
	} else if (decision.stalled >= MIG_STALLED_MAX) {
		decision.verdict = MIG_REFUSE;
		decision.reason = MIG_REASON_STALLED;
	}
	*ret_decision = decision;
}
