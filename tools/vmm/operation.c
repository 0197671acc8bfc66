/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/vmm/operation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/log.h"
#include "tools/lib/session_record.h"

/* With lock held, after any change that a watcher may want to see. */
static void changed(struct vmm *vmm)
{
	vmm->operation.view.sequence++;
	pthread_cond_broadcast(&vmm->changed);
}

/* ------------------------------------------------------- for the operation's own thread */

int vmm_operation_begin(struct vmm *vmm, enum xt_operation_kind kind, const uint8_t id[XT_ID_BYTES],
			const char *peer, struct xm_error *err)
{
	struct vmm_operation *operation = &vmm->operation;
	struct vmm_operation next = {.exists = true, .active = true};

	next.view.kind = kind;
	next.view.sequence = 1;
	next.view.state = MIG_SETUP;
	xt_hex_format(id, next.view.id);
	memcpy(next.session_id, id, XT_ID_BYTES);
	snprintf(next.view.peer, sizeof(next.view.peer), "%s", peer);

	XM_LOCK_GUARD(&vmm->lock);
	while (vmm->executing || operation->users > 0)
		vmm_wait(vmm, 0);
	if (vmm->end != VMM_END_NONE)
		return xm_fail(err, XM_KIND_CONFLICT, -ESHUTDOWN, "domain %s has ended",
			       vmm->record.name);
	if (operation->active)
		return xm_fail(err, XM_KIND_CONFLICT, -EBUSY,
			       "domain %s is busy: %s, %s; wait for it, or cancel it",
			       vmm->record.name, xt_operation_kind_name(operation->view.kind),
			       mig_state_name(operation->view.state));
	xt_session_close(operation->record);
	snprintf(next.view.domain, sizeof(next.view.domain), "%s", vmm->record.name);
	next.view.progress.memory_bytes = vmm->record.memory_bytes;
	*operation = next;
	pthread_cond_broadcast(&vmm->changed);
	return 0;
}

void vmm_operation_on_state(void *opaque, enum mig_state state)
{
	struct vmm *vmm = opaque;

	XM_LOCK_GUARD(&vmm->lock);
	vmm->operation.view.state = state;
	changed(vmm);
}

int vmm_operation_publish(struct vmm *vmm, struct mig_source *source, struct mig_target *target,
			  struct tp_session *session, struct xm_error *err)
{
	struct vmm_operation *operation = &vmm->operation;

	XM_LOCK_GUARD(&vmm->lock);
	if (operation->cancelled)
		return xm_fail(err, XM_KIND_CANCELLED, -ECANCELED, "cancelled by request");
	operation->source = source;
	operation->target = target;
	operation->session = session;
	pthread_cond_broadcast(&vmm->changed);
	return 0;
}

void vmm_operation_withdraw(struct vmm *vmm)
{
	struct vmm_operation *operation = &vmm->operation;

	XM_LOCK_GUARD(&vmm->lock);
	while (operation->users > 0)
		vmm_wait(vmm, 0);
	operation->source = NULL;
	operation->target = NULL;
	operation->session = NULL;
}

void vmm_operation_result(struct vmm *vmm, const struct mig_result *result)
{
	struct xt_operation *view = &vmm->operation.view;

	XM_LOCK_GUARD(&vmm->lock);
	view->result = *result;
	view->has_result = true;
	view->state = result->state;
	view->progress = result->progress;
	changed(vmm);
}

void vmm_operation_audited(struct vmm *vmm, uint64_t pages)
{
	XM_LOCK_GUARD(&vmm->lock);
	vmm->operation.view.audited = true;
	vmm->operation.view.audit_pages = pages;
	changed(vmm);
}

void vmm_operation_finish(struct vmm *vmm, const struct xm_error *error, bool last)
{
	struct vmm_operation *operation = &vmm->operation;

	XM_LOCK_GUARD(&vmm->lock);
	if (error)
		operation->view.error = *error;
	operation->view.finished = true;
	operation->view.last = last;
	operation->active = false;
	changed(vmm);
}

/* ------------------------------------------------------------------------- for anybody */

bool vmm_operation_use(struct vmm *vmm)
{
	struct vmm_operation *operation = &vmm->operation;

	XM_LOCK_GUARD(&vmm->lock);
	if (!operation->source && !operation->target)
		return false;
	operation->users++;
	return true;
}

void vmm_operation_unuse(struct vmm *vmm)
{
	XM_LOCK_GUARD(&vmm->lock);
	vmm->operation.users--;
	pthread_cond_broadcast(&vmm->changed);
}

/* The engine's numbers as of now, if it runs; and a copy of all. */
static void look(struct vmm *vmm, struct xt_operation *ret_view)
{
	struct mig_progress progress;
	bool fresh = vmm_operation_use(vmm);

	if (fresh) {
		if (vmm->operation.source)
			mig_source_progress(vmm->operation.source, &progress);
		else
			mig_target_progress(vmm->operation.target, &progress);
		vmm_operation_unuse(vmm);
	}
	XM_LOCK_GUARD(&vmm->lock);
	*ret_view = vmm->operation.view;
	if (fresh && !ret_view->has_result)
		ret_view->progress = progress;
}

static int describe(struct vmm *vmm, json_t **ret_operation, struct xm_error *err)
{
	struct xt_operation view;
	json_t *json;

	look(vmm, &view);
	json = xt_operation_to_json(&view);
	if (!json)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	*ret_operation = json;
	return 0;
}

int vmm_operation_watch(struct vmm *vmm, uint64_t after, uint64_t deadline_ns,
			json_t **ret_operation, struct xm_error *err)
{
	struct vmm_operation *operation = &vmm->operation;
	bool exists;

	pthread_mutex_lock(&vmm->lock);
	while (operation->active && operation->view.sequence <= after)
		if (!vmm_wait(vmm, deadline_ns))
			break;
	exists = operation->exists;
	pthread_mutex_unlock(&vmm->lock);
	if (!exists)
		return xm_fail(err, XM_KIND_NOT_FOUND, -ENOENT,
			       "domain %s has had no operation here", vmm->record.name);
	return describe(vmm, ret_operation, err);
}

static int cancel_engine(struct vmm *vmm, struct xm_error *err)
{
	int rc = 0;

	if (vmm->operation.source)
		rc = mig_source_cancel(vmm->operation.source, err);
	else
		mig_target_cancel(vmm->operation.target);
	vmm_operation_unuse(vmm);
	return rc;
}

/* Marks it, for the case that the engine is not there yet: see vmm_operation_publish(). */
static int mark_cancelled(struct vmm *vmm, struct xm_error *err)
{
	struct vmm_operation *operation = &vmm->operation;

	XM_LOCK_GUARD(&vmm->lock);
	if (!operation->active)
		return xm_fail(err, XM_KIND_CONFLICT, -EALREADY,
			       "domain %s has no operation that could be cancelled",
			       vmm->record.name);
	if (operation->view.state == MIG_COMMITTED || operation->view.state == MIG_UNRESOLVED)
		return xm_fail(err, XM_KIND_CONFLICT, -EALREADY,
			       "it is too late to cancel: the domain has been handed over");
	operation->cancelled = true;
	return 0;
}

int vmm_operation_cancel(struct vmm *vmm, struct xm_error *err)
{
	int rc = mark_cancelled(vmm, err);

	if (!rc && vmm_operation_use(vmm))
		rc = cancel_engine(vmm, err);
	return rc;
}

/* An operation that has just begun has its engine soon; then as vmm_operation_use(). */
static bool use_when_ready(struct vmm *vmm)
{
	struct vmm_operation *operation = &vmm->operation;

	pthread_mutex_lock(&vmm->lock);
	while (operation->active && !operation->source && !operation->target)
		vmm_wait(vmm, 0);
	pthread_mutex_unlock(&vmm->lock);
	return vmm_operation_use(vmm);
}

int vmm_operation_set_limits(struct vmm *vmm, json_t *arguments, json_t **ret_operation,
			     struct xm_error *err)
{
	struct mig_limits limits;
	int rc;

	if (!use_when_ready(vmm))
		return xm_fail(err, XM_KIND_CONFLICT, -EALREADY,
			       "domain %s has no operation with limits now", vmm->record.name);
	if (!vmm->operation.source) {
		rc = xm_fail(err, XM_KIND_CONFLICT, -EOPNOTSUPP,
			     "limits are set at the migration's source");
	} else {
		mig_source_limits(vmm->operation.source, &limits);
		rc = xt_limits_from_json(arguments, &limits, err);
		if (!rc && json_object_size(arguments) > 0)
			rc = xm_fail(err, XM_KIND_USAGE, -EINVAL, "unknown limit '%s'",
				     json_object_iter_key(json_object_iter(arguments)));
		if (!rc)
			rc = mig_source_set_limits(vmm->operation.source, &limits, err);
	}
	vmm_operation_unuse(vmm);
	return rc ? rc : describe(vmm, ret_operation, err);
}

int vmm_operation_abandon(struct vmm *vmm, struct xm_error *err)
{
	bool unresolved;

	pthread_mutex_lock(&vmm->lock);
	unresolved = vmm->operation.active && vmm->operation.view.state == MIG_UNRESOLVED;
	pthread_mutex_unlock(&vmm->lock);
	if (unresolved)
		return xm_fail(err, XM_KIND_CONFLICT, -EBUSY,
			       "domain %s may run at %s already; say 'xmigrate resolve' first",
			       vmm->record.name, vmm->operation.view.peer);
	/* If there is nothing to cancel, or it is too late, the end sees what came of it. */
	vmm_operation_cancel(vmm, NULL);
	return 0;
}

void vmm_operation_conclude(struct vmm *vmm)
{
	vmm_operation_cancel(vmm, NULL);
	XM_LOCK_GUARD(&vmm->lock);
	while (vmm->operation.active)
		vmm_wait(vmm, 0);
}

void vmm_operation_say_last(struct vmm *vmm)
{
	struct xm_error err = XM_ERROR_INIT;

	if (!vmm->operation.exists)
		return;
	if (describe(vmm, &vmm->last_word, &err))
		xm_log(XM_LOG_WARNING, "the operation's result is not told: %s", err.text);
	else
		vmm_events_say_finished(vmm->events, json_incref(vmm->last_word));
}

void vmm_operation_bequeath(struct vmm *vmm)
{
	cleanup_free char *path = NULL;
	cleanup_free char *text = NULL;
	struct xm_error err = XM_ERROR_INIT;

	if (!vmm->last_word)
		return;
	path = xm_format("%s/finished/%s.json", vmm->run_dir, vmm->operation.view.id);
	text = json_dumps(vmm->last_word, JSON_INDENT(1));
	if (!path || !text || xm_file_replace(path, text, strlen(text), 0600, false, &err))
		xm_log(XM_LOG_WARNING, "the operation's result is not kept: %s", err.text);
	json_decref(vmm->last_word);
	vmm->last_word = NULL;
}
