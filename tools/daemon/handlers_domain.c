/* SPDX-License-Identifier: Apache-2.0 */
/* Domains: list, create, and what is passed on to their VMMs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "tools/daemon/daemon.h"
#include "tools/daemon/domains.h"
#include "tools/daemon/handlers.h"
#include "tools/daemon/spawn.h"

/* A VMM that was told to end has this long to be gone. */
#define END_MS 30000u

/* ------------------------------------------------------------------------ reading */

/*
 * What is known of a domain whose VMM does not answer: its record. Somebody who looks for what is wrong must
 * see it in the list.
 */
static json_t *unresponsive(struct xd_daemon *daemon, const struct xd_domain_ref *ref)
{
	cleanup_free struct xt_domain_record *records = NULL;
	size_t count = 0;
	size_t n = 0;

	xt_registry_list(&daemon->registry, &records, &count, NULL);
	while (n < count && strcmp(records[n].name, ref->name) != 0)
		n++;
	if (n == count)
		return NULL;
	return json_pack("{s:s, s:s, s:I, s:s, s:I, s:i, s:I, s:i, s:s, s:n, s:n}", "name",
			 ref->name, "uuid", ref->uuid, "id", (json_int_t)ref->id, "state",
			 "unresponsive", "memory_bytes", (json_int_t)records[n].memory_bytes,
			 "vcpus", (int)records[n].vcpus, "epoch", (json_int_t)records[n].epoch,
			 "pid", (int)records[n].pid, "created_at", records[n].created_at,
			 "operation", "crash");
}

/* DOMAIN: what the VMM says, with the number that the daemon gave. */
static int describe(struct xd_daemon *daemon, const struct xd_domain_ref *ref, json_t **ret_domain,
		    struct xm_error *err)
{
	json_t *domain;
	int rc = xd_domains_call(daemon->domains, ref->name, "info", NULL, -1, 0, &domain, err);

	if (rc == -ETIMEDOUT) {
		domain = unresponsive(daemon, ref);
		if (!domain)
			return rc;
	} else if (rc) {
		return rc;
	}
	json_object_set_new(domain, "name", json_string(ref->name));
	json_object_set_new(domain, "uuid", json_string(ref->uuid));
	json_object_set_new(domain, "id", json_integer((json_int_t)ref->id));
	*ret_domain = domain;
	return 0;
}

int xd_get_domains(const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	cleanup_free struct xd_domain_ref *refs = NULL;
	size_t count = 0;
	json_t *list;
	int rc = xd_domains_list(request->daemon->domains, &refs, &count, err);

	if (rc)
		return rc;
	list = json_array();
	for (size_t n = 0; n < count; n++) {
		json_t *domain;

		/* One that ends while we ask is not there any more. */
		if (describe(request->daemon, &refs[n], &domain, NULL) == 0)
			json_array_append_new(list, domain);
	}
	*ret_body = json_pack("{s:o}", "domains", list);
	return 0;
}

int xd_get_domain(const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	struct xd_domain_ref ref;
	int rc = xd_domains_find(request->daemon->domains, request->name, &ref, err);

	return rc ? rc : describe(request->daemon, &ref, ret_body, err);
}

/* ----------------------------------------------------------------------- creating */

/* Between its VMM's word that it is there and our asking, a domain can end; its VMM tells of ends before that. */
static bool has_ended(int rc, const struct xm_error *err)
{
	return rc && (err->kind == XM_KIND_NETWORK || err->kind == XM_KIND_NOT_FOUND) &&
	       (rc == -ECONNRESET || rc == -ENOENT || rc == -ECONNREFUSED);
}

int xd_post_domains(const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	json_t *packet = json_copy(request->body);
	char name[XT_NAME_SIZE];
	struct xd_domain_ref ref;
	int rc;

	if (!json_is_string(json_object_get(packet, "config"))) {
		rc = xm_fail(err, XM_KIND_USAGE, -EINVAL,
			     "\"config\" must be the text of a domain's configuration");
		goto out;
	}
	if (!json_object_get(packet, "config_path"))
		json_object_set_new(packet, "config_path", json_string("config"));
	if (!json_object_get(packet, "paused"))
		json_object_set_new(packet, "paused", json_false());
	json_object_set_new(packet, "start", json_string("create"));
	rc = xd_spawn(request->daemon, packet, -1, name, err);
	if (!rc)
		rc = xd_domains_find(request->daemon->domains, name, &ref, err);
	if (!rc)
		rc = describe(request->daemon, &ref, ret_body, err);
	if (has_ended(rc, err))
		rc = xm_fail(
			err, XM_KIND_CONFIG, -ECHILD,
			"the domain was started and has ended already; `xmigrate events` or the "
			"daemon's log say how");
out:
	json_decref(packet);
	return rc;
}

/* ---------------------------------------------------------------------- passed on */

/* Finds the domain and makes a call that answers nothing of interest. */
static int order(const struct xd_request *request, const char *call, const json_t *arguments,
		 struct xd_domain_ref *ret_ref, struct xm_error *err)
{
	int rc = xd_domains_find(request->daemon->domains, request->name, ret_ref, err);

	if (rc)
		return rc;
	return xd_domains_call(request->daemon->domains, ret_ref->name, call, arguments, -1, 0,
			       NULL, err);
}

int xd_pause_domain(const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	struct xd_domain_ref ref;

	(void)ret_body;
	return order(request, "pause", NULL, &ref, err);
}

int xd_unpause_domain(const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	struct xd_domain_ref ref;

	(void)ret_body;
	return order(request, "unpause", NULL, &ref, err);
}

int xd_domain_input(const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	struct xd_domain_ref ref;

	(void)ret_body;
	if (!json_is_string(json_object_get(request->body, "text")))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "\"text\" must be a string");
	return order(request, "input", request->body, &ref, err);
}

static int wait_gone(const struct xd_request *request, const struct xd_domain_ref *ref,
		     uint64_t wait_ms, struct xm_error *err)
{
	uint64_t deadline_ns = xm_now_ns() + wait_ms * XM_NS_PER_MS;

	if (xd_domains_wait_gone(request->daemon->domains, ref, deadline_ns))
		return 0;
	return xm_fail(err, XM_KIND_CONFLICT, -EBUSY,
		       "domain %s has not ended within %llu ms; `xmigrate destroy` ends it at once",
		       ref->name, (unsigned long long)wait_ms);
}

/* The VMM may die before it has answered: what counts is that it is gone, and its name free. */
int xd_delete_domain(const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	struct xd_domain_ref ref;
	int rc = order(request, "destroy", NULL, &ref, err);

	(void)ret_body;
	if (rc && rc != -ECONNRESET)
		return rc;
	return wait_gone(request, &ref, END_MS, err);
}

int xd_shutdown_domain(const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	const json_t *wait = json_object_get(request->body, "wait_ms");
	json_int_t wait_ms = json_integer_value(wait);
	struct xd_domain_ref ref;
	int rc;

	(void)ret_body;
	if ((wait && !json_is_integer(wait)) || wait_ms < 0)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "\"wait_ms\" must be a number");
	if (wait_ms > XD_WAIT_MS_MAX)
		wait_ms = XD_WAIT_MS_MAX;
	rc = order(request, "shutdown", NULL, &ref, err);
	if (rc && rc != -ECONNRESET)
		return rc;
	return wait_ms > 0 ? wait_gone(request, &ref, (uint64_t)wait_ms, err) : 0;
}

int xd_domain_report(const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	json_t *arguments = json_pack("{s:I, s:I}", "after", (json_int_t)request->after, "wait_ms",
				      (json_int_t)request->wait_ms);
	struct xd_domain_ref ref;
	int rc = xd_domains_find(request->daemon->domains, request->name, &ref, err);

	if (!rc)
		rc = xd_domains_call(request->daemon->domains, ref.name, "report", arguments, -1,
				     request->wait_ms, ret_body, err);
	json_decref(arguments);
	return rc;
}
