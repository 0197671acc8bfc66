/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who owns the domain? COMMIT was sent and no answer came. The domain stays paused until the target's
 * host has said what became of the session, or an operator who knows better has decided. Either way
 * the decision is the one swap of the session record's state: whoever makes it, acts on it.
 */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "tools/lib/control.h"
#include "tools/lib/session_record.h"
#include "tools/vmm/operation.h"
#include "transport/tcp/tcp.h"
#include "transport/transport.h"

/* Pauses between questions, in milliseconds; the last one repeats. */
static const unsigned pauses_ms[] = {200, 1000, 2000, 5000, 10000};

#define PAUSES_COUNT   (sizeof(pauses_ms) / sizeof(*pauses_ms))
#define ASK_TIMEOUT_MS 10000

static int ask(struct vmm *vmm, struct pf_outcome *ret_outcome, struct xm_error *err)
{
	const struct vmm_operation *operation = &vmm->operation;
	struct tp_tcp_params params = {.connect_timeout_ms = ASK_TIMEOUT_MS};
	struct tp_session *session;
	int rc;

	/* Peer and id are constant while the operation is active, and it is until this has ended. */
	rc = tp_tcp_connect(operation->view.peer, operation->session_id, TP_TCP_QUERY, &params,
			    &session, err);
	if (rc)
		return rc;
	tp_set_timeout(session, ASK_TIMEOUT_MS);
	tp_set_deadline(session, 1);
	rc = mig_query(session, operation->session_id, ret_outcome, err);
	tp_destroy(session);
	return rc;
}

static void say_resolved(struct vmm *vmm, const char *how)
{
	vmm_events_say(vmm->events, "resolved", how);
	XM_LOCK_GUARD(&vmm->lock);
	vmm->operation.resolved = true;
	snprintf(vmm->operation.resolution, sizeof(vmm->operation.resolution), "%s", how);
	pthread_cond_broadcast(&vmm->changed);
}

/* The domain is ours again, as it was before. */
static void take_back(struct vmm *vmm)
{
	struct xm_error err = XM_ERROR_INIT;

	if (vmm->operation.was_paused)
		return;
	if (hv_resume(vmm->domain, &err))
		vmm_end(vmm, VMM_END_CRASH, err.text);
}

/* Makes the decision, if nobody else has, and acts on it. False if it was made before. */
static bool decide(struct vmm *vmm, enum mig_state outcome, const char *how)
{
	struct xt_session *record = vmm->operation.record;
	struct xm_error err = XM_ERROR_INIT;

	if (!xt_session_swap(record, XT_SESSION_LEAVING,
			     outcome == MIG_COMMITTED ? XT_SESSION_GONE : XT_SESSION_STAYED))
		return false;
	if (xt_session_sync(record, &err))
		xm_log(XM_LOG_WARNING, "%s", err.text);
	if (outcome == MIG_ABORTED)
		take_back(vmm);
	say_resolved(vmm, how);
	return true;
}

static void decide_by_outcome(struct vmm *vmm, const struct pf_outcome *outcome)
{
	if (outcome->outcome == PF_OUTCOME_COMMITTED)
		decide(vmm, MIG_COMMITTED, outcome->text);
	else if (outcome->outcome == PF_OUTCOME_ABORTED)
		decide(vmm, MIG_ABORTED, outcome->text);
}

/* Until it is resolved, or so long; 0: for as long as it takes. */
static bool wait_resolved(struct vmm *vmm, unsigned wait_ms)
{
	uint64_t deadline_ns = wait_ms ? xm_now_ns() + wait_ms * XM_NS_PER_MS : 0;

	XM_LOCK_GUARD(&vmm->lock);
	while (!vmm->operation.resolved)
		if (!vmm_wait(vmm, deadline_ns))
			break;
	return vmm->operation.resolved;
}

enum mig_state vmm_resolve_wait(struct vmm *vmm)
{
	unsigned attempt = 0;
	bool resolved = wait_resolved(vmm, pauses_ms[0]);

	while (!resolved) {
		struct pf_outcome outcome = {0};
		struct xm_error err = XM_ERROR_INIT;
		unsigned wait_ms;

		if (ask(vmm, &outcome, &err) == 0)
			decide_by_outcome(vmm, &outcome);
		attempt += attempt < PAUSES_COUNT - 1;
		wait_ms = pauses_ms[attempt];
		/* A host that does not know will not know later: this is for an operator. */
		if (outcome.outcome == PF_OUTCOME_UNKNOWN) {
			xm_log(XM_LOG_ERROR, "%s", outcome.text);
			wait_ms = 0;
		}
		resolved = wait_resolved(vmm, wait_ms);
	}
	return xt_session_state(vmm->operation.record) == XT_SESSION_GONE ? MIG_COMMITTED
									  : MIG_ABORTED;
}

/* ---------------------------------------------------------------------- the operator */

static const char *outcome_name(enum xt_session_state state)
{
	if (state == XT_SESSION_GONE)
		return "committed";
	return state == XT_SESSION_STAYED ? "aborted" : "unknown";
}

static void say_unknown(const struct xm_error *asked, const struct pf_outcome *outcome, char *text,
			size_t size)
{
	snprintf(text, size, "%s", asked->kind != XM_KIND_NONE ? asked->text : outcome->text);
}

static int carry_out(struct vmm *vmm, const char *action, char *text, size_t size,
		     struct xm_error *err)
{
	struct xm_error asked = XM_ERROR_INIT;
	struct pf_outcome outcome = {0};

	if (strcmp(action, "keep") == 0) {
		decide(vmm, MIG_ABORTED, "an operator decided that the domain stays here");
	} else if (strcmp(action, "discard") == 0) {
		decide(vmm, MIG_COMMITTED, "an operator decided that the domain has left");
	} else if (strcmp(action, "ask") == 0) {
		if (ask(vmm, &outcome, &asked) == 0)
			decide_by_outcome(vmm, &outcome);
		say_unknown(&asked, &outcome, text, size);
	} else {
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "'action' must be \"ask\", \"keep\" or \"discard\"");
	}
	return 0;
}

int vmm_resolve(struct vmm *vmm, const char *action, json_t **ret_outcome, struct xm_error *err)
{
	char text[XM_ERROR_TEXT_MAX] = "";
	enum xt_session_state state;
	bool unresolved;
	int rc;

	/* As a user of the operation we keep it, and its record, from being replaced. */
	if (!vmm_operation_use(vmm))
		return xm_fail(err, XM_KIND_CONFLICT, -EALREADY,
			       "domain %s has nothing to be resolved", vmm->record.name);
	pthread_mutex_lock(&vmm->lock);
	unresolved = vmm->operation.view.state == MIG_UNRESOLVED;
	pthread_mutex_unlock(&vmm->lock);
	rc = unresolved ? carry_out(vmm, action, text, sizeof(text), err)
			: xm_fail(err, XM_KIND_CONFLICT, -EALREADY,
				  "domain %s has nothing to be resolved", vmm->record.name);
	if (!rc) {
		state = xt_session_state(vmm->operation.record);
		if (state != XT_SESSION_LEAVING) {
			wait_resolved(vmm, 0);
			snprintf(text, sizeof(text), "%s", vmm->operation.resolution);
		}
		*ret_outcome = json_pack("{ss so}", "outcome", outcome_name(state), "text",
					 xt_json_text(text));
	}
	vmm_operation_unuse(vmm);
	return rc;
}
