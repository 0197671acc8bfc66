/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host for tests: a run directory, a state directory, a migration port on loopback, and what a daemon
 * does for VMMs, as little as there can be: it starts them, hands them their connections, and
 * answers questions about sessions.
 *
 * Failures end the test. Functions are for the test's own thread; the port has one of its own.
 */
#ifndef XM_TESTS_TOOLS_VMM_HOST_H
#define XM_TESTS_TOOLS_VMM_HOST_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/test.h"
#include "tools/lib/registry.h"

#define TEST_VMMS_MAX 64

struct test_host {
	char *folder;  /* run_dir and state_dir in one */
	char *address; /* "127.0.0.1:PORT" */
	struct xt_registry registry;
	const char *fault; /* XMIGRATE_FAULT of VMMs started from now on; NULL: none */
	int listener;
	pthread_t thread;
	pthread_mutex_t lock;
	pid_t vmms[TEST_VMMS_MAX]; /* guarded by lock; 0: free */
};

void test_host_start(struct test_host *host);

/* Kills what is left, and removes everything. */
void test_host_stop(struct test_host *host);

/* Starts a VMM with that packet (taken over; run_dir and state_dir are added) and returns its answer. */
json_t *test_host_vmm(struct test_host *host, json_t *packet, pid_t *ret_pid);

/* A domain "name" of 64 MiB with that payload, which has reported that it is ready. */
pid_t test_host_create(struct test_host *host, const char *name, const char *payload,
		       const char *args, bool paused);

/* Waits for the end of a VMM and returns its exit code, or -1 if it was killed. */
int test_host_wait(struct test_host *host, pid_t pid);

bool test_host_has(struct test_host *host, const char *name);

/* ---------------------------------------------------------------------------- calls */

/* A connection to a domain's control socket. */
int test_connect(struct test_host *host, const char *name);

/* Calls once, on a connection of its own. Arguments are taken over, may be NULL. The result is the caller's. */
json_t *test_call(struct test_host *host, const char *name, const char *call, json_t *arguments);

/* As above, and must fail: returns the kind. */
enum xm_kind test_call_fails(struct test_host *host, const char *name, const char *call,
			     json_t *arguments);

/* The domain's "state". */
void test_assert_state(struct test_host *host, const char *name, const char *state);

/* Waits until the operation is finished, and returns it. */
json_t *test_finished(struct test_host *host, const char *name);

/* What a VMM that has ended left in finished/. */
json_t *test_bequeathed(struct test_host *host, const char *id);

/* Waits for the event `what`, from the first one ever. */
void test_event(struct test_host *host, const char *name, const char *what);

/* Waits until the domain is gone from that host, name and all. */
void test_host_gone(struct test_host *host, const char *name);

/* Gives the payload a command, and checks that its answer knows of no error. */
void test_verify(struct test_host *host, const char *name);

/* The string or number at "a.b.c", which must be there. */
const char *test_string(const json_t *json, const char *path);
json_int_t test_number(const json_t *json, const char *path);

#endif
