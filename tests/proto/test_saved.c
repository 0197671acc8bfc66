// SPDX-License-Identifier: Apache-2.0
/*
 * What the engine saves, xmstream calls valid, with the same digest and number of rounds: two
 * readers of the specification that share no code agree on whole domains.
 */
#include <inttypes.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/migrate/world.h"

/* The guest works on while the engine does, so that pages are sent more than once. */
static void busy_guest(void *opaque, struct hv_domain *domain, const struct fake_moment *moment)
{
	(void)opaque;
	if (moment->event == FAKE_CLEANED)
		fake_step(domain, 20);
}

/* Runs a command and returns its wait status, and what it prints. */
static int run(const char *command, char *ret_output, size_t size)
{
	FILE *output = popen(command, "r");
	size_t length;

	assert_non_null(output);
	length = fread(ret_output, 1, size - 1, output);
	ret_output[length] = '\0';
	return pclose(output);
}

/* Printf's arguments make what must be found in the answer. */
__attribute__((format(printf, 2, 3))) static void contains(const char *answer, const char *fmt, ...)
{
	char expected[128];
	va_list args;

	va_start(args, fmt);
	vsnprintf(expected, sizeof(expected), fmt, args);
	va_end(args);
	if (!strstr(answer, expected))
		fail_msg("'%s' is not in: %s", expected, answer);
}

static void verify(const struct world *world)
{
	cleanup_free char *command =
		xm_format("%s verify --json /proc/%d/fd/%d", XMSTREAM, getpid(), world->file);
	const pf_digest digest = world->source_result.digest;
	char answer[4096];
	int status;

	assert_non_null(command);
	status = run(command, answer, sizeof(answer));
	if (status != 0)
		fail_msg("xmstream: status %d: %s", status, answer);
	contains(answer, "\"digest\": \"%016" PRIx64 "%016" PRIx64 "\"", (uint64_t)(digest >> 64),
		 (uint64_t)digest);
	contains(answer, "\"rounds\": %u,", world->source_result.progress.round);
	contains(answer, "\"paused\": %s,", world->paused ? "true" : "false");
}

static void save(struct world world)
{
	world.transport = WORLD_FILE;
	world.hook = busy_guest;
	world_open(&world);
	world_run_source(&world);
	assert_ok(world.source_rc, &world.source_error);
	verify(&world);
	world_close(&world);
}

static void live(void **state)
{
	(void)state;
	save((struct world){.channels = 1, .live = true});
}

static void compressed_on_four_channels(void **state)
{
	(void)state;
	save((struct world){.channels = 4, .live = true, .zstd_level = 1});
}

static void paused(void **state)
{
	(void)state;
	save((struct world){.channels = 2, .paused = true});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(live),
		cmocka_unit_test(compressed_on_four_channels),
		cmocka_unit_test(paused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
