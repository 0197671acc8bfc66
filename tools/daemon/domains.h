/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMMs of this host. Each that lives is in the table from its adoption until its process has
 * ended, and is watched by a thread that holds a subscription to its events. Calls go over a connection of
 * their own each, so that one that waits holds nobody up.
 *
 * A VMM is hostile: what it says is checked, how long it may take is limited, and its death at any
 * point is an answer as well.
 *
 * Threads: any.
 */
#ifndef XM_TOOLS_DAEMON_DOMAINS_H
#define XM_TOOLS_DAEMON_DOMAINS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "tools/lib/ident.h"

#define XD_DOMAINS_MAX 1024

struct xd_daemon;
struct xd_domains;

/* Which domain: a copy, valid for as long as one likes. */
struct xd_domain_ref {
	char name[XT_NAME_SIZE];
	char uuid[XT_UUID_SIZE];
	uint64_t id;
};

int xd_domains_create(struct xd_daemon *daemon, struct xd_domains **ret_domains,
		      struct xm_error *err);

/*
 * At the daemon's start: adopts every VMM that lives, and clears the claims of those that do not. A
 * VMM that cannot be adopted is an event, and nothing else.
 */
int xd_domains_adopt_all(struct xd_domains *domains, struct xm_error *err);

/* Connects to a VMM, subscribes, and puts it into the table. One that is there already is left alone. */
int xd_domains_adopt(struct xd_domains *domains, const char *name, struct xm_error *err);

/* By name or UUID. NOT_FOUND with a sentence for the user. */
int xd_domains_find(struct xd_domains *domains, const char *name_or_uuid,
		    struct xd_domain_ref *ret_ref, struct xm_error *err);

/* All, by name. The caller frees the array. */
int xd_domains_list(struct xd_domains *domains, struct xd_domain_ref **ret_refs, size_t *ret_count,
		    struct xm_error *err);

/*
 * Calls the domain's VMM and waits for its answer for at most `wait_ms` and XD_CALL_MS. `fd` (or -1)
 * goes along. *ret_result (may be NULL) is the caller's; it is an object. Kind HOST when the VMM does
 * not answer in time, NETWORK when it ends before it has answered.
 */
#define XD_CALL_MS 10000u
int xd_domains_call(struct xd_domains *domains, const char *name, const char *call,
		    const json_t *arguments, int fd, uint64_t wait_ms, json_t **ret_result,
		    struct xm_error *err);

/* True when the domain (this one, not a later one of its name) is gone before the deadline. */
bool xd_domains_wait_gone(struct xd_domains *domains, const struct xd_domain_ref *ref,
			  uint64_t deadline_ns);

/*
 * Remembers what a domain's VMM said of its operation, for xd_domains_find_operation() and for the case that it dies
 * without another word. A finished one goes to the finished operations: at once, or when its domain is gone, if the
 * domain ends with it.
 */
void xd_domains_note_operation(struct xd_domains *domains, const char *name,
			       const json_t *operation);

/* The domain whose last known operation this is. */
int xd_domains_find_operation(struct xd_domains *domains, const char *id,
			      struct xd_domain_ref *ret_ref, struct xm_error *err);

/* Clears stale claims away, and says so. */
void xd_domains_sweep(struct xd_domains *domains);

/* Ends all calls and watchers; VMMs go on. The daemon's stop_fd is readable already. */
void xd_domains_stop(struct xd_domains *domains);
void xd_domains_destroy(struct xd_domains *domains);

#endif
