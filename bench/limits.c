/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this machine can do at best at each step of a move, so that every figure of bench/downtime can
 * stand beside its limit: copying memory (warm, scattered, into fresh guest memory), hashing and testing pages,
 * compressing, and sending over loopback. Each is measured several times; median, min and max are given.
 *
 *	limits [--json] [--repeat N]			everything
 *	limits --fresh-copy BYTES [--threads N] [--json]	only that: copies BYTES once into fresh guest memory
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zstd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "proto/page.h"

enum {
	MIB = 1 << 20,
	WARM_BYTES = 64 * MIB,
	FRESH_BYTES = 256 * MIB,
	SEND_BYTES = 256 * MIB,
	SEND_CHUNK = 256 << 10,
	ZSTD_CHUNK = 256 << 10,
	REPEAT_MAX = 101,
	THREADS_MAX = 64,
};

static void die(const char *what)
{
	fprintf(stderr, "limits: %s: %s\n", what, strerror(errno));
	exit(XM_KIND_HOST);
}

static uint8_t *map_anonymous(size_t size)
{
	uint8_t *memory =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("cannot map memory");
	return memory;
}

/* Half text-like, half incompressible: about what guest memory is. */
static void fill_like_memory(uint8_t *memory, size_t size)
{
	static const char words[] = "migrate domain memory round page transfer host guest ";
	uint64_t random = 88172645463325252ull;

	for (size_t at = 0; at < size; at += 8) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		if (at / PF_PAGE_SIZE % 2)
			memcpy(memory + at, &random, 8);
		else
			memcpy(memory + at, words + (random >> 32) % (sizeof(words) - 9), 8);
	}
}

/* ------------------------------------------------------------------- the measurements */

static double seconds_since(uint64_t start_ns)
{
	return (double)(xm_now_ns() - start_ns) / (double)XM_NS_PER_S;
}

struct buffers {
	uint8_t *source; /* WARM_BYTES, filled */
	uint8_t *target; /* WARM_BYTES, populated */
};

static double copy_warm(const struct buffers *b)
{
	uint64_t start = xm_now_ns();

	memcpy(b->target, b->source, WARM_BYTES);
	return WARM_BYTES / seconds_since(start);
}

static double copy_scattered(const struct buffers *b)
{
	size_t pages = WARM_BYTES / PF_PAGE_SIZE;
	uint64_t start = xm_now_ns();

	/* An odd stride visits each page of a power of two once. */
	for (size_t i = 0; i < pages; i++) {
		size_t page = i * 7919 % pages;

		memcpy(b->target + i * PF_PAGE_SIZE, b->source + page * PF_PAGE_SIZE, PF_PAGE_SIZE);
	}
	return WARM_BYTES / seconds_since(start);
}

static double hash_pages(const struct buffers *b)
{
	uint64_t start = xm_now_ns();
	volatile uint64_t sum = 0;

	for (size_t at = 0; at < WARM_BYTES; at += PF_PAGE_SIZE)
		sum += pf_page_hash(b->source + at);
	return WARM_BYTES / seconds_since(start);
}

static double test_zero_pages(const struct buffers *b)
{
	cleanup_free uint8_t *zero = aligned_alloc(PF_PAGE_SIZE, MIB);
	uint64_t start;
	volatile unsigned zeros = 0;

	(void)b;
	memset(zero, 0, MIB);
	start = xm_now_ns();
	for (int pass = 0; pass < WARM_BYTES / MIB; pass++)
		for (size_t at = 0; at < MIB; at += PF_PAGE_SIZE)
			zeros += pf_page_is_zero(zero + at);
	return WARM_BYTES / seconds_since(start);
}

static double compress_level(const struct buffers *b, int level)
{
	size_t capacity = ZSTD_compressBound(ZSTD_CHUNK);
	cleanup_free void *out = malloc(capacity);
	ZSTD_CCtx *context = ZSTD_createCCtx();
	uint64_t start = xm_now_ns();

	for (size_t at = 0; at < WARM_BYTES; at += ZSTD_CHUNK)
		ZSTD_compressCCtx(context, out, capacity, b->source + at, ZSTD_CHUNK, level);
	ZSTD_freeCCtx(context);
	return WARM_BYTES / seconds_since(start);
}

static double compress_1(const struct buffers *b)
{
	return compress_level(b, 1);
}

static double compress_fast_5(const struct buffers *b)
{
	return compress_level(b, -5);
}

/* Fresh memory of the kind that guests have: a memfd, mapped shared. */
static uint8_t *map_guest_memory(size_t size, int *ret_fd)
{
	uint8_t *memory;

	*ret_fd = memfd_create("limits", MFD_CLOEXEC);
	if (*ret_fd < 0 || ftruncate(*ret_fd, (off_t)size) < 0)
		die("cannot make a memfd");
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *ret_fd, 0);
	if (memory == MAP_FAILED)
		die("cannot map a memfd");
	return memory;
}

struct copy_job {
	const uint8_t *source; /* WARM_BYTES of it, used over and over */
	uint8_t *target;
	size_t size;
};

static void *copy_some(void *argument)
{
	const struct copy_job *job = argument;

	for (size_t at = 0; at < job->size; at += PF_PAGE_SIZE)
		memcpy(job->target + at, job->source + at % WARM_BYTES, PF_PAGE_SIZE);
	return NULL;
}

/* Seconds to copy `size` bytes once into fresh guest memory with so many threads. */
static double fresh_copy_s(const struct buffers *b, size_t size, unsigned threads)
{
	size_t share = size / threads / PF_PAGE_SIZE * PF_PAGE_SIZE;
	pthread_t ids[THREADS_MAX];
	struct copy_job jobs[THREADS_MAX];
	cleanup_close int fd = -1;
	uint8_t *memory = map_guest_memory(size, &fd);
	uint64_t start = xm_now_ns();
	double seconds;

	for (unsigned i = 0; i < threads; i++) {
		jobs[i] = (struct copy_job){b->source, memory + i * share,
					    i + 1 < threads ? share : size - i * share};
		if (pthread_create(&ids[i], NULL, copy_some, &jobs[i]) != 0)
			die("cannot start a thread");
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	seconds = seconds_since(start);
	munmap(memory, size);
	return seconds;
}

static double copy_fresh(const struct buffers *b)
{
	return FRESH_BYTES / fresh_copy_s(b, FRESH_BYTES, 1);
}

static double populate_fresh(const struct buffers *b)
{
	cleanup_close int fd = -1;
	uint8_t *memory = map_guest_memory(FRESH_BYTES, &fd);
	uint64_t start = xm_now_ns();
	double seconds;

	(void)b;
	if (madvise(memory, FRESH_BYTES, MADV_POPULATE_WRITE) < 0)
		die("cannot populate memory");
	seconds = seconds_since(start);
	munmap(memory, FRESH_BYTES);
	return FRESH_BYTES / seconds;
}

static void *drain(void *argument)
{
	cleanup_free uint8_t *buffer = malloc(SEND_CHUNK);
	int fd = *(int *)argument;

	while (recv(fd, buffer, SEND_CHUNK, 0) > 0)
		;
	return NULL;
}

static void connect_loopback(int *ret_client, int *ret_server)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	cleanup_close int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static const char cubic[] = "cubic";

	*ret_client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* Where the kernel has no cubic, its default is what the figure then shows. */
	setsockopt(*ret_client, IPPROTO_TCP, TCP_CONGESTION, cubic, sizeof(cubic) - 1);
	if (bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &length) < 0 ||
	    connect(*ret_client, (struct sockaddr *)&address, length) < 0)
		die("cannot connect over loopback");
	*ret_server = accept(listener, NULL, NULL);
	if (*ret_server < 0)
		die("cannot accept over loopback");
}

static double send_loopback(const struct buffers *b)
{
	cleanup_close int client = -1;
	cleanup_close int server = -1;
	pthread_t reader;
	uint64_t start;
	double seconds;

	connect_loopback(&client, &server);
	if (pthread_create(&reader, NULL, drain, &server) != 0)
		die("cannot start a thread");
	start = xm_now_ns();
	for (size_t sent = 0; sent < SEND_BYTES;) {
		ssize_t n = send(client, b->source + sent % WARM_BYTES, SEND_CHUNK, 0);

		if (n < 0)
			die("cannot send over loopback");
		sent += (size_t)n;
	}
	shutdown(client, SHUT_WR);
	pthread_join(reader, NULL);
	seconds = seconds_since(start);
	return SEND_BYTES / seconds;
}

/* ----------------------------------------------------------------------- the report */

static const struct measurement {
	const char *name;
	const char *what;
	double (*run)(const struct buffers *b); /* bytes per second */
} measurements[] = {
	{"memcpy", "memory copied, warm, one thread", copy_warm},
	{"memcpy_scattered", "the same by scattered 4 KiB pages", copy_scattered},
	{"hash", "XXH3-64 of 4 KiB pages", hash_pages},
	{"zero", "test of zero pages", test_zero_pages},
	{"zstd_1", "zstd level 1, 256 KiB at a time", compress_1},
	{"zstd_fast_5", "zstd level -5", compress_fast_5},
	{"loopback", "TCP over loopback, 256 KiB sends", send_loopback},
	{"fresh_copy", "copied into fresh guest memory (memfd), one thread", copy_fresh},
	{"fresh_populate", "fresh guest memory populated ahead, one thread", populate_fresh},
};

enum { MEASUREMENTS = sizeof(measurements) / sizeof(measurements[0]) };

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure_all(const struct buffers *b, int repeat, bool as_json)
{
	double values[MEASUREMENTS][REPEAT_MAX];
	json_t *all = json_object();

	/* Alternating, so that a slow minute of the machine falls on all of them alike. */
	for (int round = 0; round < repeat; round++)
		for (int i = 0; i < MEASUREMENTS; i++)
			values[i][round] = measurements[i].run(b);
	if (!as_json)
		printf("%-18s %9s %9s %9s  MB/s, %s pages\n", "", "median", "min", "max",
		       pf_page_implementation());
	for (int i = 0; i < MEASUREMENTS; i++) {
		double *v = values[i];

		qsort(v, (size_t)repeat, sizeof(*v), ascending);
		json_object_set_new(all, measurements[i].name,
				    json_pack("{s:f,s:f,s:f}", "median_mb_per_s",
					      v[repeat / 2] / 1e6, "min_mb_per_s", v[0] / 1e6,
					      "max_mb_per_s", v[repeat - 1] / 1e6));
		if (!as_json)
			printf("%-18s %9.0f %9.0f %9.0f  %s\n", measurements[i].name,
			       v[repeat / 2] / 1e6, v[0] / 1e6, v[repeat - 1] / 1e6,
			       measurements[i].what);
	}
	if (as_json) {
		json_dumpf(all, stdout, JSON_COMPACT);
		putchar('\n');
	}
	json_decref(all);
}

static void usage(FILE *to)
{
	fputs("usage: limits [--json] [--repeat N]\n"
	      "       limits --fresh-copy BYTES [--threads N] [--json]\n",
	      to);
}

static unsigned long long number(const char *text, unsigned long long max)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || value == 0 || value > max) {
		fprintf(stderr, "limits: '%s' is not a number from 1 to %llu\n", text, max);
		exit(XM_KIND_USAGE);
	}
	return value;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
						{"repeat", required_argument, NULL, 'r'},
						{"fresh-copy", required_argument, NULL, 'f'},
						{"threads", required_argument, NULL, 't'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	struct buffers b = {map_anonymous(WARM_BYTES), map_anonymous(WARM_BYTES)};
	unsigned long long fresh_bytes = 0;
	unsigned threads = 1;
	bool as_json = false;
	int repeat = 5;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			as_json = true;
			break;
		case 'r':
			repeat = (int)number(optarg, REPEAT_MAX);
			break;
		case 'f':
			fresh_bytes = number(optarg, 1ull << 40);
			break;
		case 't':
			threads = (unsigned)number(optarg, THREADS_MAX);
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return XM_KIND_USAGE;
		}
	}
	fill_like_memory(b.source, WARM_BYTES);
	memset(b.target, 1, WARM_BYTES);
	if (fresh_bytes)
		printf(as_json ? "{\"fresh_copy_s\": %.6f}\n" : "%.3f s\n",
		       fresh_copy_s(&b, (size_t)fresh_bytes, threads));
	else
		measure_all(&b, repeat, as_json);
	return 0;
}
