// SPDX-License-Identifier: Apache-2.0
/*
 * The messages by which a domain changes hands, or does not: REFUSE and ABORT, PREPARED, COMMIT,
 * COMMITTED, QUERY, OUTCOME.
 */
#include <assert.h>
#include <string.h>

#include "proto/body.h"
#include "xmigrate.pb-c.h"

/* The wire's numbers are its own; that they are those of common/error.h is checked, not assumed. */
#define SAME_KIND(kind)                                                                            \
	static_assert((int)XM_KIND_##kind == XMIGRATE__FAILURE_KIND__FAILURE_KIND_##kind,          \
		      "wire number")
SAME_KIND(INTERNAL);
SAME_KIND(USAGE);
SAME_KIND(CONFIG);
SAME_KIND(NOT_FOUND);
SAME_KIND(CONFLICT);
SAME_KIND(HOST);
SAME_KIND(NETWORK);
SAME_KIND(REFUSED);
SAME_KIND(DATA);
SAME_KIND(CANCELLED);
SAME_KIND(STORAGE);
SAME_KIND(UNRESOLVED);

#define SAME_OUTCOME(outcome)                                                                      \
	static_assert((int)PF_OUTCOME_##outcome == XMIGRATE__OUTCOME_KIND__OUTCOME_KIND_##outcome, \
		      "wire number")
SAME_OUTCOME(COMMITTED);
SAME_OUTCOME(ABORTED);
SAME_OUTCOME(UNKNOWN);

/*
 * Sentences hold paths, names and the words of other programs. One odd byte must not make the other
 * side refuse the whole message, so it goes out as '?'.
 */
static ProtobufCBinaryData sentence(const char *text, char *room)
{
	size_t length = strnlen(text, PF_TEXT_MAX - 1);

	memcpy(room, text, length);
	room[length] = '\0';
	pf_text_clean(room);
	return pf_from_text(room);
}

int pf_refuse_encode(const struct pf_refuse *refuse, struct pf_buffer *body, struct xm_error *err)
{
	Xmigrate__Failure wire = XMIGRATE__FAILURE__INIT;
	enum xm_kind kind = refuse->kind;
	char text[PF_TEXT_MAX];

	if (kind == XM_KIND_NONE)
		kind = XM_KIND_INTERNAL;
	wire.kind = (Xmigrate__FailureKind)kind;
	wire.text = sentence(refuse->text, text);
	return pf_pack(PF_TYPE_REFUSE, &wire.base, body, err);
}

int pf_refuse_decode(const void *body, size_t size, struct pf_refuse *ret_refuse,
		     struct xm_error *err)
{
	PF_STACK_ARENA(arena, PF_SMALL_ARENA);
	struct pf_refuse refuse;
	Xmigrate__Failure *wire;
	int rc;

	rc = pf_unpack(PF_TYPE_REFUSE, &xmigrate__failure__descriptor, body, size, &arena, &wire,
		       err);
	if (rc != 0)
		return rc;
	if (wire->kind == XMIGRATE__FAILURE_KIND__FAILURE_KIND_UNSPECIFIED)
		return pf_bad(err, PF_TYPE_REFUSE, "it has no kind");
	/* A kind of a later version: the sentence matters more. */
	refuse.kind = XM_KIND_INTERNAL;
	if (wire->kind > 0 && (int)wire->kind <= XM_KIND_UNRESOLVED)
		refuse.kind = (enum xm_kind)wire->kind;
	rc = pf_to_text(PF_TYPE_REFUSE, "text", &wire->text, true, refuse.text, PF_TEXT_MAX, err);
	if (rc == 0)
		*ret_refuse = refuse;
	return rc;
}

int pf_prepared_encode(const struct pf_prepared *prepared, struct pf_buffer *body,
		       struct xm_error *err)
{
	Xmigrate__Prepared wire = XMIGRATE__PREPARED__INIT;

	wire.digest_low = (uint64_t)prepared->digest;
	wire.digest_high = (uint64_t)(prepared->digest >> 64);
	wire.load_ns = prepared->load_ns;
	return pf_pack(PF_TYPE_PREPARED, &wire.base, body, err);
}

int pf_prepared_decode(const void *body, size_t size, struct pf_prepared *ret_prepared,
		       struct xm_error *err)
{
	PF_STACK_ARENA(arena, PF_SMALL_ARENA);
	Xmigrate__Prepared *wire;
	int rc;

	rc = pf_unpack(PF_TYPE_PREPARED, &xmigrate__prepared__descriptor, body, size, &arena, &wire,
		       err);
	if (rc != 0)
		return rc;
	*ret_prepared = (struct pf_prepared){
		.digest = (pf_digest)wire->digest_high << 64 | wire->digest_low,
		.load_ns = wire->load_ns,
	};
	return 0;
}

int pf_commit_encode(const struct pf_commit *commit, struct pf_buffer *body, struct xm_error *err)
{
	Xmigrate__Commit wire = XMIGRATE__COMMIT__INIT;

	wire.epoch = commit->epoch;
	return pf_pack(PF_TYPE_COMMIT, &wire.base, body, err);
}

int pf_commit_decode(const void *body, size_t size, struct pf_commit *ret_commit,
		     struct xm_error *err)
{
	PF_STACK_ARENA(arena, PF_SMALL_ARENA);
	Xmigrate__Commit *wire;
	int rc;

	rc = pf_unpack(PF_TYPE_COMMIT, &xmigrate__commit__descriptor, body, size, &arena, &wire,
		       err);
	if (rc != 0)
		return rc;
	*ret_commit = (struct pf_commit){.epoch = wire->epoch};
	return 0;
}

int pf_committed_encode(const struct pf_committed *committed, struct pf_buffer *body,
			struct xm_error *err)
{
	Xmigrate__Committed wire = XMIGRATE__COMMITTED__INIT;

	wire.epoch = committed->epoch;
	wire.resume_ns = committed->resume_ns;
	wire.cpu_ns = committed->cpu_ns;
	return pf_pack(PF_TYPE_COMMITTED, &wire.base, body, err);
}

int pf_committed_decode(const void *body, size_t size, struct pf_committed *ret_committed,
			struct xm_error *err)
{
	PF_STACK_ARENA(arena, PF_SMALL_ARENA);
	Xmigrate__Committed *wire;
	int rc;

	rc = pf_unpack(PF_TYPE_COMMITTED, &xmigrate__committed__descriptor, body, size, &arena,
		       &wire, err);
	if (rc != 0)
		return rc;
	*ret_committed = (struct pf_committed){
		.epoch = wire->epoch,
		.resume_ns = wire->resume_ns,
		.cpu_ns = wire->cpu_ns,
	};
	return 0;
}

int pf_query_encode(const struct pf_query *query, struct pf_buffer *body, struct xm_error *err)
{
	Xmigrate__Query wire = XMIGRATE__QUERY__INIT;

	wire.session = pf_from_bytes(query->session, PF_SESSION_SIZE);
	return pf_pack(PF_TYPE_QUERY, &wire.base, body, err);
}

int pf_query_decode(const void *body, size_t size, struct pf_query *ret_query, struct xm_error *err)
{
	PF_STACK_ARENA(arena, PF_SMALL_ARENA);
	struct pf_query query;
	Xmigrate__Query *wire;
	int rc;

	rc = pf_unpack(PF_TYPE_QUERY, &xmigrate__query__descriptor, body, size, &arena, &wire, err);
	if (rc == 0)
		rc = pf_to_bytes(PF_TYPE_QUERY, "session", &wire->session, query.session,
				 PF_SESSION_SIZE, err);
	if (rc == 0)
		*ret_query = query;
	return rc;
}

int pf_outcome_encode(const struct pf_outcome *outcome, struct pf_buffer *body,
		      struct xm_error *err)
{
	Xmigrate__Outcome wire = XMIGRATE__OUTCOME__INIT;
	char text[PF_TEXT_MAX];

	wire.outcome = (Xmigrate__OutcomeKind)outcome->outcome;
	wire.text = sentence(outcome->text, text);
	return pf_pack(PF_TYPE_OUTCOME, &wire.base, body, err);
}

int pf_outcome_decode(const void *body, size_t size, struct pf_outcome *ret_outcome,
		      struct xm_error *err)
{
	PF_STACK_ARENA(arena, PF_SMALL_ARENA);
	struct pf_outcome outcome;
	Xmigrate__Outcome *wire;
	int rc;

	rc = pf_unpack(PF_TYPE_OUTCOME, &xmigrate__outcome__descriptor, body, size, &arena, &wire,
		       err);
	if (rc != 0)
		return rc;
	outcome.outcome = (enum pf_outcome_kind)wire->outcome;
	if ((int)wire->outcome < PF_OUTCOME_COMMITTED || (int)wire->outcome > PF_OUTCOME_UNKNOWN)
		return pf_bad(err, PF_TYPE_OUTCOME, "its outcome is %d, which is not known",
			      (int)wire->outcome);
	rc = pf_to_text(PF_TYPE_OUTCOME, "text", &wire->text, true, outcome.text, PF_TEXT_MAX, err);
	if (rc == 0)
		*ret_outcome = outcome;
	return rc;
}
