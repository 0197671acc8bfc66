/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A domain arrives: from another host (start "incoming") or from a file ("restore"). A worker receives; the
 * main thread waits for its admission, which is what the daemon is told, and then for the end like any other.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fault.h"
#include "common/log.h"
#include "tools/lib/config.h"
#include "tools/lib/session_record.h"
#include "tools/vmm/control_server.h"
#include "tools/vmm/operation.h"
#include "transport/file/file.h"
#include "transport/tcp/tcp.h"
#include "transport/transport.h"

struct arrival {
	struct vmm *vmm;
	enum xt_operation_kind kind;
	char peer[4096]; /* address or file, for people */
	struct tp_session *session;
	int fd;			     /* restore: the file; -1 otherwise */
	uint8_t token[XT_ID_BYTES];  /* incoming: what the connection said */
	char new_name[XT_NAME_SIZE]; /* restore: "" keeps the name */
	bool start_paused;

	/* Guarded by vmm->lock: what the main thread waits for. */
	bool known;
	struct xm_error refusal; /* kind NONE: admitted */
};

/* ------------------------------------------------------------------------ admission */

static int check_hello(const struct arrival *arrival, const struct pf_hello *hello,
		       struct xm_error *err)
{
	bool restore = arrival->kind == XT_OPERATION_RESTORE;

	if (restore != (hello->purpose == PF_PURPOSE_SAVE))
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       restore ? "%s is not a saved domain" : "%s sends no migration",
			       arrival->peer);
	if (!restore && memcmp(hello->session, arrival->token, XT_ID_BYTES) != 0)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "%s announces another session than its connection did",
			       arrival->peer);
	return xt_name_check(hello->name, err);
}

/* The text and what was said beside it must agree; where it has another name, it gets the one that counts. */
static int adopt_config(struct vmm *vmm, const char *text, const struct pf_hello *hello,
			struct xt_config *ret_config, struct xm_error *err)
{
	struct xt_config config;
	int rc = xt_config_parse(text, "the arriving domain's configuration", &config, err);

	if (rc)
		return rc;
	if (config.memory_bytes != hello->memory_bytes || config.vcpus != hello->vcpus) {
		xt_config_finish(&config);
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "the arriving domain has not the memory and vCPUs that its "
			       "configuration says");
	}
	if (strcmp(config.name, vmm->record.name) == 0 && config.has_uuid &&
	    memcmp(config.uuid, vmm->record.uuid, XT_ID_BYTES) == 0)
		vmm->config = strdup(text);
	else
		vmm->config = xt_config_rename(text, vmm->record.name, vmm->record.uuid);
	if (!vmm->config) {
		xt_config_finish(&config);
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	}
	*ret_config = config;
	return 0;
}

static void fill_record(struct arrival *arrival, const struct pf_hello *hello)
{
	struct xt_domain_record *record = &arrival->vmm->record;
	bool renamed = arrival->new_name[0] && strcmp(arrival->new_name, hello->name) != 0;

	strcpy(record->name, renamed ? arrival->new_name : hello->name);
	memcpy(record->uuid, hello->uuid, XT_ID_BYTES);
	if (renamed)
		xt_uuid_generate(record->uuid);
	record->memory_bytes = hello->memory_bytes;
	record->vcpus = hello->vcpus;
	record->epoch = hello->epoch;
	if (arrival->kind == XT_OPERATION_INCOMING)
		xt_hex_format(hello->session, record->session);
}

static int open_arriving(struct vmm *vmm, const struct xt_config *config, struct xm_error *err)
{
	struct hv_config hv = {.memory_bytes = config->memory_bytes,
			       .vcpus = config->vcpus,
			       .huge_page_bytes = config->huge_page_bytes,
			       .log_kind = config->log_kind,
			       .ring_entries = config->ring_entries};

	vmm->record.huge_page_bytes = config->huge_page_bytes;
	return vmm_open(vmm, &hv, err);
}

/* From now on a question about the session has an answer, whatever becomes of this process. */
static int record_receiving(struct arrival *arrival, const struct pf_hello *hello,
			    struct xm_error *err)
{
	struct vmm *vmm = arrival->vmm;
	struct xt_session_info info = {.state = XT_SESSION_RECEIVING, .epoch = hello->epoch};
	struct xt_session *record;
	int rc;

	if (arrival->kind == XT_OPERATION_RESTORE)
		return 0;
	memcpy(info.session, hello->session, XT_ID_BYTES);
	memcpy(info.uuid, hello->uuid, XT_ID_BYTES);
	strcpy(info.name, vmm->record.name);
	snprintf(info.peer, sizeof(info.peer), "%.255s", arrival->peer);
	rc = xt_session_create(vmm->state_dir, &info, &record, err);
	if (rc)
		return rc;
	XM_LOCK_GUARD(&vmm->lock);
	vmm->operation.record = record;
	return 0;
}

static void tell_main(struct arrival *arrival, const struct xm_error *refusal)
{
	struct vmm *vmm = arrival->vmm;

	XM_LOCK_GUARD(&vmm->lock);
	if (arrival->known)
		return;
	if (refusal)
		arrival->refusal = *refusal;
	arrival->known = true;
	pthread_cond_broadcast(&vmm->changed);
}

static int make_room(struct arrival *arrival, const struct pf_hello *hello, const char *text,
		     struct xm_error *err)
{
	struct vmm *vmm = arrival->vmm;
	struct xt_config config;
	int rc;

	fill_record(arrival, hello);
	rc = adopt_config(vmm, text, hello, &config, err);
	if (rc)
		return rc;
	rc = open_arriving(vmm, &config, err);
	xt_config_finish(&config);
	if (!rc)
		rc = record_receiving(arrival, hello, err);
	return rc ? rc : vmm_server_start(vmm->server, err);
}

static int admit(void *opaque, const struct pf_hello *hello, const struct pf_static *announced,
		 const struct hv_state *platform, struct hv_domain **ret_domain,
		 struct xm_error *err)
{
	struct arrival *arrival = opaque;
	struct vmm *vmm = arrival->vmm;
	int rc = check_hello(arrival, hello, err);

	if (!rc)
		rc = hv_platform_check(platform, err);
	if (!rc)
		rc = make_room(arrival, hello, announced->config, err);
	if (rc)
		return rc;
	pthread_mutex_lock(&vmm->lock);
	strcpy(vmm->operation.view.domain, vmm->record.name);
	pthread_mutex_unlock(&vmm->lock);
	tell_main(arrival, NULL);
	*ret_domain = vmm->domain;
	return 0;
}

/* ----------------------------------------------------------------------- commitment */

/* Inside the pause: one compare-and-swap decides, and nothing is waited for. */
static int commit(void *opaque, uint64_t epoch, struct xm_error *err)
{
	struct arrival *arrival = opaque;
	struct vmm *vmm = arrival->vmm;
	struct xt_session *record = vmm->operation.record;
	int rc = xm_fault("vmm.commit");

	if (rc)
		return xm_fail_errno(err, XM_KIND_INTERNAL, rc, "cannot commit");
	if (record && !xt_session_swap(record, XT_SESSION_RECEIVING, XT_SESSION_COMMITTED))
		return xm_fail(
			err, XM_KIND_CONFLICT, -ESTALE,
			"the session was aborted here, because somebody asked for its outcome");
	XM_LOCK_GUARD(&vmm->lock);
	vmm->present = true;
	vmm->record.epoch = epoch;
	pthread_cond_broadcast(&vmm->changed);
	return 0;
}

static void sync_record(struct vmm *vmm)
{
	struct xm_error err = XM_ERROR_INIT;

	if (vmm->operation.record && xt_session_sync(vmm->operation.record, &err))
		xm_log(XM_LOG_WARNING, "%s", err.text);
}

/* ------------------------------------------------------------------------ the thread */

static void on_state(void *opaque, enum mig_state state)
{
	struct arrival *arrival = opaque;

	vmm_operation_on_state(arrival->vmm, state);
}

static int receive(struct arrival *arrival, struct mig_result *result, struct xm_error *err)
{
	struct mig_target_config config = {.session = arrival->session,
					   .opaque = arrival,
					   .admit = admit,
					   .commit = commit,
					   .on_state = on_state,
					   .start_paused = arrival->start_paused};
	struct mig_target *target;
	int rc = mig_target_create(&config, &target, err);

	if (rc)
		return rc;
	rc = vmm_operation_publish(arrival->vmm, NULL, target, arrival->session, err);
	if (!rc)
		rc = mig_target_run(target, result, err);
	vmm_operation_withdraw(arrival->vmm);
	mig_target_destroy(target);
	return rc;
}

static void finish_arrived(struct arrival *arrival, const struct mig_result *result)
{
	struct vmm *vmm = arrival->vmm;
	bool restore = arrival->kind == XT_OPERATION_RESTORE;

	sync_record(vmm);
	pthread_mutex_lock(&vmm->lock);
	vmm->record.session[0] = '\0'; /* it is not arriving any more */
	pthread_mutex_unlock(&vmm->lock);
	vmm_publish(vmm);
	vmm_operation_result(vmm, result);
	vmm_events_say(vmm->events, restore ? "restored" : "arrived", arrival->peer);
	vmm_operation_finish(vmm, NULL, false);
}

/* It is not here. The record says so, and the source need not wait for it. */
static void finish_failed(struct arrival *arrival, const struct mig_result *result,
			  const struct xm_error *err)
{
	struct vmm *vmm = arrival->vmm;
	struct xt_session *record = vmm->operation.record;

	if (record)
		xt_session_swap(record, XT_SESSION_RECEIVING, XT_SESSION_ABORTED);
	sync_record(vmm);
	vmm_operation_result(vmm, result);
	vmm_operation_on_state(vmm, MIG_ABORTED);
	vmm_events_say(vmm->events, "aborted", err->text);
	vmm_operation_finish(vmm, err, true);
	vmm_end(vmm, VMM_END_REFUSED, err->text);
}

static void run_arrival(struct vmm *vmm, void *opaque)
{
	struct arrival *arrival = opaque;
	struct mig_result result = {.state = MIG_ABORTED};
	struct xm_error err = XM_ERROR_INIT;
	int rc = receive(arrival, &result, &err);

	(void)vmm;
	tp_destroy(arrival->session);
	arrival->session = NULL;
	if (rc)
		finish_failed(arrival, &result, &err);
	else
		finish_arrived(arrival, &result);
	tell_main(arrival, rc ? &err : NULL);
}

static int wait_admission(struct arrival *arrival, struct xm_error *err)
{
	struct vmm *vmm = arrival->vmm;

	XM_LOCK_GUARD(&vmm->lock);
	while (!arrival->known)
		vmm_wait(vmm, 0);
	if (arrival->refusal.kind == XM_KIND_NONE)
		return 0;
	*err = arrival->refusal;
	return err->code;
}

static int start_arrival(struct arrival *arrival, const uint8_t id[XT_ID_BYTES],
			 struct xm_error *err)
{
	struct vmm *vmm = arrival->vmm;
	int rc = vmm_operation_begin(vmm, arrival->kind, id, arrival->peer, err);

	if (!rc)
		rc = vmm_work(vmm, run_arrival, arrival, err);
	return rc ? rc : wait_admission(arrival, err);
}

static struct arrival *new_arrival(struct vmm *vmm, enum xt_operation_kind kind, const char *peer)
{
	struct arrival *arrival = calloc(1, sizeof(*arrival));

	if (!arrival)
		return NULL;
	arrival->vmm = vmm;
	arrival->kind = kind;
	arrival->fd = -1;
	snprintf(arrival->peer, sizeof(arrival->peer), "%s", peer);
	return arrival;
}

void vmm_arrival_destroy(struct arrival *arrival)
{
	if (!arrival)
		return;
	tp_destroy(arrival->session);
	if (arrival->fd >= 0)
		close(arrival->fd);
	free(arrival);
}

/* ------------------------------------------------------------------------- incoming */

static int read_incoming(json_t *packet, const char **ret_peer, uint8_t token[XT_ID_BYTES],
			 struct xm_error *err)
{
	const char *peer = NULL;
	const char *text = NULL;
	json_error_t reason;

	if (json_unpack_ex(packet, &reason, JSON_STRICT, "{ss ss}", "peer", &peer, "token", &text))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "a bad request to receive: %s",
			       reason.text);
	if (!xt_hex_parse(text, token))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "'token' must be 32 hex digits");
	*ret_peer = peer;
	return 0;
}

int vmm_start_incoming(struct vmm *vmm, json_t *packet, int *fd, struct xm_error *err)
{
	uint8_t token[XT_ID_BYTES] = {0};
	struct arrival *arrival;
	const char *peer = NULL;
	int rc;

	rc = read_incoming(packet, &peer, token, err);
	if (!rc && *fd < 0)
		rc = xm_fail(err, XM_KIND_USAGE, -EINVAL, "no connection came with the request");
	if (rc)
		return rc;
	arrival = new_arrival(vmm, XT_OPERATION_INCOMING, peer);
	if (!arrival)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	vmm->arrival = arrival;
	memcpy(arrival->token, token, sizeof(arrival->token));
	rc = tp_tcp_accept(*fd, NULL, &arrival->session, err);
	if (rc)
		return rc;
	*fd = -1;
	return start_arrival(arrival, token, err);
}

/* The daemon hands over each page channel of our session as it connects. */
int vmm_attach_channel(struct vmm *vmm, unsigned channel, int *fd, struct xm_error *err)
{
	int rc;

	if (!vmm_operation_use(vmm))
		return xm_fail(err, XM_KIND_CONFLICT, -EALREADY, "domain %s is not arriving",
			       vmm->record.name);
	if (vmm->operation.view.kind == XT_OPERATION_INCOMING)
		rc = tp_tcp_attach(vmm->operation.session, channel, *fd, err);
	else
		rc = xm_fail(err, XM_KIND_CONFLICT, -EALREADY,
			     "domain %s does not arrive by network", vmm->record.name);
	vmm_operation_unuse(vmm);
	if (!rc)
		*fd = -1;
	return rc;
}

/* -------------------------------------------------------------------------- restore */

static int read_restore(json_t *packet, const char **ret_path, const char **ret_name, bool *paused,
			struct xm_error *err)
{
	const char *path = NULL;
	const json_t *name = NULL;
	json_error_t reason;
	int flag = 0;

	if (json_unpack_ex(packet, &reason, JSON_STRICT, "{ss s?b s?o}", "path", &path, "paused",
			   &flag, "name", &name))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "a bad request to restore: %s",
			       reason.text);
	if (name && !json_is_null(name) && !json_is_string(name))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "'name' must be text");
	*ret_path = path;
	*ret_name = json_string_value(name);
	*paused = flag;
	return *ret_name ? xt_name_check(*ret_name, err) : 0;
}

static int open_saved(struct arrival *arrival, const char *path, struct xm_error *err)
{
	arrival->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (arrival->fd < 0)
		return xm_fail_errno(err, errno == ENOENT ? XM_KIND_NOT_FOUND : XM_KIND_STORAGE,
				     -errno, "cannot open the saved domain %s", path);
	return tp_file_open(arrival->fd, &arrival->session, err);
}

int vmm_start_restore(struct vmm *vmm, json_t *packet, struct xm_error *err)
{
	uint8_t id[XT_ID_BYTES];
	struct arrival *arrival;
	const char *path = NULL;
	const char *name = NULL;
	bool paused = false;
	int rc;

	rc = read_restore(packet, &path, &name, &paused, err);
	if (rc)
		return rc;
	arrival = new_arrival(vmm, XT_OPERATION_RESTORE, path);
	if (!arrival)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	vmm->arrival = arrival;
	arrival->start_paused = paused;
	if (name)
		strcpy(arrival->new_name, name); /* checked by read_restore() */
	xt_random_id(id);
	rc = open_saved(arrival, path, err);
	return rc ? rc : start_arrival(arrival, id, err);
}
