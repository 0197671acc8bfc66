/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares KVM's two ways of logging dirty pages: what they cost the guest that writes, and what it
 * costs to fetch and clear the log. A guest writes whole pages of a working set as fast as it can;
 * then all of its memory is cleaned every 100 ms, as rounds of a migration do; then it is paused a
 * few times and the last pages are fetched. Kinds alternate, so that a busy host disturbs both
 * alike.
 *
 *	log-dirty [--memory MIB] [--repeat N] [--window MS]
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bitmap.h"
#include "common/clock.h"
#include "common/error.h"
#include "hypervisor/hypervisor.h"

enum {
	CHUNK_PAGES = 512,     /* cleaned by one call while the guest runs */
	WHOLE_PAGES = 1 << 24, /* and while it is paused */
	ROUND_MS = 100,
	PAUSES = 8,
	REPEAT_MAX = 100,
	KINDS = 2,
	SETS = 4,
};

static const unsigned working_percent[SETS] = {1, 10, 50, 90};
static const enum hv_log_kind kinds[KINDS] = {HV_LOG_BITMAP, HV_LOG_RING};
static const char *const kind_names[KINDS] = {"bitmap", "ring"};

/* What one run measures. */
enum figure {
	FREE_MBS,     /* guest's rate without log */
	LOGGED_MBS,   /* and with it */
	ROUND_GIB_MS, /* cleaning while it runs, per GiB of memory */
	PEEK_GIB_MS,  /* peeking while it is paused, per GiB */
	LAST_GIB_MS,  /* and then cleaning */
	LAST_PAGES,   /* dirty then */
	FIGURES,
};

static const char *const figure_names[FIGURES] = {
	[FREE_MBS] = "guest, no log, MB/s",	   [LOGGED_MBS] = "guest, logged, MB/s",
	[ROUND_GIB_MS] = "clean, running, ms/GiB", [PEEK_GIB_MS] = "peek, paused, ms/GiB",
	[LAST_GIB_MS] = "clean after it, ms/GiB",  [LAST_PAGES] = "dirty at pause, pages",
};

struct options {
	uint64_t memory_mib;
	unsigned repeat;
	uint64_t window_ms;
};

static void die(const struct xm_error *err)
{
	fprintf(stderr, "log-dirty: %s\n", err->text);
	exit(err->kind);
}

static void check(int rc, const struct xm_error *err)
{
	if (rc)
		die(err);
}

static void sleep_ms(uint64_t ms)
{
	struct timespec left = xm_timespec(ms * XM_NS_PER_MS);

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

/* ------------------------------------------------------------------------- the guest */

static void on_event(void *opaque, const struct hv_event *event)
{
	(void)opaque;
	fprintf(stderr, "log-dirty: the guest ended, code %" PRIu32 ": %s\n", event->code,
		event->text);
	exit(XM_KIND_INTERNAL);
}

/* Reports have no event of their own. The guest measures its rate itself, between two answers, so that
 * the time at which we see them is in no figure. */
static void wait_report(struct hv_domain *domain, uint64_t sequence, char *text, size_t size)
{
	while (hv_report(domain, text, size) < sequence)
		sleep_ms(1);
}

/* The rate since the last time that it was asked. */
static double guest_rate(struct hv_domain *domain)
{
	char text[HV_REPORT_MAX];
	uint64_t sequence = hv_report(domain, text, sizeof(text));
	const char *rate;

	hv_console_input(domain, "status\n", 7);
	wait_report(domain, sequence + 1, text, sizeof(text));
	rate = strstr(text, " rate_mbs=");
	return rate ? atof(rate + strlen(" rate_mbs=")) : 0;
}

static struct hv_domain *start_guest(const struct options *options, enum hv_log_kind kind,
				     uint64_t working_mib)
{
	struct hv_config config = {.memory_bytes = options->memory_mib << 20,
				   .vcpus = 1,
				   .log_kind = kind,
				   .callbacks = {.on_event = on_event}};
	struct xm_error err = XM_ERROR_INIT;
	struct hv_domain *domain;
	char args[128], text[HV_REPORT_MAX];

	snprintf(args, sizeof(args), "working_set=%" PRIu64 " populate=all rate=0", working_mib);
	check(hv_create(&config, &domain, &err), &err);
	check(hv_payload_load(domain, XM_PAYLOAD_DIR "/dirty.elf", args, &err), &err);
	check(hv_resume(domain, &err), &err);
	wait_report(domain, 1, text, sizeof(text));
	return domain;
}

/* -------------------------------------------------------------------- the measurements */

static uint64_t dirty_bits[WHOLE_PAGES / 64];

typedef int fetch_fn(struct hv_log *log, unsigned region, uint64_t first, uint64_t count,
		     uint64_t *ret_bits, struct xm_error *err);

/* By calls for `chunk` pages each. Returns how many pages were dirty. */
static uint64_t fetch_all(struct hv_domain *domain, struct hv_log *log, fetch_fn *fetch,
			  uint64_t chunk)
{
	struct xm_error err = XM_ERROR_INIT;
	uint64_t dirty = 0;

	for (unsigned r = 0; r < hv_region_count(domain); r++) {
		uint64_t pages = hv_region(domain, r)->size >> HV_PAGE_SHIFT;

		for (uint64_t first = 0; first < pages; first += chunk) {
			uint64_t count = pages - first < chunk ? pages - first : chunk;

			check(fetch(log, r, first, count, dirty_bits, &err), &err);
			dirty += xm_bitmap_count(dirty_bits, count);
		}
	}
	return dirty;
}

static double per_gib_ms(uint64_t ns, const struct options *options)
{
	return (double)ns / 1e6 * 1024 / (double)options->memory_mib;
}

static void measure_rounds(struct hv_domain *domain, struct hv_log *log,
			   const struct options *options, double *ret_rate, double *ret_round_ms)
{
	uint64_t end, spent = 0;
	unsigned rounds = 0;

	fetch_all(domain, log, hv_log_clean,
		  CHUNK_PAGES); /* the first: nothing is protected before */
	guest_rate(domain);
	end = xm_now_ns() + options->window_ms * XM_NS_PER_MS;
	while (xm_now_ns() < end) {
		uint64_t started = xm_now_ns();
		uint64_t took;

		fetch_all(domain, log, hv_log_clean, CHUNK_PAGES);
		took = xm_now_ns() - started;
		spent += took;
		rounds++;
		if (took < ROUND_MS * XM_NS_PER_MS)
			sleep_ms(ROUND_MS - took / XM_NS_PER_MS);
	}
	*ret_rate = guest_rate(domain);
	*ret_round_ms = per_gib_ms(spent / rounds, options);
}

static void measure_last(struct hv_domain *domain, struct hv_log *log,
			 const struct options *options, double figures[FIGURES])
{
	struct xm_error err = XM_ERROR_INIT;
	uint64_t peeked = 0, cleaned = 0, pages = 0;

	for (unsigned i = 0; i < PAUSES; i++) {
		uint64_t started;

		sleep_ms(ROUND_MS / 4);
		check(hv_pause(domain, NULL, &err), &err);
		started = xm_now_ns();
		fetch_all(domain, log, hv_log_peek, WHOLE_PAGES);
		peeked += xm_now_ns() - started;
		started = xm_now_ns();
		pages += fetch_all(domain, log, hv_log_clean, WHOLE_PAGES);
		cleaned += xm_now_ns() - started;
		check(hv_resume(domain, &err), &err);
	}
	figures[PEEK_GIB_MS] = per_gib_ms(peeked / PAUSES, options);
	figures[LAST_GIB_MS] = per_gib_ms(cleaned / PAUSES, options);
	figures[LAST_PAGES] = (double)pages / PAUSES;
}

static void measure(const struct options *options, enum hv_log_kind kind, unsigned percent,
		    double figures[FIGURES])
{
	uint64_t working_mib = options->memory_mib * percent / 100;
	struct hv_domain *domain = start_guest(options, kind, working_mib ? working_mib : 1);
	struct xm_error err = XM_ERROR_INIT;
	struct hv_log *log;

	guest_rate(domain);
	sleep_ms(options->window_ms);
	figures[FREE_MBS] = guest_rate(domain);
	check(hv_log_start(domain, &log, &err), &err);
	measure_rounds(domain, log, options, &figures[LOGGED_MBS], &figures[ROUND_GIB_MS]);
	measure_last(domain, log, options, figures);
	hv_log_stop(log);
	hv_destroy(domain);
}

/* ------------------------------------------------------------------------- the table */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_spread(double *values, unsigned count)
{
	qsort(values, count, sizeof(*values), by_value);
	printf("  %9.2f (%9.2f - %9.2f)", values[count / 2], values[0], values[count - 1]);
}

static void run_set(const struct options *options, unsigned percent)
{
	static double results[FIGURES][KINDS][REPEAT_MAX];

	for (unsigned n = 0; n < options->repeat; n++) {
		for (unsigned i = 0; i < KINDS; i++) {
			unsigned k = (i + n) % KINDS; /* each is first as often */
			double figures[FIGURES];

			measure(options, kinds[k], percent, figures);
			for (unsigned f = 0; f < FIGURES; f++)
				results[f][k][n] = figures[f];
		}
	}
	printf("\nworking set %u %% of memory\n%-24s", percent, "");
	for (unsigned k = 0; k < KINDS; k++)
		printf("  %9s (%9s - %9s)", kind_names[k], "min", "max");
	for (unsigned f = 0; f < FIGURES; f++) {
		printf("\n%-24s", figure_names[f]);
		for (unsigned k = 0; k < KINDS; k++)
			print_spread(results[f][k], options->repeat);
	}
	printf("\n");
	fflush(stdout);
}

static uint64_t number(const char *text, uint64_t min, uint64_t max)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value < min || value > max) {
		fprintf(stderr, "log-dirty: %s is not a number from %" PRIu64 " to %" PRIu64 "\n",
			text, min, max);
		exit(XM_KIND_USAGE);
	}
	return value;
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {{"memory", required_argument, NULL, 'm'},
						     {"repeat", required_argument, NULL, 'n'},
						     {"window", required_argument, NULL, 'w'},
						     {NULL, 0, NULL, 0}};
	struct options options = {.memory_mib = 1024, .repeat = 5, .window_ms = 500};
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case 'm':
			options.memory_mib = number(optarg, 64, 65536) & ~1ull;
			break;
		case 'n':
			options.repeat = (unsigned)number(optarg, 1, REPEAT_MAX);
			break;
		case 'w':
			options.window_ms = number(optarg, 100, 60000);
			break;
		default:
			return XM_KIND_USAGE;
		}
	}
	printf("%" PRIu64 " MiB, all populated; %u runs of each kind, median (min - max)\n",
	       options.memory_mib, options.repeat);
	for (unsigned s = 0; s < SETS; s++)
		run_set(&options, working_percent[s]);
	return 0;
}
