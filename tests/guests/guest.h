/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A domain that runs one of our payloads, and the conversation with it: what tests use that need a
 * guest whose memory and registers can be checked. Every wait is for an event and bounded; a guest
 * that does not answer in time, crashes, or cannot be created fails the test with the reason and
 * the guest's console.
 *
 * Call everything from the test's own thread.
 */
#ifndef XM_TESTS_GUESTS_GUEST_H
#define XM_TESTS_GUESTS_GUEST_H

#include "hypervisor/hypervisor.h"

#include <stdbool.h>
#include <stdint.h>

struct guest;

struct guest_config {
	const char *payload; /* "dirty", ... */
	const char *args;    /* NULL: none */
	unsigned memory_mib; /* 0: 64 */
	unsigned vcpus;	     /* 0: 1 */
	enum hv_log_kind log_kind;
};

/* Creates and loads it, stopped. */
struct guest *guest_create(const struct guest_config *config);

/* Another domain of the same shape, stopped and empty, to move this one into; the conversation
 * goes on there. */
struct guest *guest_create_twin(const struct guest *guest);

/* Destroys the domain too. NULL is fine. */
void guest_destroy(struct guest *guest);

struct hv_domain *guest_domain(struct guest *guest);

void guest_resume(struct guest *guest);
void guest_pause(struct guest *guest);

/* Resumes it and waits until it has populated its memory. */
void guest_start(struct guest *guest);

/* Sends a command, without newline, and returns the answer to it: valid until the next call. */
const char *guest_ask(struct guest *guest, const char *command);

/* Sends raw bytes to the console. */
void guest_send(struct guest *guest, const char *bytes);

/* Waits until all that the guest has written to its console contains `text`. */
void guest_wait_console(struct guest *guest, const char *text);

/* Waits until the guest has ended itself, and returns its code. */
uint32_t guest_wait_end(struct guest *guest);

/* guest_ask("stop") for a healthy guest: the answer must have no errors, the code must be 0. */
void guest_stop(struct guest *guest);

/* The value of a key in a line of key=value words; fails the test if there is none. */
uint64_t guest_number(const char *line, const char *key);
/* Whether `word`, key and value, is the line's first word of that beginning. */
bool guest_has_word(const char *line, const char *word);

/* The guest's memory as this program sees it; any address of RAM. */
uint8_t *guest_memory(struct guest *guest, uint64_t gpa);

#endif
