/* SPDX-License-Identifier: Apache-2.0 */
/* A domain leaves for another host. The thread that does it tells the story in run_migration(). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fault.h"
#include "common/file.h"
#include "common/log.h"
#include "tools/lib/session_record.h"
#include "tools/vmm/operation.h"
#include "transport/tcp/tcp.h"
#include "transport/transport.h"

struct migration {
	struct vmm *vmm;
	char to[256];
	char congestion[32]; /* "": the system's */
	uint8_t session_id[XT_ID_BYTES];
	int live;
	int channels;
	int zstd_level;
	struct mig_limits limits;
};

/* ------------------------------------------------------------------------ the request */

static int read_arguments(json_t *arguments, struct migration *migration, struct xm_error *err)
{
	const char *to = NULL;
	const char *congestion = "";
	json_error_t reason;
	int rc;

	migration->live = 1;
	migration->channels = 1;
	migration->limits = (struct mig_limits){.downtime_ns = MIG_DOWNTIME_NS_DEFAULT,
						.rounds = MIG_ROUNDS_MAX_DEFAULT};
	rc = xt_limits_from_json(arguments, &migration->limits, err);
	if (rc)
		return rc;
	if (json_unpack_ex(arguments, &reason, JSON_STRICT, "{ss s?b s?i s?i s?s}", "to", &to,
			   "live", &migration->live, "channels", &migration->channels, "zstd_level",
			   &migration->zstd_level, "congestion", &congestion))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "a bad request to migrate: %s",
			       reason.text);
	if (!to[0] || strlen(to) >= sizeof(migration->to))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "'to' must name a host");
	if (migration->channels < 1 || migration->channels > PF_CHANNELS_MAX)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "'channels' must be from 1 to %d",
			       PF_CHANNELS_MAX);
	if (strlen(congestion) >= sizeof(migration->congestion))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "'congestion' is not the name of a congestion control");
	strcpy(migration->to, to);
	strcpy(migration->congestion, congestion);
	return 0;
}

/* --------------------------------------------------------------------------- leaving */

/* Called by the engine before memory is sent: from here on a restarted host does not start the domain. */
static int record_leaving(void *opaque, struct xm_error *err)
{
	struct migration *migration = opaque;
	struct vmm *vmm = migration->vmm;
	struct xt_session_info info = {.state = XT_SESSION_LEAVING};
	struct xt_session *record;
	int rc = xm_fault("vmm.record_leaving");

	if (rc)
		return xm_fail_errno(err, XM_KIND_STORAGE, rc,
				     "cannot record that the domain leaves");
	memcpy(info.session, migration->session_id, XT_ID_BYTES);
	strcpy(info.peer, migration->to);
	pthread_mutex_lock(&vmm->lock);
	memcpy(info.name, vmm->record.name, sizeof(info.name));
	memcpy(info.uuid, vmm->record.uuid, XT_ID_BYTES);
	info.epoch = vmm->record.epoch + 1;
	pthread_mutex_unlock(&vmm->lock);
	rc = xt_session_create(vmm->state_dir, &info, &record, err);
	if (rc)
		return rc;
	XM_LOCK_GUARD(&vmm->lock);
	vmm->operation.record = record;
	return 0;
}

static void on_state(void *opaque, enum mig_state state)
{
	struct migration *migration = opaque;

	vmm_operation_on_state(migration->vmm, state);
}

static int create_source(struct migration *migration, struct tp_session *session,
			 struct mig_source **ret_source, struct xm_error *err)
{
	struct vmm *vmm = migration->vmm;
	struct mig_source_config config = {.domain = vmm->domain,
					   .session = session,
					   .config = vmm->config,
					   .channels = (unsigned)migration->channels,
					   .live = migration->live,
					   .zstd_level = migration->zstd_level,
					   .limits = migration->limits,
					   .opaque = migration,
					   .record_leaving = record_leaving,
					   .on_state = on_state};

	memcpy(config.session_id, migration->session_id, sizeof(config.session_id));
	memcpy(config.name, vmm->record.name, sizeof(config.name));
	memcpy(config.uuid, vmm->record.uuid, sizeof(config.uuid));
	config.epoch = vmm->record.epoch + 1;
	return mig_source_create(&config, ret_source, err);
}

/* The target runs it: say so in the record, for whoever asks after this process has ended. */
static void record_gone(struct vmm *vmm)
{
	struct xt_session *record = vmm->operation.record;
	struct xm_error err = XM_ERROR_INIT;

	xt_session_swap(record, XT_SESSION_LEAVING, XT_SESSION_GONE);
	if (xt_session_sync(record, &err))
		xm_log(XM_LOG_WARNING, "%s", err.text);
}

/* Before COMMIT: it is here as it was before. */
static void record_stayed(struct vmm *vmm)
{
	struct xt_session *record = vmm->operation.record;
	struct xm_error err = XM_ERROR_INIT;

	if (!record)
		return;
	xt_session_swap(record, XT_SESSION_LEAVING, XT_SESSION_STAYED);
	if (xt_session_sync(record, &err))
		xm_log(XM_LOG_WARNING, "%s", err.text);
}

/* Proves that log-dirty missed nothing. The pause is over for the guest; this is in nobody's way. */
static int audit(struct vmm *vmm, struct mig_source *source, struct xm_error *err)
{
	uint64_t pages = 0;
	int rc = mig_source_audit(source, &pages, err);

	if (rc && pages == 0) {
		vmm_events_say(vmm->events, "alarm", err->text);
		return rc;
	}
	vmm_operation_audited(vmm, pages);
	if (pages > 0)
		vmm_events_say(vmm->events, "alarm", err->text);
	return rc;
}

static int finish_committed(struct vmm *vmm, struct mig_source *source,
			    const struct mig_result *result, struct xm_error *err)
{
	record_gone(vmm);
	vmm_operation_result(vmm, result);
	vmm_events_say(vmm->events, "migrated", vmm->operation.view.peer);
	return audit(vmm, source, err);
}

/* With the engine there. Fills in *result in any case. */
static int move(struct migration *migration, struct mig_source *source, struct mig_result *result,
		struct xm_error *err)
{
	struct vmm *vmm = migration->vmm;
	int rc = mig_source_run(source, result, err);

	if (result->state == MIG_UNRESOLVED) {
		vmm_operation_result(vmm, result);
		vmm_events_say(vmm->events, "unresolved", err->text);
		result->state = vmm_resolve_wait(vmm);
		rc = result->state == MIG_COMMITTED ? 0 : err->code;
	}
	if (result->state == MIG_COMMITTED)
		return finish_committed(vmm, source, result, err);
	record_stayed(vmm);
	vmm_operation_result(vmm, result);
	return rc;
}

static int move_over(struct migration *migration, struct tp_session *session,
		     struct mig_result *result, struct xm_error *err)
{
	struct mig_source *source;
	int rc = create_source(migration, session, &source, err);

	if (rc)
		return rc;
	rc = vmm_operation_publish(migration->vmm, source, NULL, NULL, err);
	if (!rc)
		rc = move(migration, source, result, err);
	vmm_operation_withdraw(migration->vmm);
	mig_source_destroy(source);
	return rc;
}

static int connect_and_move(struct migration *migration, struct mig_result *result,
			    struct xm_error *err)
{
	struct tp_tcp_params params = {
		.congestion = migration->congestion[0] ? migration->congestion : NULL};
	struct tp_session *session;
	int rc;

	rc = tp_tcp_connect(migration->to, migration->session_id, TP_TCP_MIGRATE, &params, &session,
			    err);
	if (rc)
		return rc;
	rc = move_over(migration, session, result, err);
	tp_destroy(session);
	return rc;
}

static void run_migration(struct vmm *vmm, void *opaque)
{
	struct migration *migration = opaque;
	struct mig_result result = {.state = MIG_ABORTED};
	struct xm_error err = XM_ERROR_INIT;
	bool was_paused = hv_paused(vmm->domain);
	int rc;

	pthread_mutex_lock(&vmm->lock);
	vmm->operation.was_paused = was_paused;
	pthread_mutex_unlock(&vmm->lock);
	rc = connect_and_move(migration, &result, &err);
	if (result.state != MIG_COMMITTED) {
		vmm_operation_on_state(vmm, MIG_ABORTED);
		vmm_events_say(vmm->events, "aborted", err.text);
	}
	vmm_operation_finish(vmm, rc ? &err : NULL, result.state == MIG_COMMITTED);
	if (result.state == MIG_COMMITTED)
		vmm_end(vmm, VMM_END_MIGRATED, migration->to);
	free(migration);
}

int vmm_migrate(struct vmm *vmm, json_t *arguments, json_t **ret_operation, struct xm_error *err)
{
	struct migration *migration = calloc(1, sizeof(*migration));
	int rc;

	if (!migration)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	migration->vmm = vmm;
	xt_random_id(migration->session_id);
	rc = read_arguments(arguments, migration, err);
	if (!rc)
		rc = vmm_operation_begin(vmm, XT_OPERATION_MIGRATE, migration->session_id,
					 migration->to, err);
	if (rc) {
		free(migration);
		return rc;
	}
	vmm_events_say(vmm->events, "migrating", migration->to);
	rc = vmm_work(vmm, run_migration, migration, err);
	if (rc) {
		vmm_operation_finish(vmm, err, false);
		free(migration);
		return rc;
	}
	return vmm_operation_watch(vmm, 0, 1, ret_operation, err);
}
