/* SPDX-License-Identifier: Apache-2.0 */
/* Log-dirty, both kinds: exactly what was written, for each consumer; and which pages exist. */
#include "tests/hypervisor/fixture.h"

#define MEMORY_BYTES (64ull << 20)
#define PAGES	     (MEMORY_BYTES >> HV_PAGE_SHIFT)
#define WORDS	     (PAGES / 64)
#define FIRST_PAGE   8192ull /* of those that the tests have the guest write */

/* The guest's own pages, its stack for one, are dirtied by each command. */
static uint64_t clean_count(struct fixture *f, struct hv_log *log, uint64_t *bits)
{
	assert_ok(hv_log_clean(log, 0, 0, PAGES, bits, &f->err), &f->err);
	return xm_bitmap_count(bits + FIRST_PAGE / 64, PAGES - FIRST_PAGE);
}

static void write_pages(struct fixture *f, uint64_t page, uint32_t count)
{
	fixture_command(f, GUEST_WRITE, count, (FIRST_PAGE + page) << HV_PAGE_SHIFT);
}

static struct hv_log *start(struct fixture *f)
{
	struct hv_log *log = NULL;

	assert_ok(hv_log_start(f->domain, &log, &f->err), &f->err);
	return log;
}

static void check_exactness(enum hv_log_kind kind, uint32_t ring_entries)
{
	uint64_t bits[WORDS];
	struct hv_log *log;
	struct fixture f;

	fixture_start(&f,
		      (struct hv_config){.memory_bytes = MEMORY_BYTES,
					 .log_kind = kind,
					 .ring_entries = ring_entries},
		      "command");
	write_pages(&f, 0, 100); /* before the log is armed */
	for (unsigned round = 0; round < 3; round++) {
		log = start(&f);
		assert_int_equal(clean_count(&f, log, bits), PAGES - FIRST_PAGE);
		assert_int_equal(xm_bitmap_count(bits, PAGES), PAGES);
		assert_int_equal(clean_count(&f, log, bits), 0);
		for (uint32_t i = 0; i < 300; i += 7) {
			write_pages(&f, i, 1);
			assert_int_equal(clean_count(&f, log, bits), 1);
			assert_true(xm_bitmap_test(bits, FIRST_PAGE + i));
		}
		write_pages(&f, 1000, 5000);
		assert_ok(hv_log_peek(log, 0, 0, PAGES, bits, &f.err), &f.err);
		assert_int_equal(xm_bitmap_count(bits + FIRST_PAGE / 64, PAGES - FIRST_PAGE), 5000);
		fixture_pause(&f);
		assert_int_equal(clean_count(&f, log, bits), 5000);
		assert_int_equal(xm_bitmap_next_set(bits, PAGES, FIRST_PAGE), FIRST_PAGE + 1000);
		assert_int_equal(clean_count(&f, log, bits), 0);
		assert_int_equal(xm_bitmap_count(bits, PAGES), 0);
		fixture_resume(&f);
		hv_log_stop(log);
		write_pages(&f, 0, 50);
	}
	fixture_destroy(&f);
}

static void test_exact_bitmap(void **state)
{
	(void)state;
	check_exactness(HV_LOG_BITMAP, 0);
}

static void test_exact_ring(void **state)
{
	(void)state;
	check_exactness(HV_LOG_RING, 0);
}

static void test_ring_full(void **state)
{
	uint64_t bits[WORDS];
	struct hv_vcpu_stats stats;
	struct hv_log *log;
	struct fixture f;

	(void)state;
	check_exactness(HV_LOG_RING, 1024);
	fixture_start(&f,
		      (struct hv_config){.memory_bytes = MEMORY_BYTES,
					 .log_kind = HV_LOG_RING,
					 .ring_entries = 1024},
		      "command");
	log = start(&f);
	assert_true(hv_log_counts_vcpus(f.domain));
	clean_count(&f, log, bits);
	write_pages(&f, 0, 8000);
	assert_int_equal(clean_count(&f, log, bits), 8000);
	assert_ok(hv_vcpu_stats(f.domain, 0, &stats, &f.err), &f.err);
	assert_true(stats.ring_full >= 4);
	assert_in_range(hv_log_vcpu_pages(f.domain, 0), 8000, 16000);
	hv_log_stop(log);
	fixture_destroy(&f);
}

/* A range is cleaned; what was written outside of it is there later. */
static void check_ranges(enum hv_log_kind kind)
{
	uint64_t all[WORDS], part[8];
	struct hv_log *log;
	struct fixture f;

	fixture_start(&f, (struct hv_config){.memory_bytes = MEMORY_BYTES, .log_kind = kind},
		      "command");
	log = start(&f);
	clean_count(&f, log, all);
	write_pages(&f, 0, 1024);
	assert_ok(hv_log_clean(log, 0, FIRST_PAGE + 128, 512, part, &f.err), &f.err);
	assert_int_equal(xm_bitmap_count(part, 512), 512);
	assert_int_equal(clean_count(&f, log, all), 512);
	assert_false(xm_bitmap_test(all, FIRST_PAGE + 128));
	assert_true(xm_bitmap_test(all, FIRST_PAGE + 127));
	assert_true(hv_log_clean(log, 0, 1, 64, part, &f.err) < 0);
	assert_true(hv_log_clean(log, 0, 0, 65, part, &f.err) < 0);
	assert_true(hv_log_clean(log, 0, PAGES, 64, part, &f.err) < 0);
	assert_true(hv_log_clean(log, 0, 64, UINT64_MAX - 63, part, &f.err) < 0);
	assert_true(hv_log_clean(log, 1, 0, 64, part, &f.err) < 0);
	hv_log_stop(log);
	fixture_destroy(&f);
}

static void test_ranges(void **state)
{
	(void)state;
	check_ranges(HV_LOG_BITMAP);
	check_ranges(HV_LOG_RING);
}

/* Two consumers, one started later: each sees each write once, whoever harvests. */
static void check_consumers(enum hv_log_kind kind)
{
	uint64_t bits[WORDS];
	struct hv_log *a, *b;
	struct fixture f;

	fixture_start(&f, (struct hv_config){.memory_bytes = MEMORY_BYTES, .log_kind = kind},
		      "command");
	a = start(&f);
	clean_count(&f, a, bits);
	write_pages(&f, 0, 10);
	b = start(&f);
	assert_int_equal(clean_count(&f, b, bits), PAGES - FIRST_PAGE);
	assert_int_equal(clean_count(&f, a, bits), 10);
	write_pages(&f, 100, 20);
	assert_int_equal(clean_count(&f, a, bits), 20);
	write_pages(&f, 110, 20);
	assert_int_equal(clean_count(&f, b, bits), 30);
	assert_int_equal(clean_count(&f, a, bits), 20);
	hv_log_stop(a);
	write_pages(&f, 0, 3);
	assert_int_equal(clean_count(&f, b, bits), 3);
	hv_log_stop(b);
	fixture_destroy(&f);
}

static void test_consumers(void **state)
{
	(void)state;
	check_consumers(HV_LOG_BITMAP);
	check_consumers(HV_LOG_RING);
}

static void check_device_writes(enum hv_log_kind kind)
{
	uint64_t gpa = (FIRST_PAGE + 5) << HV_PAGE_SHIFT;
	uint64_t bits[WORDS];
	struct hv_log *a, *b;
	struct fixture f;
	void *host;

	fixture_create(&f, (struct hv_config){.memory_bytes = MEMORY_BYTES, .log_kind = kind});
	a = start(&f);
	b = start(&f);
	clean_count(&f, a, bits);
	clean_count(&f, b, bits);
	assert_ok(hv_dma_begin(f.domain, gpa + 4095, 4098, &host, &f.err), &f.err);
	hv_dma_end(f.domain, gpa + 4095, 4098, false);
	assert_int_equal(clean_count(&f, a, bits), 0);
	hv_dma_end(f.domain, gpa + 4095, 4098, true);
	assert_int_equal(clean_count(&f, a, bits), 3);
	assert_int_equal(clean_count(&f, b, bits), 3);
	assert_true(xm_bitmap_test(bits, FIRST_PAGE + 7));
	hv_log_stop(a);
	hv_log_stop(b);
	fixture_destroy(&f);
}

static void test_device_writes(void **state)
{
	(void)state;
	check_device_writes(HV_LOG_BITMAP);
	check_device_writes(HV_LOG_RING);
}

/*
 * Pre-copy in small: a copy is kept by clean-then-read while two vCPUs write, in ranges and by
 * two threads; after a pause and one more clean it must be the memory.
 */
struct copier {
	struct fixture *f;
	struct hv_log *log;
	uint8_t *copy;
	uint64_t first, count; /* pages */
};

static void copy_dirty(struct copier *c)
{
	const struct hv_region *region = hv_region(c->f->domain, 0);
	struct xm_error err = XM_ERROR_INIT;
	uint64_t bits[64];

	for (uint64_t at = c->first; at < c->first + c->count; at += 4096) {
		assert_ok(hv_log_clean(c->log, 0, at, 4096, bits, &err), &err);
		for (uint64_t bit = xm_bitmap_next_set(bits, 4096, 0); bit < 4096;
		     bit = xm_bitmap_next_set(bits, 4096, bit + 1)) {
			uint64_t offset = (at + bit) << HV_PAGE_SHIFT;

			for (unsigned i = 0; i < HV_PAGE_SIZE; i += 8)
				*(uint64_t *)(c->copy + offset + i) = __atomic_load_n(
					(uint64_t *)(region->host + offset + i), __ATOMIC_RELAXED);
		}
	}
}

static void *copy_rounds(void *opaque)
{
	for (unsigned round = 0; round < 200; round++)
		copy_dirty(opaque);
	return NULL;
}

static void check_precopy(enum hv_log_kind kind, uint32_t ring_entries, bool last_round)
{
	uint8_t *copy = calloc(1, MEMORY_BYTES);
	struct fixture f;
	struct copier halves[2];
	pthread_t threads[2];
	uint64_t steps;
	bool same;

	assert_non_null(copy);
	fixture_start(&f,
		      (struct hv_config){.memory_bytes = MEMORY_BYTES,
					 .vcpus = 2,
					 .log_kind = kind,
					 .ring_entries = ring_entries},
		      "count");
	halves[0] = (struct copier){&f, start(&f), copy, 0, PAGES / 2};
	halves[1] = (struct copier){&f, halves[0].log, copy, PAGES / 2, PAGES / 2};
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, copy_rounds, &halves[i]), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	steps = fixture_read(&f, GUEST_COUNTERS_GPA);
	while (fixture_read(&f, GUEST_COUNTERS_GPA) < steps + 10) /* something to lose */
		sched_yield();
	fixture_pause(&f);
	assert_false(f.ended);
	for (unsigned i = 0; i < 2 && last_round; i++)
		copy_dirty(&halves[i]);
	same = memcmp(copy, hv_region(f.domain, 0)->host, MEMORY_BYTES) == 0;
	assert_int_equal(same, last_round);
	hv_log_stop(halves[0].log);
	fixture_destroy(&f);
	free(copy);
}

static void test_precopy(void **state)
{
	(void)state;
	check_precopy(HV_LOG_BITMAP, 0, true);
	check_precopy(HV_LOG_RING, 0, true);
	check_precopy(HV_LOG_RING, 1024, true);
	check_precopy(HV_LOG_BITMAP, 0, false); /* the control: without the last round it differs */
}

static void check_present(uint64_t huge_page_bytes)
{
	uint64_t bits[WORDS], page, shift = huge_page_bytes ? 9 : 0;
	struct hv_domain *domain;
	struct xm_error err = XM_ERROR_INIT;
	struct hv_config config = {
		.memory_bytes = MEMORY_BYTES, .vcpus = 1, .huge_page_bytes = huge_page_bytes};
	int rc = hv_create(&config, &domain, &err);

	if (rc && huge_page_bytes) {
		print_message("no huge pages here: %s\n", err.text);
		return;
	}
	assert_ok(rc, &err);
	assert_ok(hv_memory_present(domain, 0, 0, PAGES, bits, &err), &err);
	assert_int_equal(xm_bitmap_count(bits, PAGES), 0);
	assert_ok(hv_memory_next_present(domain, 0, 0, &page, &err), &err);
	assert_int_equal(page, PAGES);
	hv_region(domain, 0)->host[5000ull << HV_PAGE_SHIFT] = 1;
	assert_ok(hv_memory_populate(domain, 0, 9000, 3, &err), &err);
	assert_ok(hv_memory_present(domain, 0, 4999, 5000, bits, &err), &err);
	if (!huge_page_bytes) {
		assert_int_equal(xm_bitmap_count(bits, 5000), 4);
		assert_true(xm_bitmap_test(bits, 1));
	}
	assert_ok(hv_memory_present(domain, 0, 0, PAGES, bits, &err), &err);
	assert_int_equal(xm_bitmap_count(bits, PAGES), shift ? 2 * 512 : 4);
	assert_ok(hv_memory_next_present(domain, 0, 5001, &page, &err), &err);
	assert_int_equal(page, shift ? 5001 : 9000);
	assert_true(hv_memory_next_present(domain, 0, PAGES + 1, &page, &err) < 0);
	hv_destroy(domain);
}

static void test_present(void **state)
{
	(void)state;
	check_present(0);
	check_present(2ull << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact_bitmap), cmocka_unit_test(test_exact_ring),
		cmocka_unit_test(test_ring_full),    cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_consumers),    cmocka_unit_test(test_device_writes),
		cmocka_unit_test(test_precopy),	     cmocka_unit_test(test_present),
	};

	test_require_kvm();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
