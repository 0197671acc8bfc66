/* SPDX-License-Identifier: Apache-2.0 */
/* What session.c, send.c and receive.c share, and no backend needs. */
#ifndef XM_TRANSPORT_INTERNAL_H
#define XM_TRANSPORT_INTERNAL_H

#include "transport/backend.h"

/* Is this a channel that is open? -EINVAL (INTERNAL) if not; -ECANCELED after tp_shutdown(). */
int tp_channel_check(struct tp_session *session, unsigned channel, struct xm_error *err);

/* Has the session's deadline passed? -ETIMEDOUT (NETWORK) if so. */
int tp_deadline_check(struct tp_session *session, struct xm_error *err);

/*
 * After a failure of a backend: if the session was shut down meanwhile, then that is the reason,
 * whatever the backend saw of it. Returns the code to return.
 */
int tp_explain(struct tp_session *session, int rc, struct xm_error *err);

/* The fault point `point`: 0, 1 for "skip", or a failed call. Also looks at "transport.cut". */
int tp_fault(struct tp_session *session, const char *point, struct xm_error *err);

#endif
