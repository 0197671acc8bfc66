/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded set of threads that end by themselves: one per peer that shakes hands, one per
 * domain that is watched.
 *
 * Threads: any.
 */
#ifndef XM_TOOLS_DAEMON_THREADS_H
#define XM_TOOLS_DAEMON_THREADS_H

#include "common/error.h"
#include "tools/daemon/wait.h"

struct xd_threads {
	struct xd_wait wait; /* its lock guards: */
	unsigned running;
	unsigned most; /* set once */
};

void xd_threads_init(struct xd_threads *threads, unsigned most);

/* -EAGAIN (CONFLICT) when as many as allowed run already; `work` is then not called. */
int xd_threads_start(struct xd_threads *threads, void (*work)(void *opaque), void *opaque,
		     struct xm_error *err);

/* Waits until all have ended. Who calls it has made sure that they will, and that none starts. */
void xd_threads_finish(struct xd_threads *threads);

#endif
