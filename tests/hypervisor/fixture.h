/* SPDX-License-Identifier: Apache-2.0 */
/* A domain that runs the tests' payload, with waiting for what it says. */
#ifndef XM_TESTS_HYPERVISOR_FIXTURE_H
#define XM_TESTS_HYPERVISOR_FIXTURE_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "tests/test.h"

#include "common/bitmap.h"
#include "common/clock.h"
#include "hypervisor/hypervisor.h"
#include "tests/hypervisor/guest.h"

struct fixture {
	struct hv_domain *domain;
	struct xm_error err;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Guarded by lock. */
	char console[8192];
	size_t console_size;
	bool ended;
	enum hv_event_kind kind;
	uint32_t code;
	char text[4096];
};

static inline void fixture_on_console(void *opaque, const void *data, size_t size)
{
	struct fixture *f = opaque;

	pthread_mutex_lock(&f->lock);
	if (size > sizeof(f->console) - f->console_size)
		size = sizeof(f->console) - f->console_size;
	memcpy(f->console + f->console_size, data, size);
	f->console_size += size;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static inline void fixture_on_event(void *opaque, const struct hv_event *event)
{
	struct fixture *f = opaque;

	pthread_mutex_lock(&f->lock);
	f->ended = true;
	f->kind = event->kind;
	f->code = event->code;
	snprintf(f->text, sizeof(f->text), "%s", event->text);
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static inline void fixture_create(struct fixture *f, struct hv_config config)
{
	struct xm_error none = XM_ERROR_INIT;

	memset(f, 0, sizeof(*f));
	f->err = none;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	if (config.memory_bytes == 0)
		config.memory_bytes = 64ull << 20;
	if (config.vcpus == 0)
		config.vcpus = 1;
	config.callbacks = (struct hv_callbacks){
		.opaque = f, .on_event = fixture_on_event, .on_console = fixture_on_console};
	assert_ok(hv_create(&config, &f->domain, &f->err), &f->err);
}

static inline void fixture_start(struct fixture *f, struct hv_config config, const char *args)
{
	fixture_create(f, config);
	assert_ok(hv_payload_load(f->domain, TEST_GUEST, args, &f->err), &f->err);
	assert_ok(hv_resume(f->domain, &f->err), &f->err);
}

static inline void fixture_destroy(struct fixture *f)
{
	hv_destroy(f->domain);
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
}

/* The next byte that the guest says on its console. */
static inline char fixture_hear(struct fixture *f)
{
	char heard;

	pthread_mutex_lock(&f->lock);
	while (f->console_size == 0 && !f->ended)
		pthread_cond_wait(&f->changed, &f->lock);
	if (f->console_size == 0) {
		pthread_mutex_unlock(&f->lock);
		fail_msg("the guest ended instead of answering: %s", f->text);
	}
	heard = f->console[0];
	memmove(f->console, f->console + 1, --f->console_size);
	pthread_mutex_unlock(&f->lock);
	return heard;
}

static inline void fixture_send(struct fixture *f, enum guest_op op, uint32_t count, uint64_t gpa)
{
	struct guest_command command = {.op = op, .count = count, .gpa = gpa};

	assert_int_equal(hv_console_input(f->domain, &command, sizeof(command)), sizeof(command));
}

static inline void fixture_command(struct fixture *f, enum guest_op op, uint32_t count,
				   uint64_t gpa)
{
	fixture_send(f, op, count, gpa);
	assert_int_equal(fixture_hear(f), '.');
}

static inline void fixture_wait_end(struct fixture *f)
{
	pthread_mutex_lock(&f->lock);
	while (!f->ended)
		pthread_cond_wait(&f->changed, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

static inline uint64_t fixture_read(struct fixture *f, uint64_t gpa)
{
	void *host;
	uint64_t value;

	assert_ok(hv_dma_begin(f->domain, gpa, sizeof(value), &host, &f->err), &f->err);
	value = __atomic_load_n((uint64_t *)host, __ATOMIC_ACQUIRE);
	hv_dma_end(f->domain, gpa, sizeof(value), false);
	return value;
}

static inline void fixture_pause(struct fixture *f)
{
	assert_ok(hv_pause(f->domain, NULL, &f->err), &f->err);
}

static inline void fixture_resume(struct fixture *f)
{
	assert_ok(hv_resume(f->domain, &f->err), &f->err);
}

#endif
