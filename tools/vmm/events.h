/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened to the domain, in order, for subscribers of the control socket. The last
 * VMM_EVENTS_KEPT are kept; who is slower than that misses some.
 *
 * Threads: any.
 */
#ifndef XM_TOOLS_VMM_EVENTS_H
#define XM_TOOLS_VMM_EVENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct vmm_events;

#define VMM_EVENTS_KEPT 256

struct vmm_events *vmm_events_create(void);
void vmm_events_destroy(struct vmm_events *events); /* NULL is fine */

/* Records one, and writes it to the log. `text` may come from a guest. */
void vmm_events_say(struct vmm_events *events, const char *what, const char *text);

/* The last word about an operation; its reference is taken over. */
void vmm_events_say_finished(struct vmm_events *events, json_t *operation);

/* No more will come: who waits is woken. */
void vmm_events_close(struct vmm_events *events);

/*
 * Waits for the first event numbered above *after, sets *after to its number and returns its packet (the
 * caller's). NULL when there is none and none will come, or *stop was set (see vmm_events_wake()).
 */
json_t *vmm_events_next(struct vmm_events *events, uint64_t *after, const bool *stop);

/* Sets *stop in a way that a waiting vmm_events_next() sees. */
void vmm_events_wake(struct vmm_events *events, bool *stop);

#endif
