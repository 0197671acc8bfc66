/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/vmm/events.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "tools/lib/control.h"
#include "tools/lib/ident.h"

struct vmm_events {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Guarded by lock. */
	uint64_t last; /* number of the newest; the first is 1 */
	json_t *packets[VMM_EVENTS_KEPT];
	bool closed;
};

struct vmm_events *vmm_events_create(void)
{
	struct vmm_events *events = calloc(1, sizeof(*events));

	if (!events)
		return NULL;
	pthread_mutex_init(&events->lock, NULL);
	pthread_cond_init(&events->changed, NULL);
	return events;
}

void vmm_events_destroy(struct vmm_events *events)
{
	if (!events)
		return;
	for (size_t i = 0; i < VMM_EVENTS_KEPT; i++)
		json_decref(events->packets[i]);
	pthread_cond_destroy(&events->changed);
	pthread_mutex_destroy(&events->lock);
	free(events);
}

/* Takes `event` over; one for which memory lacks is lost. */
static void append(struct vmm_events *events, json_t *event)
{
	char now[XT_TIME_SIZE];
	json_t **slot;

	xt_time_now(now);
	XM_LOCK_GUARD(&events->lock);
	json_object_set_new(event, "sequence", json_integer((json_int_t)++events->last));
	json_object_set_new(event, "at", json_string(now));
	slot = &events->packets[events->last % VMM_EVENTS_KEPT];
	json_decref(*slot);
	*slot = json_pack("{so}", "event", event);
	pthread_cond_broadcast(&events->changed);
}

void vmm_events_say(struct vmm_events *events, const char *what, const char *text)
{
	xm_log(XM_LOG_INFO, "%s%s%s", what, text[0] ? ": " : "", text);
	append(events, json_pack("{ss so}", "what", what, "text", xt_json_text(text)));
}

void vmm_events_say_finished(struct vmm_events *events, json_t *operation)
{
	append(events,
	       json_pack("{ss ss so}", "what", "finished", "text", "", "operation", operation));
}

void vmm_events_close(struct vmm_events *events)
{
	vmm_events_wake(events, &events->closed);
}

/* The oldest that is kept and above `after`; with the lock held. */
static json_t *find(struct vmm_events *events, uint64_t *after)
{
	uint64_t oldest = events->last > VMM_EVENTS_KEPT ? events->last - VMM_EVENTS_KEPT + 1 : 1;
	uint64_t next = *after + 1 > oldest ? *after + 1 : oldest;

	for (; next <= events->last; next++) {
		json_t *packet = events->packets[next % VMM_EVENTS_KEPT];

		if (!packet)
			continue;
		*after = next;
		/* A copy, because several subscribers write it out at once. */
		return json_deep_copy(packet);
	}
	return NULL;
}

json_t *vmm_events_next(struct vmm_events *events, uint64_t *after, const bool *stop)
{
	json_t *packet;

	XM_LOCK_GUARD(&events->lock);
	for (;;) {
		if (*stop)
			return NULL;
		packet = find(events, after);
		if (packet || events->closed)
			return packet;
		pthread_cond_wait(&events->changed, &events->lock);
	}
}

void vmm_events_wake(struct vmm_events *events, bool *stop)
{
	XM_LOCK_GUARD(&events->lock);
	*stop = true;
	pthread_cond_broadcast(&events->changed);
}
