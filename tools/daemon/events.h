/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened on this host: a ring of the last XD_EVENTS_KEPT events, and readers that wait for more.
 *
 * Numbers begin at 1 with each daemon. A reader that names a number nobody has given yet knew an
 * earlier daemon, and gets everything that is kept.
 *
 * Threads: any.
 */
#ifndef XM_TOOLS_DAEMON_EVENTS_H
#define XM_TOOLS_DAEMON_EVENTS_H

#include <jansson.h>
#include <stdint.h>

#include "common/error.h"

#define XD_EVENTS_KEPT	  1024u
#define XD_EVENT_TEXT_MAX XM_ERROR_TEXT_MAX

struct xd_events;

int xd_events_create(struct xd_events **ret_events, struct xm_error *err);

/*
 * Puts an event into the ring, wakes the readers, and logs it. `domain` is NULL for what
 * concerns the host. `text` may be anything: what is not UTF-8 is replaced, what is too long is cut.
 */
void xd_events_say(struct xd_events *events, const char *domain, const char *what, const char *fmt,
		   ...) __attribute__((format(printf, 4, 5)));

/*
 * The answer to GET /v1/events: waits at most until `deadline_ns` (xm_now_ns()) for an event
 * above `after`. A time-out is an answer without events. NULL when memory is exhausted.
 */
json_t *xd_events_read(struct xd_events *events, uint64_t after, uint64_t deadline_ns);

/* No reader waits any more, from now on. */
void xd_events_stop(struct xd_events *events);

void xd_events_destroy(struct xd_events *events);

#endif
