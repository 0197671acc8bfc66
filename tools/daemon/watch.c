/* SPDX-License-Identifier: Apache-2.0 */
/* One thread for each VMM: passes its events on, and tidies up when it has ended. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/log.h"
#include "tools/daemon/daemon.h"
#include "tools/daemon/domains_internal.h"
#include "tools/daemon/events.h"
#include "tools/daemon/operations.h"
#include "tools/lib/control.h"
#include "tools/lib/crash_log.h"

#define LOG_MAX (64u << 20)

static void take_event(struct xd_domain *domain, const json_t *event)
{
	const char *what = json_string_value(json_object_get(event, "what"));
	const char *text = json_string_value(json_object_get(event, "text"));

	if (!what)
		return;
	if (!strcmp(what, "finished"))
		xd_domains_note_operation(domain->domains, domain->ref.name,
					  json_object_get(event, "operation"));
	else
		xd_events_say(domain->domains->daemon->events, domain->ref.name, what, "%s",
			      text ? text : "");
}

/* Returns when the VMM has closed the connection, broken the protocol, or the daemon stops. */
static void read_events(struct xd_domain *domain)
{
	struct xm_error err = XM_ERROR_INIT;
	json_t *packet;

	while (xt_packet_receive(domain->fd, &packet, NULL, &err) == 0) {
		take_event(domain, json_object_get(packet, "event"));
		json_decref(packet);
	}
	xm_log(XM_LOG_DEBUG, "%s: no more events: %s", domain->ref.name, err.text);
}

/* False: the daemon stops first. */
static bool wait_for_end(const struct xd_domain *domain)
{
	struct pollfd waits[] = {
		{.fd = domain->process, .events = POLLIN},
		{.fd = domain->domains->daemon->stop_fd, .events = POLLIN},
	};

	while (poll(waits, 2, -1) < 0 && errno == EINTR)
		;
	return !waits[1].revents;
}

/*
 * The domain is gone: what it said last is shown from now on. Or the VMM died in mid-operation. Whether a domain that was being handed over lives is not known here if
 * COMMIT was sent, and is known otherwise: it died with its process.
 */
static void finish_operation(struct xd_domain *domain, json_t *operation)
{
	struct xd_operations *operations = domain->domains->daemon->operations;
	const char *state = json_string_value(json_object_get(operation, "state"));
	json_t *known;

	if (xd_operation_ends_domain(operation))
		xd_operations_keep(operations, operation);
	if (!operation || xd_operation_finished(operation))
		return;
	known = xd_operations_find(operations, json_string_value(json_object_get(operation, "id")));
	json_decref(known);
	if (known)
		return;
	json_object_set_new(operation, "state",
			    json_string(strcmp(state, "commit-sent") ? "aborted" : "unresolved"));
	json_object_set_new(operation, "finished", json_true());
	json_object_set_new(
		operation, "sequence",
		json_integer(json_integer_value(json_object_get(operation, "sequence")) + 1));
	json_object_set_new(operation, "error",
			    json_pack("{s:s, s:s}", "kind", "internal", "text",
				      "the domain's process died while this was going on"));
	xd_operations_keep(operations, operation);
}

void xd_domain_watch(void *opaque)
{
	struct xd_domain *domain = opaque;
	struct xd_domains *domains = domain->domains;

	read_events(domain);
	if (wait_for_end(domain)) {
		pthread_mutex_lock(&domains->wait.lock);
		json_t *operation = json_deep_copy(domain->operation);

		pthread_mutex_unlock(&domains->wait.lock);
		finish_operation(domain, operation);
		json_decref(operation);
		xd_domains_sweep(domains);
	}
	xd_domain_drop(domain);
}

/* ------------------------------------------------------------------- stale claims */

/* The last line of a dead VMM's log, cleaned by whoever says it; NULL if there is none. */
static char *last_words(const struct xd_domains *domains, const char *name)
{
	cleanup_free char *path =
		xm_format("%s/domains/%s/vmm.log", domains->daemon->options->run_dir, name);
	cleanup_free char *text = NULL;
	size_t size;
	char *line;

	if (!path || xm_file_read(path, LOG_MAX, &text, &size, NULL) < 0)
		return NULL;
	while (size > 0 && text[size - 1] == '\n')
		text[--size] = '\0';
	line = size > 0 ? strrchr(text, '\n') : NULL;
	return size > 0 ? strdup(line ? line + 1 : text) : NULL;
}

/* What a sweep found, to be said when it is true that the claims are gone. */
struct stale {
	struct xd_domains *domains;
	json_t *said; /* pairs of name and text */
};

static void on_stale(void *opaque, const struct xt_domain_record *record)
{
	struct stale *stale = opaque;
	const char *run_dir = stale->domains->daemon->options->run_dir;
	cleanup_free char *words = last_words(stale->domains, record->name);
	cleanup_free char *log = NULL;
	cleanup_free char *text = NULL;

	xt_crash_log_keep(run_dir, record->name, &log, NULL); /* one that died early has none */
	text = xm_format(
		"process %d of this domain died; the domain is gone, its claim was cleared%s%s%s%s",
		(int)record->pid, log ? "; its log is " : "", log ? log : "",
		words ? ", its last line: " : "", words ? words : "");
	json_array_append_new(stale->said, json_string(record->name));
	json_array_append_new(stale->said, xt_json_text(text ? text : ""));
}

void xd_domains_sweep(struct xd_domains *domains)
{
	struct stale stale = {.domains = domains, .said = json_array()};
	struct xm_error err = XM_ERROR_INIT;

	if (xt_registry_sweep(&domains->daemon->registry, on_stale, &stale, &err) < 0)
		xm_log(XM_LOG_WARNING, "stale claims were not cleared: %s", err.text);
	for (size_t n = 0; n + 1 < json_array_size(stale.said); n += 2)
		xd_events_say(domains->daemon->events,
			      json_string_value(json_array_get(stale.said, n)), "alarm", "%s",
			      json_string_value(json_array_get(stale.said, n + 1)));
	json_decref(stale.said);
}
