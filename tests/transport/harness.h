/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions of every kind for the same tests, threads with a result, and verifiable batches. */
#ifndef XM_TESTS_TRANSPORT_HARNESS_H
#define XM_TESTS_TRANSPORT_HARNESS_H

#include <pthread.h>
#include <stdbool.h>

#include "tests/test.h"

#include "transport/transport.h"

enum kind { KIND_MEMORY, KIND_TCP4, KIND_TCP6 };

struct joined {
	struct tp_session *a; /* the initiator */
	struct tp_session *b;
	int listener; /* -1 for memory */
};

/* Does this machine have it? Says so if not. */
bool kind_available(enum kind kind);

/* Both ends, with `channels` page channels open. Any failure fails the test. */
struct joined join(enum kind kind, unsigned channels);
void part(struct joined *ends); /* either end may be NULL by then */

/* For TCP: accepts one connection and reads its preamble. */
int accept_one(int listener, unsigned *ret_channel);

/* A connected pair of TCP sockets: `ret_raw` is the test's, the other is for a session. */
int raw_pair(int *ret_raw);
struct tp_session *accept_raw(int *ret_raw);

/* "127.0.0.1:4711" of a listening socket. */
void listener_address(int listener, char *ret_text, size_t size);

/* A thread that runs until `run` returns; its error is its own. */
struct task {
	pthread_t thread;
	int (*run)(struct task *task);
	struct tp_session *session;
	unsigned channel;
	unsigned count;
	int rc;
	struct xm_error err;
};

void task_start(struct task *task);
void task_join(struct task *task);

/* Numbered frames whose every byte is a function of channel, number and place. */
int send_batches(struct task *task);
int receive_batches(struct task *task);

/* One frame with a small body and no payload. */
int send_note(struct tp_session *session, unsigned channel, const char *text, struct xm_error *err);
int receive_note(struct tp_session *session, unsigned channel, char ret_text[64],
		 struct xm_error *err);

/* Registers each test once for each kind that this machine has. */
int run_for_all_kinds(const char *group, const struct CMUnitTest *tests, size_t count);

#endif
