/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon of a test's own, in a folder of its own, with the fake VMM in place of the real one; and requests to its
 * API. Everything is gone after client_finish(): daemon, VMMs, folder.
 */
#ifndef XM_TESTS_TOOLS_DAEMON_CLIENT_H
#define XM_TESTS_TOOLS_DAEMON_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct client {
	char *folder; /* run and state directories lie in it */
	char *run_dir;
	char *state_dir;
	char *socket;
	pid_t daemon; /* 0: none runs */
	bool failed;  /* the daemon did not end as it should */
};

/* Makes the folder; starts no daemon. client_finish() is false if the daemon did not end well. */
void client_init(struct client *client);
bool client_finish(struct client *client);

/*
 * Starts a daemon and waits until it is ready; `options` is NULL-terminated and comes after the usual ones. False
 * when it ended instead: its exit status is in *ret_status and what it said in ret_text.
 */
#define CLIENT_TEXT_MAX 4096
bool client_try_start(struct client *client, const char *const *options, int *ret_status,
		      char ret_text[CLIENT_TEXT_MAX]);
void client_start(struct client *client);

/* Sends a signal and waits for the daemon's end; returns its wait status. */
int client_stop(struct client *client, int signal_number);

/*
 * A request; `body` NULL: none. Returns the status, and the answer in *ret_json (the caller's; NULL: empty
 * or not wanted).
 */
long client_request(struct client *client, const char *method, const char *path, const char *body,
		    size_t size, json_t **ret_json);

/* A request that must have that status. Returns its answer. */
json_t *client_expect(struct client *client, long status, const char *method, const char *path,
		      const char *body);

/* As above, for an error of that kind; `part` must be in its text. */
void client_expect_error(struct client *client, long status, const char *kind, const char *part,
			 const char *method, const char *path, const char *body);

/* Waits for the first event after number `after` that is `what`, of `domain` (NULL: the host). Its text, to be freed. */
char *client_wait_event(struct client *client, json_int_t after, const char *domain,
			const char *what);

/* Creates a domain of the fake VMM, returns its pid. */
pid_t client_create(struct client *client, const char *name);

/* A connection to the migration port. */
int client_connect(struct client *client);

#endif
