/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/daemon/events.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "tools/daemon/text.h"
#include "tools/daemon/wait.h"
#include "tools/lib/ident.h"

#define WHAT_MAX 24

struct event {
	char at[XT_TIME_SIZE];
	char domain[XT_NAME_SIZE]; /* "" for the host */
	char what[WHAT_MAX];
	char *text;
};

struct xd_events {
	struct xd_wait wait;		   /* its lock guards everything below */
	uint64_t last;			   /* number of the newest event, 0 before the first */
	struct event ring[XD_EVENTS_KEPT]; /* event n lies at n % XD_EVENTS_KEPT */
};

int xd_events_create(struct xd_events **ret_events, struct xm_error *err)
{
	struct xd_events *events = calloc(1, sizeof(*events));

	if (!events)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory for the event ring");
	xd_wait_init(&events->wait);
	*ret_events = events;
	return 0;
}

void xd_events_say(struct xd_events *events, const char *domain, const char *what, const char *fmt,
		   ...)
{
	char text[XD_EVENT_TEXT_MAX];
	struct event *event;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	xd_text_clean(text);
	xm_log(strcmp(what, "alarm") ? XM_LOG_INFO : XM_LOG_WARNING, "%s%s%s%s%s",
	       domain ? domain : "", domain ? ": " : "", what, text[0] ? ": " : "", text);

	XM_LOCK_GUARD(&events->wait.lock);
	events->last++;
	event = &events->ring[events->last % XD_EVENTS_KEPT];
	free(event->text);
	xt_time_now(event->at);
	snprintf(event->domain, sizeof(event->domain), "%s", domain ? domain : "");
	snprintf(event->what, sizeof(event->what), "%s", what);
	xd_text_clean(event->domain);
	xd_text_clean(event->what);
	event->text = strdup(text);
	xd_wait_wake(&events->wait);
}

static json_t *event_json(const struct event *event, uint64_t sequence)
{
	return json_pack("{s:I, s:s, s:s?, s:s, s:s}", "sequence", (json_int_t)sequence, "at",
			 event->at, "domain", event->domain[0] ? event->domain : NULL, "what",
			 event->what, "text", event->text ? event->text : "");
}

/* Called with the lock held. */
static json_t *events_after(const struct xd_events *events, uint64_t after)
{
	uint64_t oldest = events->last >= XD_EVENTS_KEPT ? events->last - XD_EVENTS_KEPT + 1 : 1;
	uint64_t number = after < oldest ? oldest : after + 1;
	json_t *list = json_array();

	for (; number <= events->last; number++)
		json_array_append_new(list,
				      event_json(&events->ring[number % XD_EVENTS_KEPT], number));
	return json_pack("{s:o, s:I}", "events", list, "next", (json_int_t)events->last);
}

json_t *xd_events_read(struct xd_events *events, uint64_t after, uint64_t deadline_ns)
{
	XM_LOCK_GUARD(&events->wait.lock);
	if (after > events->last)
		after = 0;
	while (events->last <= after)
		if (!xd_wait_until(&events->wait, deadline_ns))
			break;
	return events_after(events, after);
}

void xd_events_stop(struct xd_events *events)
{
	xd_wait_stop(&events->wait);
}

void xd_events_destroy(struct xd_events *events)
{
	if (!events)
		return;
	for (unsigned n = 0; n < XD_EVENTS_KEPT; n++)
		free(events->ring[n].text);
	xd_wait_finish(&events->wait);
	free(events);
}
