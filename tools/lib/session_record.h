/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session records: who owns a domain that moved, decided by one atomic word in a file (docs/vmm-control.md,
 * Session records; the protocol is in docs/architecture.md).
 *
 *	source:  LEAVING   -> GONE | STAYED
 *	target:  RECEIVING -> COMMITTED | ABORTED
 *
 * A record is mapped shared by everybody who looks at it. xt_session_swap() is a compare-and-swap on that
 * mapping, so that of two processes that race exactly one wins; nothing is ever locked, and a dead or stopped
 * process holds nobody up.
 *
 * Threads: any, also of different processes.
 */
#ifndef XM_TOOLS_SESSION_RECORD_H
#define XM_TOOLS_SESSION_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/lib/ident.h"

struct xm_error;
struct pf_outcome;
struct xt_session;

#define XT_SESSION_PEER_SIZE 256
#define XT_SESSION_KEEP_S    (30u * 24 * 3600)
#define XT_SESSION_FILES_MAX                                                                       \
	8192 /* questions about sessions nobody knows make no more records than fit */

/* Numbers in the file: never renumbered. */
enum xt_session_state {
	XT_SESSION_LEAVING = 1,
	XT_SESSION_GONE = 2,
	XT_SESSION_STAYED = 3,
	XT_SESSION_RECEIVING = 4,
	XT_SESSION_COMMITTED = 5,
	XT_SESSION_ABORTED = 6,
};

struct xt_session_info {
	uint8_t session[XT_ID_BYTES];
	enum xt_session_state state;
	char name[XT_NAME_SIZE]; /* "": only a question about the session ever came here */
	uint8_t uuid[XT_ID_BYTES];
	uint64_t epoch;
	char peer[XT_SESSION_PEER_SIZE];
	char boot_id[XT_UUID_SIZE]; /* create: "" means this boot's */
};

/* "leaving", "gone", ... */
const char *xt_session_state_name(enum xt_session_state state);

/*
 * Creates the record STATE_DIR/sessions/SESSION, durably: it is there after a crash of the host
 * when this has returned. -EEXIST (CONFLICT) if the session has a record already. It appears whole
 * or not at all.
 */
int xt_session_create(const char *state_dir, const struct xt_session_info *info,
		      struct xt_session **ret_record, struct xm_error *err);

/* -ENOENT (NOT_FOUND) if there is none; kind DATA for a file that is not a record. */
int xt_session_open(const char *state_dir, const uint8_t session[XT_ID_BYTES],
		    struct xt_session **ret_record, struct xm_error *err);

/* Unmaps it; the file stays. NULL is fine. */
void xt_session_close(struct xt_session *record);

/* What the record says now. */
void xt_session_info(const struct xt_session *record, struct xt_session_info *ret_info);
enum xt_session_state xt_session_state(const struct xt_session *record);

/* Changes the state from `from` to `to`; false, and nothing is changed, if it is not `from`. No sync. */
bool xt_session_swap(struct xt_session *record, enum xt_session_state from,
		     enum xt_session_state to);

/* Makes the state durable. */
int xt_session_sync(struct xt_session *record, struct xm_error *err);

/*
 * Answers "what became of this session?" by the four rules of docs/vmm-control.md. After ABORTED was
 * answered, the session cannot commit here any more, and that is durable. Anybody who reaches the port may ask
 * about sessions that never were, and each answer costs a file: with XT_SESSION_FILES_MAX of them there, such
 * a question is -ENOSPC (HOST), and whoever asked goes on not knowing, which is safe.
 */
int xt_session_decide(const char *state_dir, const uint8_t session[XT_ID_BYTES],
		      struct pf_outcome *ret_outcome, struct xm_error *err);

/*
 * Calls `each` for every record that can be read; the record is valid during the call only. Files that
 * are not records are passed over.
 */
int xt_session_each(const char *state_dir, void (*each)(void *opaque, struct xt_session *record),
		    void *opaque, struct xm_error *err);

/* Removes records in state ABORTED, STAYED or GONE that were last changed more than `age_s` seconds ago. */
int xt_session_expire(const char *state_dir, uint64_t age_s, struct xm_error *err);

#endif
