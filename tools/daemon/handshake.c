/* SPDX-License-Identifier: Apache-2.0 */
/* A new connection on the migration port: what is it for, and whose is it? */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "migrate/migrate.h"
#include "tools/daemon/domains.h"
#include "tools/daemon/events.h"
#include "tools/daemon/incoming_internal.h"
#include "tools/daemon/spawn.h"
#include "tools/lib/session_record.h"
#include "transport/tcp/tcp.h"
#include "transport/transport.h"

/* -------------------------------------------------- what stopping may interrupt */

static bool enter(struct xd_handshake *handshake)
{
	XM_LOCK_GUARD(&handshake->incoming->lock);
	if (handshake->incoming->stopped)
		return false;
	handshake->ours = true;
	handshake->next = handshake->incoming->first;
	handshake->incoming->first = handshake;
	return true;
}

/* A socket that a VMM has a duplicate of must not be shut down here. */
static void give_away(struct xd_handshake *handshake)
{
	XM_LOCK_GUARD(&handshake->incoming->lock);
	handshake->ours = false;
}

static void leave(struct xd_handshake *handshake)
{
	XM_LOCK_GUARD(&handshake->incoming->lock);
	struct xd_handshake **link = &handshake->incoming->first;

	while (*link != handshake)
		link = &(*link)->next;
	*link = handshake->next;
}

/* ------------------------------------------------------------------- a migration */

/* Channel 0: a new VMM gets it, and answers when it has said READY to the source, or has refused. */
static int start_migration(struct xd_handshake *handshake, const char *token, struct xm_error *err)
{
	json_t *packet = json_pack("{s:s, s:s, s:s}", "start", "incoming", "peer", handshake->peer,
				   "token", token);
	char name[XT_NAME_SIZE];
	int rc;

	if (!packet)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	give_away(handshake);
	rc = xd_spawn(handshake->incoming->daemon, packet, handshake->fd, name, err);
	json_decref(packet);
	return rc;
}

/* The domain that arrives by this session, by what its record says: it may be too new for our table. */
static int find_session(struct xd_daemon *daemon, const char *token, char ret_name[XT_NAME_SIZE],
			struct xm_error *err)
{
	cleanup_free struct xt_domain_record *records = NULL;
	size_t count = 0;
	int rc = xt_registry_list(&daemon->registry, &records, &count, err);

	if (rc)
		return rc;
	for (size_t n = 0; n < count; n++) {
		if (strcmp(records[n].session, token) == 0) {
			memcpy(ret_name, records[n].name, XT_NAME_SIZE);
			return 0;
		}
	}
	return xm_fail(err, XM_KIND_NOT_FOUND, -ENOENT, "it names a session that nobody here has");
}

/* Channels 1 and up: the VMM is here already, since the source has heard READY. */
static int join_migration(struct xd_handshake *handshake, const char *token, unsigned channel,
			  struct xm_error *err)
{
	struct xd_daemon *daemon = handshake->incoming->daemon;
	char name[XT_NAME_SIZE];
	json_t *arguments;
	int rc = find_session(daemon, token, name, err);

	if (rc)
		return rc;
	arguments = json_pack("{s:i}", "channel", (int)channel);
	give_away(handshake);
	rc = xd_domains_call(daemon->domains, name, "attach", arguments, handshake->fd, 0, NULL,
			     err);
	json_decref(arguments);
	return rc;
}

/* --------------------------------------------------------------------- a question */

/* Says what became of the session. From ABORTED on the domain will not run here by it: its VMM may go. */
static int decide(void *opaque, const uint8_t *session, struct pf_outcome *ret_outcome,
		  struct xm_error *err)
{
	struct xd_handshake *handshake = opaque;
	struct xd_daemon *daemon = handshake->incoming->daemon;
	char token[XT_HEX_SIZE], name[XT_NAME_SIZE];
	int rc = xt_session_decide(daemon->options->state_dir, session, ret_outcome, err);

	if (rc)
		return rc;
	xt_hex_format(session, token);
	xd_events_say(daemon->events, NULL, "resolved", "%s asked about session %s: %s",
		      handshake->peer, token, ret_outcome->text);
	if (ret_outcome->outcome == PF_OUTCOME_ABORTED &&
	    find_session(daemon, token, name, NULL) == 0)
		xd_domains_call(daemon->domains, name, "cancel", NULL, -1, 0, NULL, NULL);
	return 0;
}

static int answer_query(struct xd_handshake *handshake, struct xm_error *err)
{
	struct tp_session *session;
	int fd = fcntl(handshake->fd, F_DUPFD_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot duplicate a descriptor");
	rc = tp_tcp_accept(fd, NULL, &session, err);
	if (rc) {
		close(fd);
		return rc;
	}
	tp_set_timeout(session, XD_HANDSHAKE_MS);
	tp_set_deadline(session, 1);
	rc = mig_answer_query(session, decide, handshake, err);
	tp_destroy(session);
	return rc;
}

/* ------------------------------------------------------------------------- */

static int serve(struct xd_handshake *handshake, struct xm_error *err)
{
	struct tp_tcp_preamble preamble;
	char token[XT_HEX_SIZE];
	int rc = tp_tcp_preamble_read(handshake->fd, XD_HANDSHAKE_MS, &preamble, err);

	if (rc)
		return rc;
	xt_hex_format(preamble.token, token);
	if (preamble.purpose == TP_TCP_QUERY && preamble.channel == TP_CONTROL)
		return answer_query(handshake, err);
	if (preamble.purpose == TP_TCP_QUERY)
		return xm_fail(err, XM_KIND_DATA, -EPROTO, "a question comes on channel 0 only");
	if (preamble.channel == TP_CONTROL)
		return start_migration(handshake, token, err);
	return join_migration(handshake, token, preamble.channel, err);
}

void xd_handshake_run(void *opaque)
{
	struct xd_handshake *handshake = opaque;
	struct xm_error err = XM_ERROR_INIT;

	if (enter(handshake)) {
		if (serve(handshake, &err) < 0)
			xd_incoming_dropped(handshake->incoming, handshake->peer, err.text);
		leave(handshake);
	}
	close(handshake->fd);
	free(handshake);
}
