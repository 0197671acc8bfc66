// SPDX-License-Identifier: Apache-2.0
/*
 * A peer that is never silent and never comes to the point: it floods the other end with frames that may be
 * skipped. Nobody waits for it longer than is fit, above all not with a guest that is paused.
 */
#include "tests/migrate/world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "proto/messages.h"

#define TYPE_OF_A_LATER_VERSION 900
#define TIMEOUT_MS		1000
#define FLOOD_NS		(20 * XM_NS_PER_S) /* then the other end has failed the test */

/* Until the other end hangs up; false if it never does. */
static bool flood(struct tp_session *session)
{
	struct tp_frame frame = {.type = TYPE_OF_A_LATER_VERSION};
	uint64_t end_ns = xm_now_ns() + FLOOD_NS;

	while (xm_now_ns() < end_ns)
		if (tp_send(session, TP_CONTROL, &frame, NULL, 0, NULL))
			return true;
	return false;
}

static bool hung_up;

static void flood_target_after(struct world *world, enum mig_state state)
{
	if (state == MIG_COMMITTED)
		hung_up = flood(world->source_session);
}

/* The domain is the target's, and its operation ends, whatever the source still has to say. */
static void test_source_talks_after_committed(void **state)
{
	struct world world = {.live = true, .on_source_state = flood_target_after};

	(void)state;
	hung_up = false;
	world_open(&world);
	world_move(&world);
	world_assert_moved(&world);
	assert_true(hung_up);
	world_close(&world);
}

static void flood_source_at(struct world *world, enum mig_state state)
{
	if (state == MIG_PREPARED)
		hung_up = flood(world->target_session);
}

/* The guest is paused, and PREPARED does not come: it runs on at the source. */
static void test_target_talks_instead_of_preparing(void **state)
{
	struct world world = {.live = true, .on_target_state = flood_source_at};

	(void)state;
	hung_up = false;
	world_open(&world);
	tp_set_timeout(world.source_session, TIMEOUT_MS);
	world_move(&world);
	assert_true(hung_up);
	world_assert_stayed(&world);
	assert_int_equal(world.source_error.kind, XM_KIND_NETWORK);
	assert_non_null(strstr(world.source_error.text, "in time"));
	world_close(&world);
}

/* A source that never introduces itself holds no receiver for ever. */
static void test_source_never_says_hello(void **state)
{
	struct world world = {0};

	(void)state;
	world_open(&world);
	tp_set_timeout(world.target_session, TIMEOUT_MS);
	world_start_target(&world);
	assert_true(flood(world.source_session));
	world_join_target(&world);
	assert_int_equal(world.target_rc, -ETIMEDOUT);
	assert_int_equal(world.target_result.state, MIG_ABORTED);
	world_close(&world);
}

/* --------------------------------------------------- a target that reads too slowly */

static int take_payload(struct tp_session *session, unsigned channel,
			const struct pf_header *header)
{
	struct iovec part = {malloc(header->payload_size), header->payload_size};
	int rc = 0;

	if (header->payload_size)
		rc = tp_receive_payload(session, channel, &part, 1, NULL);
	free(part.iov_base);
	return rc;
}

/* Takes the pages of round 1 at once, and a batch of the next whenever half the idle timeout has passed. */
static void *take_pages(void *argument)
{
	struct pf_run *runs = calloc(PF_RUNS_MAX, sizeof(*runs));
	struct pf_pages pages = {.runs = runs};
	struct xm_error err = XM_ERROR_INIT;
	struct pf_header header;
	const void *body;

	while (tp_receive(argument, 1, &header, &body, NULL) == 0) {
		assert_ok(
			pf_pages_decode(body, header.body_size, header.payload_size, &pages, &err),
			&err);
		if (pages.round > 1)
			usleep(TIMEOUT_MS * 1000 / 2);
		if (take_payload(argument, 1, &header))
			break;
	}
	free(runs);
	return NULL;
}

static void take_control(struct tp_session *session, uint16_t type)
{
	struct xm_error err = XM_ERROR_INIT;
	struct pf_header header;
	const void *body;

	assert_ok(tp_receive(session, TP_CONTROL, &header, &body, &err), &err);
	assert_int_equal(header.type, type);
	assert_int_equal(take_payload(session, TP_CONTROL, &header), 0);
}

static void give_control(struct tp_session *session, uint16_t type, const struct pf_buffer *body)
{
	struct tp_frame frame = {.type = type,
				 .flags = PF_FLAG_MANDATORY,
				 .body = body->data,
				 .body_size = (uint32_t)body->size};
	struct xm_error err = XM_ERROR_INIT;

	assert_ok(tp_send(session, TP_CONTROL, &frame, NULL, 0, &err), &err);
}

static void *crawl_in_last_round(void *argument)
{
	struct tp_session *session = argument;
	struct pf_sealed sealed = {.round = 1};
	struct xm_error err = XM_ERROR_INIT;
	struct pf_buffer body = {0};
	pthread_t pages;

	take_control(session, PF_TYPE_HELLO);
	take_control(session, PF_TYPE_STATIC);
	take_control(session, PF_TYPE_STATE);
	give_control(session, PF_TYPE_READY, &body);
	assert_ok(tp_open_channels(session, 1, &err), &err);
	assert_int_equal(pthread_create(&pages, NULL, take_pages, session), 0);
	take_control(session, PF_TYPE_SEAL);
	assert_ok(pf_sealed_encode(&sealed, &body, &err), &err);
	give_control(session, PF_TYPE_SEALED, &body);
	pthread_join(pages, NULL);
	pf_buffer_finish(&body);
	return NULL;
}

/* More than fits into the connection is dirty when the guest is paused. */
static void busy(void *opaque, struct hv_domain *domain, const struct fake_moment *moment)
{
	(void)opaque;
	if (moment->event == FAKE_CLEANED)
		fake_step(domain, 1000);
}

/* Bytes move, but not those for which the guest is paused. */
static void test_target_crawls_in_the_last_round(void **state)
{
	struct world world = {.live = true,
			      .hook = busy,
			      .limits = {.rounds = 1, .downtime_ns = XM_NS_PER_S * 10}};
	pthread_t target;

	(void)state;
	hung_up = false;
	world_open(&world);
	tp_set_timeout(world.source_session, TIMEOUT_MS);
	assert_int_equal(pthread_create(&target, NULL, crawl_in_last_round, world.target_session),
			 0);
	world_run_source(&world);
	pthread_join(target, NULL);
	world_assert_stayed(&world);
	assert_int_equal(world.source_error.kind, XM_KIND_NETWORK);
	assert_true(world.source_result.total_ns < 10 * XM_NS_PER_S);
	world_close(&world);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_source_talks_after_committed),
		cmocka_unit_test(test_target_talks_instead_of_preparing),
		cmocka_unit_test(test_source_never_says_hello),
		cmocka_unit_test(test_target_crawls_in_the_last_round),
	};

	return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}
