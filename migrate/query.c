// SPDX-License-Identifier: Apache-2.0
/* Asking a host what became of a session, and answering. */
#include "migrate/migrate.h"

#include <string.h>

#include "migrate/control.h"
#include "transport/transport.h"

int mig_query(struct tp_session *session, const uint8_t *session_id, struct pf_outcome *ret_outcome,
	      struct xm_error *err)
{
	struct mig_control control;
	struct pf_query query;
	struct pf_header header;
	const void *body;
	int rc;

	memcpy(query.session, session_id, sizeof(query.session));
	mig_control_init(&control, session, "host");
	rc = pf_query_encode(&query, &control.body, err);
	if (rc == 0)
		rc = mig_control_send(&control, PF_TYPE_QUERY, true, NULL, 0, err);
	if (rc == 0)
		rc = mig_control_expect(&control, PF_TYPE_OUTCOME, &header, &body, NULL, err);
	if (rc == 0)
		rc = pf_outcome_decode(body, header.body_size, ret_outcome, err);
	mig_control_finish(&control);
	return rc;
}

int mig_answer_query(struct tp_session *session,
		     int (*decide)(void *opaque, const uint8_t *session_id,
				   struct pf_outcome *ret_outcome, struct xm_error *err),
		     void *opaque, struct xm_error *err)
{
	struct pf_outcome outcome = {0};
	struct mig_control control;
	struct pf_query query;
	struct pf_header header;
	const void *body;
	int rc;

	mig_control_init(&control, session, "asking host");
	rc = mig_control_expect(&control, PF_TYPE_QUERY, &header, &body, NULL, err);
	if (rc == 0)
		rc = pf_query_decode(body, header.body_size, &query, err);
	if (rc == 0)
		rc = decide(opaque, query.session, &outcome, err);
	if (rc == 0)
		rc = pf_outcome_encode(&outcome, &control.body, err);
	if (rc == 0)
		rc = mig_control_send(&control, PF_TYPE_OUTCOME, true, NULL, 0, err);
	else if (err)
		mig_control_give_up(&control, PF_TYPE_ABORT, err);
	mig_control_finish(&control);
	return rc;
}
