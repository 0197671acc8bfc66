/* SPDX-License-Identifier: Apache-2.0 */
/* A domain becomes a file, and the file has its name only when all of it is there. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/file.h"
#include "tools/vmm/operation.h"
#include "transport/file/file.h"
#include "transport/transport.h"

/* A save is never refused because the guest is too busy: the pause becomes as long as it must. */
#define SAVE_DOWNTIME_NS (3600 * XM_NS_PER_S)

enum leave { LEAVE_DESTROY, LEAVE_RUNNING, LEAVE_PAUSED };

struct save {
	struct vmm *vmm;
	char path[4096];
	uint8_t id[XT_ID_BYTES];
	enum leave leave;
	int zstd_level;
};

/* ------------------------------------------------------------------------ the request */

static int read_leave(const char *word, enum leave *ret_leave, struct xm_error *err)
{
	static const char *const words[] = {"destroy", "running", "paused"};

	for (unsigned i = 0; i < 3; i++) {
		if (strcmp(words[i], word) == 0) {
			*ret_leave = (enum leave)i;
			return 0;
		}
	}
	return xm_fail(err, XM_KIND_USAGE, -EINVAL,
		       "'leave' must be \"destroy\", \"running\" or \"paused\"");
}

static int read_arguments(json_t *arguments, struct save *save, struct xm_error *err)
{
	const char *path = NULL;
	const char *leave = "destroy";
	json_error_t reason;
	struct stat st;

	if (json_unpack_ex(arguments, &reason, JSON_STRICT, "{ss s?s s?i}", "path", &path, "leave",
			   &leave, "zstd_level", &save->zstd_level))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "a bad request to save: %s",
			       reason.text);
	if (path[0] != '/' || strlen(path) >= sizeof(save->path))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "the file to save to must be an absolute path of at most %zu bytes",
			       sizeof(save->path) - 1);
	if (lstat(path, &st) == 0)
		return xm_fail(err, XM_KIND_CONFLICT, -EEXIST,
			       "%s exists already; remove it or choose another name", path);
	strcpy(save->path, path);
	return read_leave(leave, &save->leave, err);
}

/* -------------------------------------------------------------------------- the file */

static int sync_folder_of(const char *path, struct xm_error *err)
{
	cleanup_free char *copy = strdup(path);
	cleanup_close int fd = -1;

	if (!copy)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return xm_fail_errno(err, XM_KIND_STORAGE, -errno, "cannot sync the folder of %s",
				     path);
	return 0;
}

/* Gives the file its name, unless somebody else has taken that meanwhile. */
static int publish(const char *partial, const char *path, struct xm_error *err)
{
	int rc = xm_fault("vmm.save.publish");

	if (!rc && link(partial, path) < 0)
		rc = -errno;
	if (rc)
		return xm_fail_errno(err, rc == -EEXIST ? XM_KIND_CONFLICT : XM_KIND_STORAGE, rc,
				     "cannot give the saved domain its name %s", path);
	unlink(partial);
	return sync_folder_of(path, err);
}

static void on_state(void *opaque, enum mig_state state)
{
	struct save *save = opaque;

	/* COMMITTED is said when the file has its name. */
	if (state != MIG_COMMITTED)
		vmm_operation_on_state(save->vmm, state);
}

static int create_source(struct save *save, struct tp_session *session,
			 struct mig_source **ret_source, struct xm_error *err)
{
	struct vmm *vmm = save->vmm;
	struct mig_source_config config = {
		.domain = vmm->domain,
		.session = session,
		.config = vmm->config,
		.channels = 1,
		.live = save->leave == LEAVE_RUNNING,
		.zstd_level = save->zstd_level,
		.keep_running = save->leave == LEAVE_RUNNING,
		.limits = {.downtime_ns = SAVE_DOWNTIME_NS, .rounds = MIG_ROUNDS_MAX_DEFAULT},
		.opaque = save,
		.on_state = on_state};

	memcpy(config.session_id, save->id, sizeof(config.session_id));
	memcpy(config.name, vmm->record.name, sizeof(config.name));
	memcpy(config.uuid, vmm->record.uuid, sizeof(config.uuid));
	config.epoch = vmm->record.epoch + 1;
	return mig_source_create(&config, ret_source, err);
}

static int write_session(struct save *save, struct tp_session *session, struct mig_result *result,
			 struct xm_error *err)
{
	struct mig_source *source;
	int rc = create_source(save, session, &source, err);

	if (rc)
		return rc;
	rc = vmm_operation_publish(save->vmm, source, NULL, NULL, err);
	if (!rc)
		rc = mig_source_run(source, result, err);
	vmm_operation_withdraw(save->vmm);
	mig_source_destroy(source);
	return rc;
}

static int write_file(struct save *save, int fd, struct mig_result *result, struct xm_error *err)
{
	struct tp_session *session;
	int rc = tp_file_create(fd, &session, err);

	if (rc)
		return rc;
	rc = write_session(save, session, result, err);
	tp_destroy(session);
	return rc;
}

/* Under a name beside the wanted one; nothing is left of it unless all went well. */
static int write_partial(struct save *save, struct mig_result *result, struct xm_error *err)
{
	cleanup_free char *partial = xm_format("%s.partial-XXXXXX", save->path);
	cleanup_close int fd = -1;
	int rc;

	if (!partial)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	fd = mkostemp(partial, O_CLOEXEC);
	if (fd < 0)
		return xm_fail_errno(err, XM_KIND_STORAGE, -errno, "cannot create a file beside %s",
				     save->path);
	rc = write_file(save, fd, result, err);
	if (!rc)
		rc = publish(partial, save->path, err);
	if (rc)
		unlink(partial);
	return rc;
}

/* ------------------------------------------------------------------------- the thread */

/* The engine had finished with the domain, but the file did not come to be: it runs on as it did. */
static void undo(struct save *save, const struct mig_result *result, bool was_paused)
{
	struct vmm *vmm = save->vmm;
	struct xm_error err = XM_ERROR_INIT;

	if (result->state != MIG_COMMITTED || was_paused || save->leave == LEAVE_RUNNING)
		return;
	if (hv_resume(vmm->domain, &err))
		vmm_end(vmm, VMM_END_CRASH, err.text);
}

static void run_save(struct vmm *vmm, void *opaque)
{
	struct save *save = opaque;
	struct mig_result result = {.state = MIG_ABORTED};
	struct xm_error err = XM_ERROR_INIT;
	bool was_paused = hv_paused(vmm->domain);
	bool leaves;
	int rc;

	rc = write_partial(save, &result, &err);
	leaves = !rc && save->leave == LEAVE_DESTROY;
	if (rc) {
		undo(save, &result, was_paused);
		result.state = MIG_ABORTED;
	}
	vmm_operation_result(vmm, &result);
	vmm_events_say(vmm->events, rc ? "aborted" : "saved", rc ? err.text : save->path);
	vmm_operation_finish(vmm, rc ? &err : NULL, leaves);
	if (leaves)
		vmm_end(vmm, VMM_END_SAVED, save->path);
	free(save);
}

int vmm_save(struct vmm *vmm, json_t *arguments, json_t **ret_operation, struct xm_error *err)
{
	struct save *save = calloc(1, sizeof(*save));
	int rc;

	if (!save)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	save->vmm = vmm;
	xt_random_id(save->id);
	rc = read_arguments(arguments, save, err);
	if (!rc)
		rc = vmm_operation_begin(vmm, XT_OPERATION_SAVE, save->id, save->path, err);
	if (rc) {
		free(save);
		return rc;
	}
	rc = vmm_work(vmm, run_save, save, err);
	if (rc) {
		vmm_operation_finish(vmm, err, false);
		free(save);
		return rc;
	}
	return vmm_operation_watch(vmm, 0, 1, ret_operation, err);
}
