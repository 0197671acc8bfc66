/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/lib/session_record.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fault.h"
#include "common/file.h"
#include "proto/messages.h"

#define RECORD_SIZE    4096
#define RECORD_MAGIC   0x4e4f495353455358ull /* "XSESSION" */
#define RECORD_VERSION 1

/* The file, little-endian. Everything but `state` is constant from creation on. */
struct record {
	uint64_t magic;
	uint32_t version;
	uint32_t state;
	uint8_t session[XT_ID_BYTES];
	uint8_t uuid[XT_ID_BYTES];
	uint64_t epoch;
	char name[XT_NAME_SIZE];
	char boot_id[40];
	char peer[XT_SESSION_PEER_SIZE];
	uint8_t reserved[RECORD_SIZE - 416];
};

static_assert(sizeof(struct record) == RECORD_SIZE, "a record is one page");

struct xt_session {
	int fd;
	struct record *record; /* mapped shared; `state` by atomics only */
};

const char *xt_session_state_name(enum xt_session_state state)
{
	static const char *const names[] = {"unknown",	 "leaving",   "gone",	"stayed",
					    "receiving", "committed", "aborted"};

	return (unsigned)state < sizeof(names) / sizeof(*names) ? names[state] : names[0];
}

static int read_boot_id(char ret_boot_id[XT_UUID_SIZE], struct xm_error *err)
{
	cleanup_close int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[XT_UUID_SIZE];
	int rc = fd < 0 ? -errno : xm_read_full(fd, text, XT_UUID_SIZE - 1);

	if (rc)
		return xm_fail_errno(err, XM_KIND_HOST, rc, "cannot read this host's boot id");
	text[XT_UUID_SIZE - 1] = '\0';
	memcpy(ret_boot_id, text, XT_UUID_SIZE);
	return 0;
}

static int open_folder(const char *state_dir, int *ret_fd, struct xm_error *err)
{
	cleanup_free char *path = xm_format("%s/sessions", state_dir);
	int fd;
	int rc;

	if (!path)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	rc = xt_make_folders(path, 0700, err);
	if (rc)
		return rc;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return xm_fail_errno(err, XM_KIND_STORAGE, -errno, "cannot open %s", path);
	*ret_fd = fd;
	return 0;
}

/* Takes the descriptor over, whatever comes of it. */
static int map_record(int fd, const char *name, struct xt_session **ret_record,
		      struct xm_error *err)
{
	struct xt_session *session = malloc(sizeof(*session));
	void *page = MAP_FAILED;
	struct stat st;

	if (!session) {
		close(fd);
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	}
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == RECORD_SIZE)
		page = mmap(NULL, RECORD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	*session = (struct xt_session){.fd = fd, .record = page == MAP_FAILED ? NULL : page};
	if (!session->record || session->record->magic != RECORD_MAGIC ||
	    session->record->version != RECORD_VERSION) {
		xt_session_close(session);
		return xm_fail(err, XM_KIND_DATA, -EBADMSG, "%s is not a session record", name);
	}
	*ret_record = session;
	return 0;
}

static int fill_record(struct record *record, const struct xt_session_info *info,
		       struct xm_error *err)
{
	*record = (struct record){.magic = RECORD_MAGIC,
				  .version = RECORD_VERSION,
				  .state = info->state,
				  .epoch = info->epoch};
	memcpy(record->session, info->session, XT_ID_BYTES);
	memcpy(record->uuid, info->uuid, XT_ID_BYTES);
	snprintf(record->name, sizeof(record->name), "%s", info->name);
	snprintf(record->peer, sizeof(record->peer), "%s", info->peer);
	if (!info->boot_id[0])
		return read_boot_id(record->boot_id, err);
	snprintf(record->boot_id, sizeof(record->boot_id), "%s", info->boot_id);
	return 0;
}

/*
 * The content is made durable under a temporary name and then linked to its own, which fails if that is
 * taken: so nobody ever maps half a record, and two who create the same one have one winner.
 */
static int publish(int folder, int fd, const char *temporary, const char *name,
		   const struct record *record)
{
	int rc = xm_fault("session.create");

	if (!rc)
		rc = xm_write_full(fd, record, sizeof(*record));
	if (!rc && fsync(fd) < 0)
		rc = -errno;
	if (!rc && linkat(folder, temporary, folder, name, 0) < 0)
		rc = -errno;
	unlinkat(folder, temporary, 0);
	if (!rc && fsync(folder) < 0)
		rc = -errno;
	return rc;
}

int xt_session_create(const char *state_dir, const struct xt_session_info *info,
		      struct xt_session **ret_record, struct xm_error *err)
{
	cleanup_close int folder = -1;
	uint8_t unique[XT_ID_BYTES];
	char temporary[XT_HEX_SIZE + 4];
	char name[XT_HEX_SIZE];
	struct record record;
	int fd;
	int rc;

	rc = fill_record(&record, info, err);
	if (!rc)
		rc = open_folder(state_dir, &folder, err);
	if (rc)
		return rc;
	xt_hex_format(info->session, name);
	xt_random_id(unique);
	xt_hex_format(unique, temporary);
	strcat(temporary, ".new");
	fd = openat(folder, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return xm_fail_errno(err, XM_KIND_STORAGE, -errno,
				     "cannot create a session record in %s/sessions", state_dir);
	rc = publish(folder, fd, temporary, name, &record);
	if (rc == -EEXIST)
		xm_fail(err, XM_KIND_CONFLICT, rc, "session %s has a record already", name);
	else if (rc)
		xm_fail_errno(err, XM_KIND_STORAGE, rc,
			      "cannot write session record %s/sessions/%s", state_dir, name);
	if (rc) {
		close(fd);
		return rc;
	}
	return map_record(fd, name, ret_record, err);
}

int xt_session_open(const char *state_dir, const uint8_t session[XT_ID_BYTES],
		    struct xt_session **ret_record, struct xm_error *err)
{
	cleanup_close int folder = -1;
	char name[XT_HEX_SIZE];
	int fd;
	int rc;

	rc = open_folder(state_dir, &folder, err);
	if (rc)
		return rc;
	xt_hex_format(session, name);
	fd = openat(folder, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return xm_fail_errno(err, errno == ENOENT ? XM_KIND_NOT_FOUND : XM_KIND_STORAGE,
				     -errno, "cannot open session record %s/sessions/%s", state_dir,
				     name);
	return map_record(fd, name, ret_record, err);
}

void xt_session_close(struct xt_session *session)
{
	if (!session)
		return;
	if (session->record)
		munmap(session->record, RECORD_SIZE);
	close(session->fd);
	free(session);
}

enum xt_session_state xt_session_state(const struct xt_session *session)
{
	return __atomic_load_n(&session->record->state, __ATOMIC_ACQUIRE);
}

void xt_session_info(const struct xt_session *session, struct xt_session_info *ret_info)
{
	const struct record *record = session->record;

	*ret_info = (struct xt_session_info){.state = xt_session_state(session),
					     .epoch = record->epoch};
	memcpy(ret_info->session, record->session, XT_ID_BYTES);
	memcpy(ret_info->uuid, record->uuid, XT_ID_BYTES);
	snprintf(ret_info->name, sizeof(ret_info->name), "%.*s", XT_NAME_SIZE - 1, record->name);
	snprintf(ret_info->peer, sizeof(ret_info->peer), "%.*s", XT_SESSION_PEER_SIZE - 1,
		 record->peer);
	snprintf(ret_info->boot_id, sizeof(ret_info->boot_id), "%.*s", XT_UUID_SIZE - 1,
		 record->boot_id);
}

bool xt_session_swap(struct xt_session *session, enum xt_session_state from,
		     enum xt_session_state to)
{
	uint32_t expected = from;

	return __atomic_compare_exchange_n(&session->record->state, &expected, (uint32_t)to, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

int xt_session_sync(struct xt_session *session, struct xm_error *err)
{
	char name[XT_HEX_SIZE];

	/* msync marks the page as written to; fsync adds the file's own metadata. */
	if (msync(session->record, RECORD_SIZE, MS_SYNC) == 0 && fsync(session->fd) == 0)
		return 0;
	xt_hex_format(session->record->session, name);
	return xm_fail_errno(err, XM_KIND_STORAGE, -errno, "cannot sync session record %s", name);
}

static void outcome(struct pf_outcome *outcome, enum pf_outcome_kind kind, const char *text)
{
	*outcome = (struct pf_outcome){.outcome = kind};
	snprintf(outcome->text, sizeof(outcome->text), "%s", text);
}

/* RECEIVING, in this boot: whoever swaps first has decided. */
static int abort_receiving(struct xt_session *session, struct pf_outcome *ret_outcome,
			   struct xm_error *err)
{
	bool aborted = xt_session_swap(session, XT_SESSION_RECEIVING, XT_SESSION_ABORTED);
	int rc = xt_session_sync(session, err);

	if (rc)
		return rc;
	if (aborted || xt_session_state(session) == XT_SESSION_ABORTED)
		outcome(ret_outcome, PF_OUTCOME_ABORTED,
			"the domain had not been committed here, and now never will be");
	else
		outcome(ret_outcome, PF_OUTCOME_COMMITTED, "the domain was committed here");
	return 0;
}

static int decide_by_record(struct xt_session *session, struct pf_outcome *ret_outcome,
			    struct xm_error *err)
{
	char boot_id[XT_UUID_SIZE];
	struct xt_session_info info;
	int rc;

	xt_session_info(session, &info);
	switch (info.state) {
	case XT_SESSION_ABORTED:
		/* Whoever swapped may not have synced it yet; what is answered must be durable. */
		rc = xt_session_sync(session, err);
		if (!rc)
			outcome(ret_outcome, PF_OUTCOME_ABORTED, "the session was aborted here");
		return rc;
	case XT_SESSION_COMMITTED:
		outcome(ret_outcome, PF_OUTCOME_COMMITTED, "the domain was committed here");
		return 0;
	case XT_SESSION_RECEIVING:
		rc = read_boot_id(boot_id, err);
		if (rc)
			return rc;
		if (strcmp(boot_id, info.boot_id) == 0)
			return abort_receiving(session, ret_outcome, err);
		outcome(ret_outcome, PF_OUTCOME_UNKNOWN,
			"this host was restarted while the session was open, and may have lost its "
			"end");
		return 0;
	default:
		outcome(ret_outcome, PF_OUTCOME_UNKNOWN,
			"this host was the source of that session, not its target");
		return 0;
	}
}

static int check_room(const char *state_dir, struct xm_error *err)
{
	unsigned count = 0;
	int folder;
	DIR *dir;
	int rc;

	rc = open_folder(state_dir, &folder, err);
	if (rc)
		return rc;
	dir = fdopendir(folder);
	if (!dir) {
		close(folder);
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	}
	while (count < XT_SESSION_FILES_MAX && readdir(dir))
		count++;
	closedir(dir);
	if (count < XT_SESSION_FILES_MAX)
		return 0;
	return xm_fail(err, XM_KIND_HOST, -ENOSPC,
		       "%s/sessions has %d records, so a question about a session that is unknown "
		       "here gets none; restart xmigrated, which removes old ones, or see who asks",
		       state_dir, XT_SESSION_FILES_MAX);
}

/* Nobody here ever heard of the session: a record made now keeps it from being admitted later. */
static int create_aborted(const char *state_dir, const uint8_t session[XT_ID_BYTES],
			  struct xt_session **ret_record, struct xm_error *err)
{
	struct xt_session_info info = {.state = XT_SESSION_ABORTED};
	int rc = check_room(state_dir, err);

	if (rc)
		return rc;
	memcpy(info.session, session, XT_ID_BYTES);
	return xt_session_create(state_dir, &info, ret_record, err);
}

int xt_session_decide(const char *state_dir, const uint8_t session[XT_ID_BYTES],
		      struct pf_outcome *ret_outcome, struct xm_error *err)
{
	struct xt_session *record = NULL;
	int rc;

	rc = xt_session_open(state_dir, session, &record, err);
	if (rc == -ENOENT)
		rc = create_aborted(state_dir, session, &record, err);
	/* Somebody else made it between the two: it is there to be opened now. */
	if (rc == -EEXIST)
		rc = xt_session_open(state_dir, session, &record, err);
	if (rc)
		return rc;
	rc = decide_by_record(record, ret_outcome, err);
	xt_session_close(record);
	return rc;
}

int xt_session_each(const char *state_dir, void (*each)(void *opaque, struct xt_session *record),
		    void *opaque, struct xm_error *err)
{
	struct dirent *entry;
	int folder;
	DIR *dir;
	int rc;

	rc = open_folder(state_dir, &folder, err);
	if (rc)
		return rc;
	dir = fdopendir(folder);
	if (!dir) {
		close(folder);
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	}
	for (entry = readdir(dir); entry; entry = readdir(dir)) {
		uint8_t id[XT_ID_BYTES];
		struct xt_session *record;

		if (!xt_hex_parse(entry->d_name, id) ||
		    xt_session_open(state_dir, id, &record, NULL))
			continue;
		each(opaque, record);
		xt_session_close(record);
	}
	closedir(dir);
	return 0;
}

struct expiry {
	const char *state_dir;
	uint64_t age_s;
};

static void expire_one(void *opaque, struct xt_session *session)
{
	const struct expiry *expiry = opaque;
	enum xt_session_state state = xt_session_state(session);
	cleanup_free char *path = NULL;
	char name[XT_HEX_SIZE];
	struct stat st;

	if (state != XT_SESSION_ABORTED && state != XT_SESSION_GONE && state != XT_SESSION_STAYED)
		return;
	if (fstat(session->fd, &st) < 0 || time(NULL) - st.st_mtime < (time_t)expiry->age_s)
		return;
	xt_hex_format(session->record->session, name);
	path = xm_format("%s/sessions/%s", expiry->state_dir, name);
	if (path)
		unlink(path);
}

int xt_session_expire(const char *state_dir, uint64_t age_s, struct xm_error *err)
{
	struct expiry expiry = {.state_dir = state_dir, .age_s = age_s};

	return xt_session_each(state_dir, expire_one, &expiry, err);
}
