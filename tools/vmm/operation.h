/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The domain's operation (struct vmm_operation in vmm.h): at most one at a time. An operation's own
 * thread begins, runs and finishes it; everybody may watch, limit and cancel it meanwhile.
 */
#ifndef XM_TOOLS_VMM_OPERATION_H
#define XM_TOOLS_VMM_OPERATION_H

#include <jansson.h>

#include "tools/vmm/vmm.h"

/* ------------------------------------------------------- for the operation's own thread */

/* Kind CONFLICT while another one is active, or the domain has ended. `id` is also the session's id. */
int vmm_operation_begin(struct vmm *vmm, enum xt_operation_kind kind, const uint8_t id[XT_ID_BYTES],
			const char *peer, struct xm_error *err);

/* on_state of the engine; `opaque` is the vmm. */
void vmm_operation_on_state(void *opaque, enum mig_state state);

/* The engine's end is there: it can be asked and cancelled. Kind CANCELLED if that was wished before. */
int vmm_operation_publish(struct vmm *vmm, struct mig_source *source, struct mig_target *target,
			  struct tp_session *session, struct xm_error *err);

/* It is about to be destroyed: returns when nobody uses it any more. */
void vmm_operation_withdraw(struct vmm *vmm);

/* Numbers and state are there; the operation is not finished by that. */
void vmm_operation_result(struct vmm *vmm, const struct mig_result *result);
void vmm_operation_audited(struct vmm *vmm, uint64_t pages);

/*
 * `error` is NULL or of kind NONE if it succeeded. `last`: the domain is not here any more, and the caller says
 * vmm_end() next. Otherwise another one may begin from now on.
 */
void vmm_operation_finish(struct vmm *vmm, const struct xm_error *error, bool last);

/* ------------------------------------------------------------------------- for anybody */

/* Takes a reference that keeps source, target and session alive; false if no engine runs. */
bool vmm_operation_use(struct vmm *vmm);
void vmm_operation_unuse(struct vmm *vmm);

/* OPERATION of docs/api.md, once its sequence is above `after`, it is finished, or the deadline has passed. */
int vmm_operation_watch(struct vmm *vmm, uint64_t after, uint64_t deadline_ns,
			json_t **ret_operation, struct xm_error *err);
int vmm_operation_cancel(struct vmm *vmm, struct xm_error *err);
int vmm_operation_set_limits(struct vmm *vmm, json_t *arguments, json_t **ret_operation,
			     struct xm_error *err);

/*
 * The domain is to be destroyed: cancels what is active. Kind CONFLICT if it is not known who owns the
 * domain, since that is for `resolve` to say.
 */
int vmm_operation_abandon(struct vmm *vmm, struct xm_error *err);

/* At the end of the process: cancels what is active, and waits until nothing is. */
void vmm_operation_conclude(struct vmm *vmm);

/*
 * The last word, in two steps: the event "finished" for those who listen now; and, when the name is free, RUN_DIR/finished/ID.json
 * for those who come later. Both do nothing when there was no operation.
 */
void vmm_operation_say_last(struct vmm *vmm);
void vmm_operation_bequeath(struct vmm *vmm);

/* ---------------------------------------------------------------- beginning operations */

/* Arguments as in docs/api.md; return the OPERATION that has begun. */
int vmm_migrate(struct vmm *vmm, json_t *arguments, json_t **ret_operation, struct xm_error *err);
int vmm_save(struct vmm *vmm, json_t *arguments, json_t **ret_operation, struct xm_error *err);

/* Adds a page channel to the session of an arrival; takes *fd over on success (and sets it to -1). */
int vmm_attach_channel(struct vmm *vmm, unsigned channel, int *fd, struct xm_error *err);

/* "ask", "keep" or "discard", for an unresolved migration; returns {"outcome", "text"}. */
int vmm_resolve(struct vmm *vmm, const char *action, json_t **ret_outcome, struct xm_error *err);

/*
 * For the migration's thread: asks the target's host until it answers, or an operator decides. Returns
 * COMMITTED or ABORTED; the session's record says so, and in the latter case the domain runs again.
 */
enum mig_state vmm_resolve_wait(struct vmm *vmm);

#endif
