/* SPDX-License-Identifier: Apache-2.0 */
/* What domains.c (the table) and watch.c (a thread for each entry) share. */
#ifndef XM_TOOLS_DAEMON_DOMAINS_INTERNAL_H
#define XM_TOOLS_DAEMON_DOMAINS_INTERNAL_H

#include "tools/daemon/domains.h"
#include "tools/daemon/ids.h"
#include "tools/daemon/threads.h"

/* A VMM in the table. Made by adoption, freed by its watcher. */
struct xd_domain {
	struct xd_domains *domains;
	struct xd_domain *next;	  /* by the table's lock */
	struct xd_domain_ref ref; /* constant */
	int fd;			  /* the subscription; the watcher reads, stopping shuts it down */
	pid_t pid;		  /* of the VMM, constant */
	int process;		  /* a pidfd of it */
	json_t *operation;	  /* the last that was seen, or NULL; by the table's lock */
};

/* A call in progress: a connection that stopping must be able to end. On its caller's stack. */
struct xd_call {
	struct xd_call *next; /* by the table's lock */
	int fd;
};

struct xd_domains {
	struct xd_daemon *daemon;
	struct xd_threads watchers;
	struct xd_wait wait; /* its lock guards everything below */
	struct xd_domain *first;
	struct xd_call *calls;
	struct xd_ids ids;
};

/* Connects to NAME's vmm.sock, with a time limit on every send and receive. */
int xd_domain_connect(const struct xd_domains *domains, const char *name, uint64_t limit_ms,
		      int *ret_fd, struct xm_error *err);

/* Takes a domain that is gone out of the table and frees it. */
void xd_domain_drop(struct xd_domain *domain);

/* A thread's work: reads the VMM's events until it ends, then tidies up behind it. */
void xd_domain_watch(void *opaque);

#endif
