/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/guests/guest.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "tests/test.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

/* For the slowest answer of the largest guest on a loaded machine under a sanitizer. */
#define PATIENCE_NS (30 * XM_NS_PER_S)
#define CONSOLE_MAX 65536
#define COMMAND_MAX 120

struct guest {
	struct hv_domain *domain;
	uint64_t asked; /* commands; their numbers are the ids */
	char answer[HV_REPORT_MAX];
	char failure[CONSOLE_MAX];

	pthread_mutex_t lock;
	pthread_cond_t changed; /* whenever one of what follows has */
	/* (lock) and at the end a crash's text; NUL-terminated; what does not fit is dropped */
	char console[CONSOLE_MAX];
	size_t console_used; /* (lock) */
	uint64_t reports;    /* (lock) */
	bool ended;	     /* (lock) */
	bool crashed;	     /* (lock) */
	uint32_t code;	     /* (lock) */
};

/* With the lock held. */
static void append(struct guest *guest, const void *data, size_t size)
{
	size_t space = sizeof(guest->console) - 1 - guest->console_used;

	if (size > space)
		size = space;
	memcpy(guest->console + guest->console_used, data, size);
	guest->console_used += size;
	guest->console[guest->console_used] = '\0';
}

static void on_event(void *opaque, const struct hv_event *event)
{
	struct guest *guest = opaque;
	XM_LOCK_GUARD(&guest->lock);

	guest->ended = true;
	guest->crashed = event->kind == HV_EVENT_CRASH;
	guest->code = event->code;
	if (guest->crashed)
		append(guest, event->text, strlen(event->text));
	pthread_cond_broadcast(&guest->changed);
}

static void on_console(void *opaque, const void *data, size_t size)
{
	struct guest *guest = opaque;
	XM_LOCK_GUARD(&guest->lock);

	append(guest, data, size);
	pthread_cond_broadcast(&guest->changed);
}

static void on_report(void *opaque)
{
	struct guest *guest = opaque;
	XM_LOCK_GUARD(&guest->lock);

	guest->reports++;
	pthread_cond_broadcast(&guest->changed);
}

static struct guest *allocate(void)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	pthread_condattr_t attributes;

	assert_non_null(guest);
	pthread_mutex_init(&guest->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&guest->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	return guest;
}

static struct guest *create_empty(const struct hv_config *config)
{
	struct xm_error err = XM_ERROR_INIT;
	struct hv_config copy = *config;
	struct guest *guest = allocate();

	copy.callbacks = (struct hv_callbacks){.opaque = guest,
					       .on_event = on_event,
					       .on_console = on_console,
					       .on_report = on_report};
	assert_ok(hv_create(&copy, &guest->domain, &err), &err);
	return guest;
}

struct guest *guest_create_twin(const struct guest *guest)
{
	struct guest *twin = create_empty(hv_domain_config(guest->domain));

	/* The last report moves too; a command of the twin must not take it for its answer. */
	twin->asked = guest->asked;
	return twin;
}

struct guest *guest_create(const struct guest_config *config)
{
	struct xm_error err = XM_ERROR_INIT;
	struct hv_config domain_config = {
		.memory_bytes = (config->memory_mib ? config->memory_mib : 64ull) << 20,
		.vcpus = config->vcpus ? config->vcpus : 1,
		.log_kind = config->log_kind,
	};
	struct guest *guest = create_empty(&domain_config);
	char path[512];

	snprintf(path, sizeof(path), "%s/%s.elf", XM_PAYLOAD_DIR, config->payload);
	assert_ok(hv_payload_load(guest->domain, path, config->args ? config->args : "", &err),
		  &err);
	return guest;
}

void guest_destroy(struct guest *guest)
{
	if (!guest)
		return;
	hv_destroy(guest->domain);
	pthread_cond_destroy(&guest->changed);
	pthread_mutex_destroy(&guest->lock);
	free(guest);
}

struct hv_domain *guest_domain(struct guest *guest)
{
	return guest->domain;
}

void guest_resume(struct guest *guest)
{
	struct xm_error err = XM_ERROR_INIT;

	assert_ok(hv_resume(guest->domain, &err), &err);
}

void guest_pause(struct guest *guest)
{
	struct xm_error err = XM_ERROR_INIT;
	struct hv_pause_times times;

	assert_ok(hv_pause(guest->domain, &times, &err), &err);
}

/* Waits for a change; false when the time is over. With the lock held. */
static bool wait_for_change(struct guest *guest, uint64_t deadline)
{
	struct timespec until = xm_timespec(deadline);

	return pthread_cond_timedwait(&guest->changed, &guest->lock, &until) == 0;
}

static void fail_with_console(struct guest *guest, const char *waited_for)
{
	/* Failing jumps away, so it takes a copy and leaves the lock first. */
	pthread_mutex_lock(&guest->lock);
	memcpy(guest->failure, guest->console, sizeof(guest->failure));
	pthread_mutex_unlock(&guest->lock);
	fail_msg("waited in vain for %s; the console: %s", waited_for, guest->failure);
}

static uint64_t count_reports(struct guest *guest)
{
	XM_LOCK_GUARD(&guest->lock);

	return guest->reports;
}

/* Waits until more than `seen` reports were made; false if there will be none. */
static bool wait_for_report(struct guest *guest, uint64_t seen, uint64_t deadline)
{
	XM_LOCK_GUARD(&guest->lock);

	while (guest->reports == seen && !guest->ended && wait_for_change(guest, deadline))
		;
	return guest->reports != seen;
}

/* Waits for the report that has this word, and takes it as the answer. */
static void take_answer(struct guest *guest, const char *word)
{
	uint64_t deadline = xm_now_ns() + PATIENCE_NS;
	uint64_t seen;

	do {
		seen = count_reports(guest);
		hv_report(guest->domain, guest->answer, sizeof(guest->answer));
		if (guest_has_word(guest->answer, word))
			return;
	} while (wait_for_report(guest, seen, deadline));
	fail_with_console(guest, word);
}

void guest_start(struct guest *guest)
{
	guest_resume(guest);
	take_answer(guest, "cmd=ready");
}

void guest_send(struct guest *guest, const char *bytes)
{
	assert_int_equal(hv_console_input(guest->domain, bytes, strlen(bytes)), strlen(bytes));
}

const char *guest_ask(struct guest *guest, const char *command)
{
	char line[COMMAND_MAX];
	char word[32];

	snprintf(word, sizeof(word), "id=%" PRIu64, ++guest->asked);
	snprintf(line, sizeof(line), "%s %s\n", command, word);
	guest_send(guest, line);
	take_answer(guest, word);
	return guest->answer;
}

void guest_wait_console(struct guest *guest, const char *text)
{
	uint64_t deadline = xm_now_ns() + PATIENCE_NS;
	bool found;

	pthread_mutex_lock(&guest->lock);
	found = strstr(guest->console, text);
	while (!found && !guest->ended && wait_for_change(guest, deadline))
		found = strstr(guest->console, text);
	pthread_mutex_unlock(&guest->lock);
	if (!found)
		fail_with_console(guest, text);
}

uint32_t guest_wait_end(struct guest *guest)
{
	uint64_t deadline = xm_now_ns() + PATIENCE_NS;
	bool ended, crashed;
	uint32_t code;

	pthread_mutex_lock(&guest->lock);
	while (!guest->ended && wait_for_change(guest, deadline))
		;
	ended = guest->ended;
	crashed = guest->crashed;
	code = guest->code;
	pthread_mutex_unlock(&guest->lock);
	if (!ended || crashed)
		fail_with_console(guest, "the guest's own end");
	return code;
}

void guest_stop(struct guest *guest)
{
	const char *answer = guest_ask(guest, "stop");

	if (!guest_has_word(answer, "errors=0") || !guest_has_word(answer, "registers=ok"))
		fail_with_console(guest, "an answer without errors");
	assert_int_equal(guest_wait_end(guest), 0);
}

/* The first word of the line that begins with `start`, NULL if there is none. */
static const char *find_word(const char *line, const char *start)
{
	const char *at = line;

	while (at && strncmp(at, start, strlen(start)) != 0) {
		at = strchr(at, ' ');
		if (at)
			at++;
	}
	return at;
}

bool guest_has_word(const char *line, const char *word)
{
	const char *at = find_word(line, word);

	return at && (at[strlen(word)] == ' ' || at[strlen(word)] == '\0');
}

uint64_t guest_number(const char *line, const char *key)
{
	char word[64];
	const char *at;

	snprintf(word, sizeof(word), "%s=", key);
	at = find_word(line, word);
	if (!at)
		fail_msg("there is no %s in: %s", word, line);
	return strtoull(at + strlen(word), NULL, 10);
}

uint8_t *guest_memory(struct guest *guest, uint64_t gpa)
{
	for (unsigned i = 0; i < hv_region_count(guest->domain); i++) {
		const struct hv_region *region = hv_region(guest->domain, i);

		if (gpa >= region->gpa && gpa - region->gpa < region->size)
			return region->host + (gpa - region->gpa);
	}
	fail_msg("0x%" PRIx64 " is not RAM of the guest", gpa);
	return NULL;
}
