// SPDX-License-Identifier: Apache-2.0
/* When to stop, go on or refuse, as tables. */
#include "tests/test.h"

#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "migrate/policy.h"

#define MB 1000000ull
#define MS XM_NS_PER_MS

static struct mig_link link_of(uint64_t rate)
{
	return (struct mig_link){
		.rate = rate, .rate_is_settled = true, .fixed_ns = MS, .state_bytes = 0};
}

static void test_predict(void **state)
{
	struct mig_link link = link_of(1000 * MB);

	(void)state;
	assert_int_equal(mig_policy_predict(&link, 0), MS);
	assert_int_equal(mig_policy_predict(&link, 100 * MB), 101 * MS);
	link.state_bytes = 10 * MB;
	assert_int_equal(mig_policy_predict(&link, 100 * MB), 111 * MS);
	link.rate = 1;
	assert_true(mig_policy_predict(&link, UINT64_MAX / 2) > 1000000 * XM_NS_PER_S);
}

struct round_case {
	const char *name;
	uint64_t dirty, dirty_rate, previous_ms, ceiling_ms;
	uint32_t rounds, rounds_max;
	uint64_t bytes_max;
	unsigned stalled;
	enum mig_verdict verdict;
	enum mig_reason reason;
};

static void test_decide(void **state)
{
	static const struct round_case cases[] = {
		{"after round 1, far from the ceiling", 500 * MB, 200 * MB, 0, 300, 1, 30, 1 << 30,
		 0, MIG_CONTINUE, MIG_REASON_NONE},
		{"below the ceiling, one more round pays", 100 * MB, 200 * MB, 500, 300, 2, 30,
		 1 << 30, 0, MIG_CONTINUE, MIG_REASON_NONE},
		{"below the ceiling, nothing to gain", 100 * MB, 950 * MB, 105, 300, 5, 30, 1 << 30,
		 0, MIG_STOP, MIG_REASON_NONE},
		{"next to nothing dirty", 4096, MB, 5, 300, 5, 30, 1 << 30, 0, MIG_STOP,
		 MIG_REASON_NONE},
		{"an idle guest stops after its first round", 0, 0, 0, 300, 1, 30, 1 << 30, 0,
		 MIG_STOP, MIG_REASON_NONE},
		{"rounds used up, ceiling met", 100 * MB, 200 * MB, 500, 300, 30, 30, 1 << 30, 0,
		 MIG_STOP, MIG_REASON_NONE},
		{"rounds used up, ceiling not met", 400 * MB, 200 * MB, 500, 300, 30, 30, 1 << 30,
		 0, MIG_REFUSE, MIG_REASON_ROUNDS},
		{"bytes would be used up, ceiling met", 100 * MB, 200 * MB, 500, 300, 3, 30,
		 50 * MB, 0, MIG_STOP, MIG_REASON_NONE},
		{"bytes would be used up, ceiling not met", 400 * MB, 200 * MB, 500, 300, 3, 30,
		 50 * MB, 0, MIG_REFUSE, MIG_REASON_BYTES},
		{"one round that did not help", 400 * MB, 2000 * MB, 400, 300, 3, 30, 1 << 30, 0,
		 MIG_CONTINUE, MIG_REASON_NONE},
		{"the third round that did not help", 400 * MB, 2000 * MB, 400, 300, 5, 30, 1 << 30,
		 2, MIG_REFUSE, MIG_REASON_STALLED},
		{"a ceiling of nothing is never met", 0, 0, 1, 0, 4, 30, 1 << 30, 2, MIG_REFUSE,
		 MIG_REASON_STALLED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct round_case *c = &cases[i];
		struct mig_round_facts facts = {
			.link = link_of(1000 * MB),
			.limits = {.downtime_ns = c->ceiling_ms * MS,
				   .rounds = c->rounds_max,
				   .bytes = c->bytes_max},
			.rounds = c->rounds,
			.dirty_bytes = c->dirty,
			.dirty_rate = c->dirty_rate,
			.round_trip_ns = MS / 10,
			.previous_ns = c->previous_ms * MS,
			.stalled = c->stalled,
		};
		struct mig_decision decision;

		mig_policy_decide(&facts, &decision);
		if (decision.verdict != c->verdict || decision.reason != c->reason)
			fail_msg("%s: verdict %d, reason %d, %llu ns, next %llu ns", c->name,
				 decision.verdict, decision.reason,
				 (unsigned long long)decision.predicted_ns,
				 (unsigned long long)decision.next_ns);
	}
}

/* Whatever the guest does, the answer is final after limits.rounds rounds. */
static void test_always_ends(void **state)
{
	(void)state;
	for (uint64_t rate = 1; rate < 100000 * MB; rate = rate * 3 + 1) {
		struct mig_round_facts facts = {
			.link = link_of(1000 * MB),
			.limits = {.downtime_ns = 300 * MS, .rounds = 30, .bytes = UINT64_MAX},
			.dirty_rate = rate,
			.dirty_bytes = 1000 * MB,
		};
		struct mig_decision decision = {0};

		for (facts.rounds = 1; facts.rounds <= 30; facts.rounds++) {
			mig_policy_decide(&facts, &decision);
			if (decision.verdict != MIG_CONTINUE)
				break;
			facts.previous_ns = decision.predicted_ns;
			facts.stalled = decision.stalled;
			facts.dirty_bytes = (uint64_t)((double)facts.dirty_bytes / (1000.0 * MB) *
						       (double)rate);
			if (facts.dirty_bytes > 1000 * MB)
				facts.dirty_bytes = 1000 * MB;
		}
		assert_int_not_equal(decision.verdict, MIG_CONTINUE);
		assert_true(decision.verdict == MIG_STOP ? decision.predicted_ns <= 300 * MS
							 : decision.predicted_ns > 300 * MS);
	}
}

struct hopeless_case {
	const char *name;
	uint64_t rate;
	bool limit, settled;
	struct mig_dirty_point points[4];
	size_t count;
	uint64_t ceiling_ms;
	bool hopeless, lasting;
};

static void test_hopeless(void **state)
{
	static const struct hopeless_case cases[] = {
		{"2 GB/s over 256 MB through 100 MB/s, seen at half a second",
		 100 * MB,
		 true,
		 false,
		 {{100 * MS, 140 * MB}, {250 * MS, 230 * MB}, {500 * MS, 256 * MB}},
		 3,
		 300,
		 true,
		 true},
		{"the same with a ceiling that does",
		 100 * MB,
		 true,
		 false,
		 {{100 * MS, 140 * MB}, {250 * MS, 230 * MB}, {500 * MS, 256 * MB}},
		 3,
		 3000,
		 false,
		 false},
		{"a shorter time's sample counts at the ceiling",
		 100 * MB,
		 true,
		 false,
		 {{100 * MS, 140 * MB}},
		 1,
		 300,
		 true,
		 false},
		{"200 MB/s over 256 MB through 1 GB/s",
		 1000 * MB,
		 false,
		 true,
		 {{500 * MS, 100 * MB}, {1000 * MS, 180 * MB}},
		 2,
		 300,
		 false,
		 false},
		{"a rate of first touches is not believed",
		 60 * MB,
		 false,
		 false,
		 {{500 * MS, 200 * MB}, {1000 * MS, 256 * MB}, {2000 * MS, 256 * MB}},
		 3,
		 300,
		 false,
		 false},
		{"unless it is much too low for long",
		 10 * MB,
		 false,
		 false,
		 {{500 * MS, 200 * MB}, {1000 * MS, 256 * MB}, {2000 * MS, 256 * MB}},
		 3,
		 300,
		 true,
		 true},
		{"no samples", 1, true, true, {{0}}, 0, 300, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct hopeless_case *c = &cases[i];
		struct mig_link link = link_of(c->rate);
		uint64_t pause = 0;
		bool lasting = false;

		link.rate_is_limit = c->limit;
		link.rate_is_settled = c->settled;
		if (mig_policy_hopeless(&link, c->points, c->count, c->ceiling_ms * MS, &pause,
					&lasting) != c->hopeless)
			fail_msg("%s: not so", c->name);
		assert_int_equal(lasting, c->lasting);
		if (c->hopeless)
			assert_true(pause > c->ceiling_ms * MS);
	}
}

static void test_refusal_says_what_helps(void **state)
{
	struct mig_refusal refusal = {
		.reason = MIG_REASON_HOPELESS,
		.dirty_rate = 2000 * MB,
		.rate = 100 * MB,
		.rate_is_limit = true,
		.pause_ns = 2560 * MS,
		.ceiling_ns = 300 * MS,
		.lasting = true,
	};
	struct xm_error err = XM_ERROR_INIT;

	(void)state;
	assert_int_equal(mig_policy_refuse(&refusal, &err), -EPERM);
	assert_int_equal(err.kind, XM_KIND_REFUSED);
	assert_non_null(strstr(err.text, "2000 MB/s"));
	assert_non_null(strstr(err.text, "100 MB/s"));
	assert_non_null(strstr(err.text, "2560 ms"));
	assert_non_null(strstr(err.text, "300 ms"));
	assert_non_null(strstr(err.text, "--max-downtime 3080ms"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_predict),
		cmocka_unit_test(test_decide),
		cmocka_unit_test(test_always_ends),
		cmocka_unit_test(test_hopeless),
		cmocka_unit_test(test_refusal_says_what_helps),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
