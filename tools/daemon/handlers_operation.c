/* SPDX-License-Identifier: Apache-2.0 */
/* Operations: begun and steered by their VMMs, remembered here when they have finished. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "tools/daemon/daemon.h"
#include "tools/daemon/domains.h"
#include "tools/daemon/handlers.h"
#include "tools/daemon/operations.h"
#include "tools/daemon/spawn.h"

/* A VMM that closed its connection has this long to be gone, before we say that its operation is lost. */
#define GONE_MS 10000u

/* ---------------------------------------------------------------------- beginning */

/* Makes a call whose answer is an OPERATION, and remembers it. Who shows it says xd_operation_hold_back(). */
static int operation_call(struct xd_daemon *daemon, const char *domain, const char *call,
			  const json_t *arguments, uint64_t wait_ms, json_t **ret_operation,
			  struct xm_error *err)
{
	json_t *operation;
	int rc = xd_domains_call(daemon->domains, domain, call, arguments, -1, wait_ms, &operation,
				 err);

	if (rc)
		return rc;
	if (!xd_operation_is(operation, NULL)) {
		json_decref(operation);
		return xm_fail(err, XM_KIND_INTERNAL, -EPROTO,
			       "the process of domain %s answered something that is no operation",
			       domain);
	}
	xd_domains_note_operation(daemon->domains, domain, operation);
	*ret_operation = operation;
	return 0;
}

static int begin(const struct xd_request *request, const char *call, json_t **ret_body,
		 struct xm_error *err)
{
	struct xd_daemon *daemon = request->daemon;
	json_t *earlier = NULL;
	struct xd_domain_ref ref;
	int rc = xd_domains_find(daemon->domains, request->name, &ref, err);

	if (rc)
		return rc;
	/* A VMM knows its last operation only: the end of the one before is remembered here. */
	operation_call(daemon, ref.name, "operation", NULL, 0, &earlier, NULL);
	json_decref(earlier);
	rc = operation_call(daemon, ref.name, call, request->body, 0, ret_body, err);
	if (!rc)
		xd_operation_hold_back(*ret_body);
	return rc;
}

static int check_path(const struct xd_request *request, struct xm_error *err)
{
	const char *path = json_string_value(json_object_get(request->body, "path"));

	if (!path || path[0] != '/')
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "\"path\" must be an absolute path of this host");
	return 0;
}

int xd_save_domain(const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	int rc = check_path(request, err);

	return rc ? rc : begin(request, "save", ret_body, err);
}

int xd_migrate_domain(const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	if (!json_is_string(json_object_get(request->body, "to")))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "\"to\" must be the other host, as \"host2:4411\"");
	return begin(request, "migrate", ret_body, err);
}

int xd_restore_domain(const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	json_t *packet = json_copy(request->body);
	char name[XT_NAME_SIZE];
	int rc = check_path(request, err);

	if (!rc) {
		if (!json_object_get(packet, "paused"))
			json_object_set_new(packet, "paused", json_false());
		if (!json_object_get(packet, "name"))
			json_object_set_new(packet, "name", json_null());
		json_object_set_new(packet, "start", json_string("restore"));
		rc = xd_spawn(request->daemon, packet, -1, name, err);
	}
	if (!rc)
		rc = operation_call(request->daemon, name, "operation", NULL, 0, ret_body, err);
	if (!rc)
		xd_operation_hold_back(*ret_body);
	json_decref(packet);
	return rc;
}

int xd_resolve_domain(const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	struct xd_domain_ref ref;
	int rc;

	if (!json_is_string(json_object_get(request->body, "action")))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "\"action\" must be \"ask\", \"keep\" or \"discard\"");
	rc = xd_domains_find(request->daemon->domains, request->name, &ref, err);
	if (rc)
		return rc;
	return xd_domains_call(request->daemon->domains, ref.name, "resolve", request->body, -1,
			       XD_WAIT_MS_MAX, ret_body, err);
}

/* ------------------------------------------------------------------------ looking */

static int not_found(const char *id, struct xm_error *err)
{
	return xm_fail(err, XM_KIND_NOT_FOUND, -ENOENT, "there is no operation %s on this host",
		       id);
}

/* Asks every VMM for its operation, so that those that began without us are known. */
static void look_around(struct xd_daemon *daemon)
{
	cleanup_free struct xd_domain_ref *refs = NULL;
	size_t count = 0;

	xd_domains_list(daemon->domains, &refs, &count, NULL);
	for (size_t n = 0; n < count; n++) {
		json_t *operation = NULL;

		operation_call(daemon, refs[n].name, "operation", NULL, 0, &operation, NULL);
		json_decref(operation);
	}
}

/* The domain whose VMM is at work on it. */
static int find_domain(struct xd_daemon *daemon, const char *id, struct xd_domain_ref *ret_ref,
		       struct xm_error *err)
{
	if (xd_domains_find_operation(daemon->domains, id, ret_ref, NULL) == 0)
		return 0;
	look_around(daemon);
	return xd_domains_find_operation(daemon->domains, id, ret_ref, err);
}

static bool wait_gone(struct xd_daemon *daemon, const struct xd_domain_ref *ref)
{
	return xd_domains_wait_gone(daemon->domains, ref, xm_now_ns() + GONE_MS * XM_NS_PER_MS);
}

/*
 * The operation as its VMM says it now, or as it was left behind when the VMM ended. One that ends its domain is
 * finished when the domain is gone, so that whoever sees it can use the name.
 */
static int ask(const struct xd_request *request, const struct xd_domain_ref *ref, json_t **ret_body,
	       struct xm_error *err)
{
	struct xd_daemon *daemon = request->daemon;
	json_t *arguments = json_pack("{s:I, s:I}", "after", (json_int_t)request->after, "wait_ms",
				      (json_int_t)request->wait_ms);
	json_t *operation = NULL;
	int rc = operation_call(daemon, ref->name, "operation", arguments, request->wait_ms,
				&operation, err);

	json_decref(arguments);
	if (!rc && xd_operation_is(operation, request->name)) {
		if (!xd_operation_ends_domain(operation) || !wait_gone(daemon, ref)) {
			xd_operation_hold_back(operation);
			*ret_body = operation;
			return 0;
		}
	}
	json_decref(operation);
	if (rc && rc != -ECONNRESET && rc != -ENOENT && rc != -ECONNREFUSED)
		return rc;
	if (rc)
		wait_gone(daemon, ref);
	operation = xd_operations_find(daemon->operations, request->name);
	if (!operation)
		return rc ? rc : not_found(request->name, err);
	*ret_body = operation;
	return 0;
}

int xd_get_operation(const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	struct xd_domain_ref ref;
	uint8_t id[XT_ID_BYTES];
	json_t *finished;
	int rc;

	if (!xt_hex_parse(request->name, id))
		return not_found(request->name, err);
	finished = xd_operations_find(request->daemon->operations, request->name);
	if (finished) {
		*ret_body = finished;
		return 0;
	}
	rc = find_domain(request->daemon, request->name, &ref, err);
	if (!rc)
		return ask(request, &ref, ret_body, err);
	finished = xd_operations_find(request->daemon->operations, request->name);
	if (!finished) /* else it finished between the two looks */
		return rc;
	*ret_body = finished;
	return 0;
}

/* Those that have finished, then those that go on. */
int xd_get_operations(const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	struct xd_daemon *daemon = request->daemon;
	cleanup_free struct xd_domain_ref *refs = NULL;
	json_t *running = json_array();
	size_t count = 0;
	json_t *list;
	int rc = xd_domains_list(daemon->domains, &refs, &count, err);

	for (size_t n = 0; !rc && n < count; n++) {
		json_t *operation = NULL;

		if (operation_call(daemon, refs[n].name, "operation", NULL, 0, &operation, NULL) ==
			    0 &&
		    (!xd_operation_finished(operation) || xd_operation_ends_domain(operation))) {
			xd_operation_hold_back(operation);
			json_array_append(running, operation);
		}
		json_decref(operation);
	}
	if (!rc) {
		list = xd_operations_list(daemon->operations);
		json_array_extend(list, running);
		*ret_body = json_pack("{s:o}", "operations", list);
	}
	json_decref(running);
	return rc;
}

/* ----------------------------------------------------------------------- steering */

/* The domain that works on the operation now; CONFLICT when it has finished. */
static int find_running(const struct xd_request *request, struct xd_domain_ref *ret_ref,
			struct xm_error *err)
{
	json_t *finished = xd_operations_find(request->daemon->operations, request->name);

	json_decref(finished);
	if (finished)
		return xm_fail(err, XM_KIND_CONFLICT, -EALREADY, "operation %s has finished",
			       request->name);
	return find_domain(request->daemon, request->name, ret_ref, err);
}

int xd_limit_operation(const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	struct xd_domain_ref ref;
	int rc = find_running(request, &ref, err);

	if (rc)
		return rc;
	rc = operation_call(request->daemon, ref.name, "limits", request->body, 0, ret_body, err);
	if (!rc)
		xd_operation_hold_back(*ret_body);
	return rc;
}

int xd_cancel_operation(const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	struct xd_domain_ref ref;
	int rc = find_running(request, &ref, err);

	(void)ret_body;
	if (rc)
		return rc;
	return xd_domains_call(request->daemon->domains, ref.name, "cancel", NULL, -1, 0, NULL,
			       err);
}
