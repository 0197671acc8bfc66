/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/daemon/domains.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"
#include "tools/daemon/daemon.h"
#include "tools/daemon/domains_internal.h"
#include "tools/daemon/events.h"
#include "tools/daemon/operations.h"
#include "tools/lib/control.h"

int xd_domains_create(struct xd_daemon *daemon, struct xd_domains **ret_domains,
		      struct xm_error *err)
{
	struct xd_domains *domains = calloc(1, sizeof(*domains));
	int rc;

	if (!domains)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	domains->daemon = daemon;
	xd_wait_init(&domains->wait);
	xd_threads_init(&domains->watchers, XD_DOMAINS_MAX);
	rc = xd_ids_init(&domains->ids, daemon->options->run_dir, err);
	if (rc) {
		xd_domains_destroy(domains);
		return rc;
	}
	*ret_domains = domains;
	return 0;
}

/* --------------------------------------------------------------------- the table */

/* With the lock held. */
static struct xd_domain *lookup(const struct xd_domains *domains, const char *name_or_uuid)
{
	struct xd_domain *domain = domains->first;

	while (domain && strcmp(domain->ref.name, name_or_uuid) != 0 &&
	       strcasecmp(domain->ref.uuid, name_or_uuid) != 0)
		domain = domain->next;
	return domain;
}

int xd_domains_find(struct xd_domains *domains, const char *name_or_uuid,
		    struct xd_domain_ref *ret_ref, struct xm_error *err)
{
	XM_LOCK_GUARD(&domains->wait.lock);
	const struct xd_domain *domain = lookup(domains, name_or_uuid);

	if (!domain)
		return xm_fail(err, XM_KIND_NOT_FOUND, -ENOENT,
			       "there is no domain %s on this host; `xmigrate list` shows those "
			       "that are",
			       name_or_uuid);
	*ret_ref = domain->ref;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct xd_domain_ref *)a)->name,
		      ((const struct xd_domain_ref *)b)->name);
}

int xd_domains_list(struct xd_domains *domains, struct xd_domain_ref **ret_refs, size_t *ret_count,
		    struct xm_error *err)
{
	struct xd_domain_ref *refs = calloc(XD_DOMAINS_MAX, sizeof(*refs));
	size_t count = 0;

	if (!refs)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	pthread_mutex_lock(&domains->wait.lock);
	for (const struct xd_domain *domain = domains->first; domain; domain = domain->next)
		if (count < XD_DOMAINS_MAX)
			refs[count++] = domain->ref;
	pthread_mutex_unlock(&domains->wait.lock);
	qsort(refs, count, sizeof(*refs), by_name);
	*ret_refs = refs;
	*ret_count = count;
	return 0;
}

bool xd_domains_wait_gone(struct xd_domains *domains, const struct xd_domain_ref *ref,
			  uint64_t deadline_ns)
{
	XM_LOCK_GUARD(&domains->wait.lock);
	for (;;) {
		const struct xd_domain *domain = lookup(domains, ref->name);

		if (!domain || domain->ref.id != ref->id)
			return true;
		if (!xd_wait_until(&domains->wait, deadline_ns))
			return false;
	}
}

/* ------------------------------------------------------------------------- calls */

static void limit_waiting(int fd, uint64_t limit_ms)
{
	struct timeval limit = {.tv_sec = (time_t)(limit_ms / 1000),
				.tv_usec = (suseconds_t)(limit_ms % 1000 * 1000)};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

int xd_domain_connect(const struct xd_domains *domains, const char *name, uint64_t limit_ms,
		      int *ret_fd, struct xm_error *err)
{
	cleanup_free char *path =
		xm_format("%s/domains/%s/vmm.sock", domains->daemon->options->run_dir, name);
	int rc;

	if (!path)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	rc = xt_socket_connect(path, SOCK_SEQPACKET, ret_fd, err);
	if (!rc)
		limit_waiting(*ret_fd, limit_ms);
	return rc;
}

static int begin_call(struct xd_domains *domains, struct xd_call *call, struct xm_error *err)
{
	XM_LOCK_GUARD(&domains->wait.lock);
	if (domains->wait.stopped)
		return xm_fail(err, XM_KIND_HOST, -ECANCELED,
			       "the daemon is stopping; the domain runs on");
	call->next = domains->calls;
	domains->calls = call;
	return 0;
}

static void end_call(struct xd_domains *domains, const struct xd_call *call)
{
	XM_LOCK_GUARD(&domains->wait.lock);
	struct xd_call **link = &domains->calls;

	while (*link != call)
		link = &(*link)->next;
	*link = call->next;
}

static bool stopping(struct xd_domains *domains)
{
	XM_LOCK_GUARD(&domains->wait.lock);
	return domains->wait.stopped;
}

/*
 * Says in the user's words what went wrong between daemon and VMM. A connection that the daemon's own end has
 * closed says nothing about the VMM.
 */
static int explain(struct xd_domains *domains, const char *name, int rc, struct xm_error *err)
{
	bool closed = rc == -ENODATA || rc == -ECONNRESET || rc == -EPIPE;

	if (closed && stopping(domains))
		return xm_fail(err, XM_KIND_HOST, -ECANCELED,
			       "the daemon is stopping; the domain runs on");
	if (rc == -EAGAIN || rc == -EWOULDBLOCK || rc == -ETIMEDOUT)
		return xm_fail(err, XM_KIND_HOST, -ETIMEDOUT,
			       "the process of domain %s does not answer; is it stopped?", name);
	if (closed)
		return xm_fail(err, XM_KIND_NETWORK, -ECONNRESET,
			       "the process of domain %s ended before it had answered", name);
	return rc;
}

int xd_domains_call(struct xd_domains *domains, const char *name, const char *call_name,
		    const json_t *arguments, int fd, uint64_t wait_ms, json_t **ret_result,
		    struct xm_error *err)
{
	cleanup_close int connection = -1;
	struct xd_call call = {0};
	json_t *result = NULL;
	int rc;

	rc = xd_domain_connect(domains, name, XD_CALL_MS + wait_ms, &connection, err);
	if (rc)
		return explain(domains, name, rc, err);
	call.fd = connection;
	rc = begin_call(domains, &call, err);
	if (rc)
		return rc;
	rc = xt_call(connection, call_name, arguments, fd, &result, err);
	end_call(domains, &call);
	if (rc)
		return explain(domains, name, rc, err);
	if (!json_is_object(result)) {
		json_decref(result);
		return xm_fail(err, XM_KIND_INTERNAL, -EPROTO,
			       "the process of domain %s answered something else than an object",
			       name);
	}
	if (ret_result)
		*ret_result = result;
	else
		json_decref(result);
	return 0;
}

/* -------------------------------------------------------------------- operations */

void xd_domains_note_operation(struct xd_domains *domains, const char *name,
			       const json_t *operation)
{
	if (!xd_operation_is(operation, NULL))
		return;
	if (xd_operation_finished(operation) && !xd_operation_ends_domain(operation))
		xd_operations_keep(domains->daemon->operations, operation);
	XM_LOCK_GUARD(&domains->wait.lock);
	struct xd_domain *domain = lookup(domains, name);

	if (!domain)
		return;
	json_decref(domain->operation);
	domain->operation = json_deep_copy(operation);
}

int xd_domains_find_operation(struct xd_domains *domains, const char *id,
			      struct xd_domain_ref *ret_ref, struct xm_error *err)
{
	XM_LOCK_GUARD(&domains->wait.lock);
	for (const struct xd_domain *domain = domains->first; domain; domain = domain->next) {
		if (xd_operation_is(domain->operation, id)) {
			*ret_ref = domain->ref;
			return 0;
		}
	}
	return xm_fail(err, XM_KIND_NOT_FOUND, -ENOENT, "there is no operation %s on this host",
		       id);
}

/* ---------------------------------------------------------------------- adoption */

static void domain_free(struct xd_domain *domain)
{
	if (domain->fd >= 0)
		close(domain->fd);
	if (domain->process >= 0)
		close(domain->process);
	json_decref(domain->operation);
	free(domain);
}

/* Who made the socket is who must die before the domain is gone; its own word for its pid counts nothing. */
static int open_process(struct xd_domain *domain, struct xm_error *err)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(domain->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot tell who domain %s is",
				     domain->ref.name);
	if (peer.uid != 0 && peer.uid != geteuid())
		return xm_fail(err, XM_KIND_REFUSED, -EACCES,
			       "the process of domain %s is user %u's, not ours", domain->ref.name,
			       peer.uid);
	domain->pid = peer.pid;
	domain->process = (int)syscall(SYS_pidfd_open, peer.pid, 0);
	if (domain->process < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "the process of domain %s is gone",
				     domain->ref.name);
	return 0;
}

/* Fills the entry in by asking the VMM who it is; its name must be that of its folder. */
static int get_acquainted(struct xd_domain *domain, const char *name, struct xm_error *err)
{
	json_t *info = NULL, *operation = NULL;
	const char *said_name, *said_uuid;
	uint8_t uuid[XT_ID_BYTES];
	int rc;

	snprintf(domain->ref.name, sizeof(domain->ref.name), "%s", name);
	rc = xd_domain_connect(domain->domains, name, XD_CALL_MS, &domain->fd, err);
	if (!rc)
		rc = open_process(domain, err);
	if (!rc)
		rc = xt_call(domain->fd, "info", NULL, -1, &info, err);
	if (!rc)
		rc = xt_call(domain->fd, "subscribe", NULL, -1, NULL, err);
	if (rc)
		goto out;
	said_name = json_string_value(json_object_get(info, "name"));
	said_uuid = json_string_value(json_object_get(info, "uuid"));
	if (!said_name || strcmp(said_name, name) != 0 || !said_uuid ||
	    !xt_uuid_parse(said_uuid, uuid)) {
		rc = xm_fail(err, XM_KIND_INTERNAL, -EPROTO,
			     "the process in the folder of domain %s is of another", name);
		goto out;
	}
	xt_uuid_format(uuid, domain->ref.uuid);
	if (json_is_string(json_object_get(info, "operation")) &&
	    xt_call(domain->fd, "operation", NULL, -1, &operation, NULL) == 0 &&
	    xd_operation_is(operation, NULL))
		domain->operation = json_deep_copy(operation);
	limit_waiting(domain->fd, 0); /* events come when they come */
out:
	json_decref(info);
	json_decref(operation);
	return rc;
}

/*
 * Puts it into the table and starts its watcher, which owns it from then on. An earlier domain of this
 * name may have ended a moment ago, and its watcher be tidying up: that is waited for.
 */
static int enter(struct xd_domain *domain, struct xm_error *err)
{
	uint64_t deadline_ns = xm_now_ns() + XD_CALL_MS * XM_NS_PER_MS;
	struct xd_domains *domains = domain->domains;
	struct xd_domain **link = &domains->first;
	const struct xd_domain *earlier;

	XM_LOCK_GUARD(&domains->wait.lock);
	while ((earlier = lookup(domains, domain->ref.name)) != NULL) {
		if (earlier->pid == domain->pid)
			return -EEXIST;
		if (!xd_wait_until(&domains->wait, deadline_ns))
			return xm_fail(err, XM_KIND_CONFLICT, -EBUSY,
				       "an earlier domain %s has not ended yet", domain->ref.name);
	}
	if (domains->wait.stopped)
		return xm_fail(err, XM_KIND_CANCELLED, -ECANCELED, "the daemon is stopping");
	domain->ref.id = xd_ids_take(&domains->ids, domain->ref.name, err);
	while (*link)
		link = &(*link)->next;
	*link = domain;
	int rc = xd_threads_start(&domains->watchers, xd_domain_watch, domain, err);

	if (rc)
		*link = NULL;
	return rc;
}

int xd_domains_adopt(struct xd_domains *domains, const char *name, struct xm_error *err)
{
	struct xd_domain *domain;
	int rc = xt_name_check(name, err);

	if (rc)
		return rc;
	domain = calloc(1, sizeof(*domain));
	if (!domain)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	domain->domains = domains;
	domain->fd = domain->process = -1;
	rc = get_acquainted(domain, name, err);
	if (!rc)
		rc = enter(domain, err);
	if (rc)
		domain_free(domain);
	return rc == -EEXIST ? 0 : explain(domains, name, rc, err);
}

int xd_domains_adopt_all(struct xd_domains *domains, struct xm_error *err)
{
	cleanup_free struct xt_domain_record *records = NULL;
	size_t count;
	int rc;

	xd_domains_sweep(domains);
	rc = xt_registry_list(&domains->daemon->registry, &records, &count, err);
	if (rc)
		return rc;
	pthread_mutex_lock(&domains->wait.lock);
	xd_ids_keep_only(&domains->ids, records, count);
	pthread_mutex_unlock(&domains->wait.lock);
	for (size_t n = 0; n < count; n++) {
		struct xm_error why = XM_ERROR_INIT;

		if (xd_domains_adopt(domains, records[n].name, &why) == 0)
			xd_events_say(domains->daemon->events, records[n].name, "adopted",
				      "process %d was running when this daemon started",
				      (int)records[n].pid);
		else
			xd_events_say(domains->daemon->events, records[n].name, "alarm",
				      "cannot adopt process %d: %s", (int)records[n].pid, why.text);
	}
	return 0;
}

void xd_domain_drop(struct xd_domain *domain)
{
	struct xd_domains *domains = domain->domains;

	pthread_mutex_lock(&domains->wait.lock);
	struct xd_domain **link = &domains->first;

	while (*link != domain)
		link = &(*link)->next;
	*link = domain->next;
	if (!domains->wait.stopped) /* else it lives on, and keeps its number */
		xd_ids_drop(&domains->ids, domain->ref.name);
	xd_wait_wake(&domains->wait);
	pthread_mutex_unlock(&domains->wait.lock);
	domain_free(domain);
}

/* ------------------------------------------------------------------------ ending */

void xd_domains_stop(struct xd_domains *domains)
{
	xd_wait_stop(&domains->wait);
	XM_LOCK_GUARD(&domains->wait.lock);
	for (const struct xd_domain *domain = domains->first; domain; domain = domain->next)
		shutdown(domain->fd, SHUT_RDWR);
	for (const struct xd_call *call = domains->calls; call; call = call->next)
		shutdown(call->fd, SHUT_RDWR);
}

void xd_domains_destroy(struct xd_domains *domains)
{
	if (!domains)
		return;
	xd_threads_finish(&domains->watchers);
	xd_ids_finish(&domains->ids);
	xd_wait_finish(&domains->wait);
	free(domains);
}
