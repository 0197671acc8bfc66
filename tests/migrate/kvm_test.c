// SPDX-License-Identifier: Apache-2.0
/*
 * Real domains, moved to and fro inside one process over TCP: the payload checks each of its pages and registers
 * after every move. MOVES, MEMORY, SET, RATE, CHANNELS and KIND in the environment make a longer or a heavier run of
 * it; what the pauses were is printed.
 */
#include "tests/test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "hypervisor/hypervisor.h"
#include "migrate/migrate.h"
#include "transport/tcp/tcp.h"
#include "transport/transport.h"

#define MIB	  (1ull << 20)
#define ANSWER_NS (60 * XM_NS_PER_S)

/* Reports of whichever domain has the payload now. */
struct desk {
	pthread_mutex_t lock;
	pthread_cond_t reported;
	unsigned reports; /* lock */
};

struct road {
	struct desk *desk;
	struct tp_session *here;
	struct tp_session *there;
	int listener;
	pthread_t acceptor;
	struct hv_domain *arrived;
	enum hv_log_kind kind;
	int rc;
	struct xm_error err;
	struct mig_target *receiver;
	struct mig_result result;
};

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void on_report(void *opaque)
{
	struct desk *desk = opaque;

	pthread_mutex_lock(&desk->lock);
	desk->reports++;
	pthread_cond_broadcast(&desk->reported);
	pthread_mutex_unlock(&desk->lock);
}

static struct hv_domain *create(struct desk *desk, uint64_t bytes, enum hv_log_kind kind)
{
	struct hv_config config = {
		.memory_bytes = bytes,
		.vcpus = 1,
		.log_kind = kind,
		.callbacks = {.opaque = desk, .on_report = on_report},
	};
	struct xm_error err = XM_ERROR_INIT;
	struct hv_domain *domain;

	assert_ok(hv_create(&config, &domain, &err), &err);
	return domain;
}

/* Waits until the report has the words; a payload that found an error never says them. */
static void await(struct desk *desk, struct hv_domain *domain, const char *words, char *ret_report)
{
	struct timespec until = xm_timespec(xm_now_ns() + ANSWER_NS);
	int rc = 0;

	pthread_mutex_lock(&desk->lock);
	for (;;) {
		ret_report[0] = '\0';
		hv_report(domain, ret_report, HV_REPORT_MAX);
		if (strstr(ret_report, words) || rc)
			break;
		rc = pthread_cond_clockwait(&desk->reported, &desk->lock, CLOCK_MONOTONIC, &until);
	}
	pthread_mutex_unlock(&desk->lock);
	if (rc)
		fail_msg("no answer '%s'; the last report is '%s'", words, ret_report);
}

static void ask(struct desk *desk, struct hv_domain *domain, const char *command, unsigned question,
		char *ret_report)
{
	char line[64], words[32];

	snprintf(line, sizeof(line), "%s id=q%u\n", command, question);
	snprintf(words, sizeof(words), " id=q%u ", question);
	assert_int_equal(hv_console_input(domain, line, strlen(line)), strlen(line));
	await(desk, domain, words, ret_report);
}

static double value(const char *report, const char *key)
{
	const char *at = strstr(report, key);

	if (!at)
		fail_msg("no %s in '%s'", key, report);
	return strtod(at + strlen(key), NULL);
}

/* --------------------------------------------------------------------------- the road */

static int take(struct road *road, struct tp_tcp_preamble *ret_preamble)
{
	struct xm_error err = XM_ERROR_INIT;
	int fd = accept(road->listener, NULL, NULL);

	if (fd >= 0)
		assert_ok(tp_tcp_preamble_read(fd, 5000, ret_preamble, &err), &err);
	return fd;
}

static void *take_channels(void *argument)
{
	struct road *road = argument;
	struct tp_tcp_preamble preamble;
	int fd;

	while ((fd = take(road, &preamble)) >= 0)
		if (tp_tcp_attach(road->there, preamble.channel, fd, NULL))
			close(fd);
	return NULL;
}

static void build_road(struct road *road)
{
	const struct tp_tcp_params params = {.congestion = "cubic"};
	const uint8_t token[TP_TCP_TOKEN_SIZE] = {1};
	struct tp_tcp_preamble preamble;
	struct sockaddr_in address;
	socklen_t size = sizeof(address);
	struct xm_error err = XM_ERROR_INIT;
	char text[32];

	assert_ok(tp_tcp_listen("127.0.0.1:0", &road->listener, &err), &err);
	assert_int_equal(getsockname(road->listener, (struct sockaddr *)&address, &size), 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(address.sin_port));
	assert_ok(tp_tcp_connect(text, token, TP_TCP_MIGRATE, &params, &road->here, &err), &err);
	assert_ok(tp_tcp_accept(take(road, &preamble), &params, &road->there, &err), &err);
	pthread_create(&road->acceptor, NULL, take_channels, road);
}

static void leave_road(struct road *road)
{
	shutdown(road->listener, SHUT_RDWR);
	pthread_join(road->acceptor, NULL);
	tp_destroy(road->here);
	tp_destroy(road->there);
	close(road->listener);
	mig_target_destroy(road->receiver);
}

static int admit(void *opaque, const struct pf_hello *hello, const struct pf_static *announced,
		 const struct hv_state *platform, struct hv_domain **ret_domain,
		 struct xm_error *err)
{
	struct road *road = opaque;
	int rc = hv_platform_check(platform, err);

	(void)announced;
	if (rc)
		return rc;
	road->arrived = create(road->desk, hello->memory_bytes, road->kind);
	*ret_domain = road->arrived;
	return 0;
}

static int commit(void *opaque, uint64_t epoch, struct xm_error *err)
{
	(void)opaque;
	(void)epoch;
	(void)err;
	return 0;
}

static void *receive(void *argument)
{
	struct road *road = argument;

	road->rc = mig_target_run(road->receiver, &road->result, &road->err);
	return NULL;
}

/* Moves the domain; what it was is destroyed, what it is now is returned. */
static struct hv_domain *move(struct desk *desk, struct hv_domain *domain, enum hv_log_kind kind,
			      struct mig_result *ret_result)
{
	struct road road = {.desk = desk, .kind = kind};
	struct mig_source_config config = {
		.domain = domain,
		.name = "payload",
		.channels = (unsigned)number("CHANNELS", 1),
		.live = true,
		.limits = {.downtime_ns = MIG_DOWNTIME_NS_DEFAULT,
			   .rounds = MIG_ROUNDS_MAX_DEFAULT,
			   .bandwidth = number("BANDWIDTH", 0)},
	};
	struct mig_target_config target = {.opaque = &road, .admit = admit, .commit = commit};
	struct xm_error err = XM_ERROR_INIT;
	struct mig_source *engine;
	pthread_t receiver;
	uint64_t wrong = 0;
	int rc;

	build_road(&road);
	config.session = road.here;
	target.session = road.there;
	assert_ok(mig_source_create(&config, &engine, &err), &err);
	assert_ok(mig_target_create(&target, &road.receiver, &err), &err);
	pthread_create(&receiver, NULL, receive, &road);
	rc = mig_source_run(engine, ret_result, &err);
	pthread_join(receiver, NULL);
	assert_ok(rc, &err);
	assert_ok(road.rc, &road.err);
	assert_true(ret_result->digest == road.result.digest);
	assert_ok(mig_source_audit(engine, &wrong, &err), &err);
	mig_source_destroy(engine);
	leave_road(&road);
	hv_destroy(domain);
	return road.arrived;
}

static void print_move(const struct mig_result *result, const char *report)
{
	const struct mig_pause *pause = &result->pause;

	printf("total %.0f ms, %u rounds, %.1f MB | pause %.2f ms (guest %.2f): kick %.3f quiesce "
	       "%.3f state %.3f pages %.3f transfer %.3f load %.3f commit %.3f resume %.3f | probe "
	       "%.2f | memory %.1f MiB\n",
	       (double)result->total_ns / 1e6, result->progress.round,
	       (double)result->progress.wire_bytes / 1e6, (double)pause->total_ns / 1e6,
	       value(report, "gap_max_ns=") / 1e6, (double)pause->kick_ns / 1e6,
	       (double)pause->quiesce_ns / 1e6, (double)pause->state_ns / 1e6,
	       (double)pause->pages_ns / 1e6, (double)pause->transfer_ns / 1e6,
	       (double)pause->load_ns / 1e6, (double)pause->commit_ns / 1e6,
	       (double)pause->resume_ns / 1e6, (double)pause->probe_ns / 1e6,
	       (double)result->engine_memory_bytes / (double)MIB);
	fflush(stdout);
}

static void run_kind(enum hv_log_kind kind)
{
	struct desk desk = {.lock = PTHREAD_MUTEX_INITIALIZER,
			    .reported = PTHREAD_COND_INITIALIZER};
	unsigned moves = (unsigned)number("MOVES", 3);
	struct xm_error err = XM_ERROR_INIT;
	struct mig_result result;
	struct hv_domain *domain;
	char report[HV_REPORT_MAX];
	char args[128];

	if (number("KIND", kind) != kind)
		return;
	domain = create(&desk, number("MEMORY", 64) * MIB, kind);
	snprintf(args, sizeof(args), "working_set=%u rate=%u populate=all",
		 (unsigned)number("SET", 16), (unsigned)number("RATE", 100));
	assert_ok(hv_payload_load(domain, XM_PAYLOAD_DIR "/dirty.elf", args, &err), &err);
	assert_ok(hv_resume(domain, &err), &err);
	await(&desk, domain, "cmd=ready", report);
	for (unsigned i = 0; i < moves; i++) {
		ask(&desk, domain, "gap", 3 * i, report);
		domain = move(&desk, domain, kind, &result);
		ask(&desk, domain, "gap", 3 * i + 1, report);
		print_move(&result, report);
		ask(&desk, domain, "verify", 3 * i + 2, report);
		assert_non_null(strstr(report, "registers=ok"));
		assert_true(value(report, "errors=") == 0);
	}
	hv_destroy(domain);
}

static void test_bitmap(void **state)
{
	(void)state;
	run_kind(HV_LOG_BITMAP);
}

static void test_ring(void **state)
{
	(void)state;
	run_kind(HV_LOG_RING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bitmap),
		cmocka_unit_test(test_ring),
	};

	test_require_kvm();
	return cmocka_run_group_tests_name("real domains", tests, NULL, NULL);
}
