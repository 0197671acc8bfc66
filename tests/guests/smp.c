/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smp: all vCPUs write pages, each its slice of the working set, and work on shared data with lock
 * instructions; the sums must be right afterwards (docs/guest-payloads.md).
 *
 * vCPU 0 prepares, answers the commands and checks; while it checks, the others stand at a barrier.
 * All state is in struct smp, in the first pages of free memory, so that every vCPU finds it.
 */
#include "runtime/args.h"
#include "runtime/hypercall.h"
#include "runtime/payload.h"
#include "runtime/session.h"
#include "runtime/writer.h"

#define VCPUS_MAX SESSION_GAPS_MAX

/* A vCPU that has spun so often for another one sleeps, so that on a host with fewer CPUs the
 * other can run. */
#define SPINS_MAX 20000u
#define NAP_US	  50u

/* Locked operations per page written. */
#define ROUNDS_PER_STEP 4u

struct ticket_lock {
	uint32_t next;
	uint32_t serving;
};

/* What the lock protects; two sums which only together make sense. */
struct ledger {
	uint64_t entries;
	uint64_t credit;
	uint64_t debit; /* credit + debit is zero outside the lock */
};

struct worker {
	struct writer writer;
	uint64_t rounds; /* how often it did each of the three; owned by the vCPU */
	uint64_t added;	 /* sum of what it added to the ledger */
	unsigned vcpu;
} __attribute__((aligned(64)));

struct smp {
	uint32_t ready; /* set last by vCPU 0; until then the others wait */
	uint32_t halt;	/* the others are to stop at the barrier */
	uint32_t halted;
	unsigned vcpus;
	uint64_t khz;
	uint64_t added __attribute__((aligned(64)));	 /* by lock xadd */
	uint64_t exchanged __attribute__((aligned(64))); /* by lock cmpxchg */
	struct ticket_lock lock __attribute__((aligned(64)));
	struct ledger ledger;
	struct faults faults __attribute__((aligned(64)));
	struct pages pages;
	struct session session;
	uint64_t working_mib;
	uint64_t populate_mib;
	uint64_t rate;
	uint64_t pattern;
	uint64_t seed;
	struct worker workers[VCPUS_MAX];
};

static const char *const pattern_names[] = {"uniform", "sequential", "zipf", "hot-cold", NULL};

/* One turn of waiting for another vCPU, which still reads the TSC. */
static void relax(const struct smp *smp, struct gap *gap, unsigned *spins)
{
	uint64_t nap = smp->khz * NAP_US / 1000;

	__asm__ volatile("pause");
	if (++*spins < SPINS_MAX) {
		gap_read(gap);
		return;
	}
	*spins = 0;
	wait_until(gap->last + nap);
	gap_read_slept(gap, nap);
}

static void lock_take(struct smp *smp, struct gap *gap)
{
	uint32_t ticket = __atomic_fetch_add(&smp->lock.next, 1, __ATOMIC_RELAXED);
	unsigned spins = 0;

	while (__atomic_load_n(&smp->lock.serving, __ATOMIC_ACQUIRE) != ticket)
		relax(smp, gap, &spins);
}

static void lock_release(struct smp *smp)
{
	__atomic_fetch_add(&smp->lock.serving, 1, __ATOMIC_RELEASE);
}

static void check_ledger(struct smp *smp, const struct worker *worker)
{
	struct text line;

	if (smp->ledger.credit + smp->ledger.debit == 0)
		return;
	fault_start(&smp->faults, &line, "vCPU ");
	text_decimal(&line, worker->vcpu);
	text_add(&line, " saw the ledger unbalanced inside its lock:");
	fault_values(&smp->faults, &line, -smp->ledger.credit, smp->ledger.debit);
}

/* Once each: lock xadd, lock cmpxchg, and an entry in the ledger. */
static void contend(struct smp *smp, struct worker *worker)
{
	uint64_t amount = worker->writer.checksum >> 8 | 1;
	uint64_t seen = __atomic_load_n(&smp->exchanged, __ATOMIC_RELAXED);

	__atomic_fetch_add(&smp->added, worker->vcpu + 1, __ATOMIC_SEQ_CST);
	while (!__atomic_compare_exchange_n(&smp->exchanged, &seen, seen + worker->vcpu + 1, false,
					    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
	lock_take(smp, &worker->writer.gap);
	check_ledger(smp, worker);
	smp->ledger.entries++;
	smp->ledger.credit += amount;
	smp->ledger.debit -= amount;
	lock_release(smp);
	worker->rounds++;
	worker->added += amount;
}

static uint64_t work(struct smp *smp, struct worker *worker)
{
	for (unsigned i = 0; i < ROUNDS_PER_STEP; i++)
		contend(smp, worker);
	return writer_step(&worker->writer);
}

/* ------------------------------------------------------------------ vCPUs 1 and up */

static void stand_at_barrier(struct smp *smp, struct worker *worker)
{
	unsigned spins = 0;

	writer_check_registers(&worker->writer);
	__atomic_fetch_add(&smp->halted, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&smp->halt, __ATOMIC_ACQUIRE))
		relax(smp, &worker->writer.gap, &spins);
	__atomic_fetch_sub(&smp->halted, 1, __ATOMIC_RELEASE);
}

static _Noreturn void follow(struct smp *smp, const struct start_info *start, unsigned vcpu)
{
	struct worker *worker = &smp->workers[vcpu];

	while (!__atomic_load_n(&smp->ready, __ATOMIC_ACQUIRE))
		wait_until(tsc_read() + start->tsc_khz);
	writer_start(&worker->writer);
	for (;;) {
		work(smp, worker);
		if (__atomic_load_n(&smp->halt, __ATOMIC_RELAXED))
			stand_at_barrier(smp, worker);
	}
}

/* -------------------------------------------------------------------------- vCPU 0 */

static void halt_others(struct smp *smp)
{
	unsigned spins = 0;

	__atomic_store_n(&smp->halt, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&smp->halted, __ATOMIC_ACQUIRE) != smp->vcpus - 1)
		relax(smp, &smp->workers[0].writer.gap, &spins);
}

static void release_others(struct smp *smp)
{
	unsigned spins = 0;

	__atomic_store_n(&smp->halt, 0, __ATOMIC_RELEASE);
	while (__atomic_load_n(&smp->halted, __ATOMIC_ACQUIRE) != 0)
		relax(smp, &smp->workers[0].writer.gap, &spins);
}

static void check_sum(struct smp *smp, const char *what, uint64_t expected, uint64_t found)
{
	struct text line;

	if (expected == found)
		return;
	fault_start(&smp->faults, &line, what);
	fault_values(&smp->faults, &line, expected, found);
}

static void check_sums(struct smp *smp)
{
	uint64_t rounds = 0;
	uint64_t weighted = 0;
	uint64_t added = 0;

	for (unsigned i = 0; i < smp->vcpus; i++) {
		rounds += smp->workers[i].rounds;
		weighted += smp->workers[i].rounds * (i + 1);
		added += smp->workers[i].added;
	}
	check_sum(smp, "the sum by lock xadd:", weighted, smp->added);
	check_sum(smp, "the sum by lock cmpxchg:", weighted, smp->exchanged);
	check_sum(smp, "entries in the ledger:", rounds, smp->ledger.entries);
	check_sum(smp, "credit in the ledger:", added, smp->ledger.credit);
	check_sum(smp, "debit in the ledger:", -added, smp->ledger.debit);
	check_sum(smp, "tickets of the lock:", smp->lock.next, smp->lock.serving);
}

static uint64_t verify(void *payload)
{
	struct smp *smp = payload;
	uint64_t checked;

	halt_others(smp);
	writer_check_registers(&smp->workers[0].writer);
	check_sums(smp);
	checked = pages_check_all(&smp->pages, &smp->workers[0].writer.gap);
	release_others(smp);
	return checked;
}

static uint64_t steps(void *payload)
{
	struct smp *smp = payload;
	uint64_t sum = 0;

	for (unsigned i = 0; i < smp->vcpus; i++)
		sum += gap_load(&smp->workers[i].writer.steps);
	return sum;
}

static void describe(void *payload, struct text *answer)
{
	struct smp *smp = payload;

	text_number(answer, "vcpus", smp->vcpus);
	text_number(answer, "rate_set_mbs", smp->rate);
	text_word(answer, "pattern", pattern_names[smp->pattern]);
	text_number(answer, "pages", smp->pages.populated);
	text_number(answer, "working_pages", smp->pages.working);
	text_number(answer, "locked", __atomic_load_n(&smp->added, __ATOMIC_RELAXED));
	text_word(answer, "vector", registers_vector(&smp->workers[0].writer.registers));
}

static void set_rates(struct smp *smp, uint64_t mbs)
{
	smp->rate = mbs;
	for (unsigned i = 0; i < smp->vcpus; i++)
		writer_set_rate(&smp->workers[i].writer, mbs, false);
}

static void set_rate(void *payload, uint64_t mbs)
{
	struct smp *smp = payload;

	halt_others(smp);
	set_rates(smp, mbs);
	release_others(smp);
}

static const struct session_ops session_ops = {
	.verify = verify, .steps = steps, .describe = describe, .set_rate = set_rate};

static void parse(struct smp *smp, const struct start_info *start)
{
	const struct arg args[] = {
		{.name = "working_set", .value = &smp->working_mib, .min = 1, .max = 1 << 22},
		{.name = "populate",
		 .value = &smp->populate_mib,
		 .max = 1 << 22,
		 .unlimited = "all"},
		{.name = "rate", .value = &smp->rate, .max = SESSION_RATE_MBS_MAX},
		{.name = "seed", .value = &smp->seed, .max = UINT64_MAX},
		{.name = "pattern", .value = &smp->pattern, .choices = pattern_names},
	};

	smp->working_mib = 64;
	smp->rate = 50;
	smp->seed = 1;
	args_parse(start, args, sizeof(args) / sizeof(args[0]));
}

static void prepare_workers(struct smp *smp)
{
	uint64_t slice = smp->pages.working / smp->vcpus;

	for (unsigned i = 0; i < smp->vcpus; i++) {
		uint64_t first = i * slice;

		writer_assign(&smp->workers[i].writer, &smp->pages, first, slice, first + slice,
			      (enum pattern_kind)smp->pattern);
		smp->session.gaps[i] = &smp->workers[i].writer.gap;
	}
	smp->session.gap_count = smp->vcpus;
}

static void prepare(struct smp *smp, const struct start_info *start, struct memory *memory)
{
	struct session *session = &smp->session;

	smp->faults.payload = "smp";
	smp->khz = start->tsc_khz;
	smp->vcpus = start->vcpus;
	parse(smp, start);
	for (unsigned i = 0; i < smp->vcpus; i++) {
		smp->workers[i].vcpu = i;
		writer_init(&smp->workers[i].writer, i, start->tsc_khz, memory, &smp->faults);
	}
	pages_init(&smp->pages, memory, smp->working_mib, smp->populate_mib, smp->vcpus, smp->seed,
		   &smp->faults);
	pages_populate(&smp->pages);
	prepare_workers(smp);
	set_rates(smp, smp->rate);
	session->ops = &session_ops;
	session->payload = smp;
	session->faults = &smp->faults;
	session->khz = start->tsc_khz;
}

_Noreturn void payload_main(const struct start_info *start, unsigned vcpu)
{
	struct memory memory;
	struct smp *smp;

	memory_init(&memory, start);
	smp = memory_take(&memory, sizeof(*smp));
	if (!smp || start->vcpus == 0 || start->vcpus > VCPUS_MAX)
		payload_refuse("memory", "", "there is none for so many vCPUs");
	if (vcpu > 0)
		follow(smp, start, vcpu);
	prepare(smp, start, &memory);
	writer_start(&smp->workers[0].writer);
	__atomic_store_n(&smp->ready, 1, __ATOMIC_RELEASE);
	session_start(&smp->session);
	for (;;)
		session_poll(&smp->session, work(smp, &smp->workers[0]));
}
