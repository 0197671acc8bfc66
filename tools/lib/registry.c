/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/lib/registry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/file.h"
#include "tools/lib/domain_record.h"
#include "tools/lib/host_memory.h"

struct xt_claim {
	char *run_dir;
	char *folder; /* RUN_DIR/domains/NAME */
	char *link;   /* RUN_DIR/uuids/UUID */
	int lock;     /* of folder/lock; held until this process ends or releases */
};

/* ------------------------------------------------------------------ one claim's folder */

static int lock_run_dir(const struct xt_registry *registry, int *ret_fd, struct xm_error *err)
{
	cleanup_free char *path = xm_format("%s/lock", registry->run_dir);
	cleanup_close int fd = -1;
	int rc;

	if (!path)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	do
		rc = fd < 0 || flock(fd, LOCK_EX) < 0 ? -errno : 0;
	while (rc == -EINTR);
	if (rc)
		return xm_fail_errno(err, XM_KIND_HOST, rc, "cannot lock %s", path);
	*ret_fd = xm_steal_fd(&fd);
	return 0;
}

/* Under RUN_DIR/lock. A claim whose lock file is missing was left half-made by somebody who died. */
static bool claim_lives(const char *folder)
{
	cleanup_free char *path = xm_format("%s/lock", folder);
	cleanup_close int fd = -1;

	if (!path)
		return true;
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;
}

/* The folder holds plain files and sockets only. */
static void remove_folder(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	if (!dir)
		return;
	for (entry = readdir(dir); entry; entry = readdir(dir))
		unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	rmdir(folder);
}

/* Under RUN_DIR/lock: a UUID's entry goes if it leads to this folder. */
static void remove_link_to(const struct xt_registry *registry, const char *name)
{
	cleanup_free char *uuids = xm_format("%s/uuids", registry->run_dir);
	cleanup_free char *wanted = xm_format("../domains/%s", name);
	DIR *dir = uuids ? opendir(uuids) : NULL;
	struct dirent *entry;
	char target[512];

	if (!dir)
		return;
	for (entry = readdir(dir); wanted && entry; entry = readdir(dir)) {
		ssize_t length = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		if (length < 0)
			continue;
		target[length] = '\0';
		if (strcmp(target, wanted) == 0)
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	closedir(dir);
}

int xt_registry_init(const struct xt_registry *registry, struct xm_error *err)
{
	static const char *const folders[] = {"domains", "uuids", "finished"};

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		cleanup_free char *path = xm_format("%s/%s", registry->run_dir, folders[i]);
		int rc;

		if (!path)
			return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
		rc = xt_make_folders(path, 0700, err);
		if (rc)
			return rc;
	}
	return 0;
}

/* ------------------------------------------------------------- looking at all of them */

struct visit {
	bool lives;
	struct xt_domain_record record;
};

/* Under RUN_DIR/lock: calls `each` for every claim, live or stale. */
static int visit_claims(const struct xt_registry *registry,
			int (*each)(void *opaque, const struct visit *visit), void *opaque,
			struct xm_error *err)
{
	cleanup_free char *domains = xm_format("%s/domains", registry->run_dir);
	struct dirent **entries = NULL;
	int count = domains ? scandir(domains, &entries, NULL, alphasort) : -1;
	int rc = 0;

	if (count < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot list the domains in %s",
				     registry->run_dir);
	for (int i = 0; i < count; i++) {
		cleanup_free char *folder = NULL;
		struct visit visit;

		if (rc || xt_name_check(entries[i]->d_name, NULL))
			continue;
		folder = xm_format("%s/%s", domains, entries[i]->d_name);
		if (!folder) {
			rc = xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
			continue;
		}
		visit.lives = claim_lives(folder);
		xt_domain_record_read(folder, entries[i]->d_name, &visit.record);
		rc = each(opaque, &visit);
	}
	for (int i = 0; i < count; i++)
		free(entries[i]);
	free(entries);
	return rc;
}

struct listing {
	struct xt_domain_record *records;
	size_t count;
};

static int list_one(void *opaque, const struct visit *visit)
{
	struct listing *listing = opaque;
	struct xt_domain_record *longer;

	if (!visit->lives)
		return 0;
	longer = realloc(listing->records, (listing->count + 1) * sizeof(*longer));
	if (!longer)
		return -ENOMEM;
	listing->records = longer;
	listing->records[listing->count++] = visit->record;
	return 0;
}

static int list_locked(const struct xt_registry *registry, struct listing *ret_listing,
		       struct xm_error *err)
{
	struct listing listing = {0};
	int rc = visit_claims(registry, list_one, &listing, err);

	if (rc == -ENOMEM)
		xm_fail(err, XM_KIND_INTERNAL, rc, "out of memory listing domains");
	if (rc)
		free(listing.records);
	else
		*ret_listing = listing;
	return rc;
}

int xt_registry_list(const struct xt_registry *registry, struct xt_domain_record **ret_records,
		     size_t *ret_count, struct xm_error *err)
{
	cleanup_close int lock = -1;
	struct listing listing;
	int rc;

	rc = lock_run_dir(registry, &lock, err);
	if (!rc)
		rc = list_locked(registry, &listing, err);
	if (rc)
		return rc;
	*ret_records = listing.records;
	*ret_count = listing.count;
	return 0;
}

struct sweeping {
	const struct xt_registry *registry;
	void (*on_stale)(void *opaque, const struct xt_domain_record *record);
	void *opaque;
};

static int sweep_one(void *opaque, const struct visit *visit)
{
	struct sweeping *sweeping = opaque;
	cleanup_free char *folder = NULL;

	if (visit->lives)
		return 0;
	if (sweeping->on_stale)
		sweeping->on_stale(sweeping->opaque, &visit->record);
	remove_link_to(sweeping->registry, visit->record.name);
	folder = xm_format("%s/domains/%s", sweeping->registry->run_dir, visit->record.name);
	if (folder)
		remove_folder(folder);
	return 0;
}

int xt_registry_sweep(const struct xt_registry *registry,
		      void (*on_stale)(void *opaque, const struct xt_domain_record *record),
		      void *opaque, struct xm_error *err)
{
	struct sweeping sweeping = {.registry = registry, .on_stale = on_stale, .opaque = opaque};
	cleanup_close int lock = -1;
	int rc;

	rc = lock_run_dir(registry, &lock, err);
	return rc ? rc : visit_claims(registry, sweep_one, &sweeping, err);
}

/* ----------------------------------------------------------------------------- memory */

static uint64_t reserved_by(const struct listing *listing)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < listing->count; i++)
		if (!listing->records[i].huge_page_bytes)
			sum += listing->records[i].memory_bytes;
	return sum;
}

int xt_registry_memory(const struct xt_registry *registry, struct xt_host_memory *ret_memory,
		       struct xm_error *err)
{
	cleanup_close int lock = -1;
	struct listing listing;
	int rc;

	rc = lock_run_dir(registry, &lock, err);
	if (!rc)
		rc = list_locked(registry, &listing, err);
	if (rc)
		return rc;
	rc = xt_host_memory_read(registry->meminfo, ret_memory, err);
	if (!rc)
		ret_memory->reserved_bytes = reserved_by(&listing);
	free(listing.records);
	return rc;
}

static int check_memory(const struct xt_registry *registry, const struct listing *listing,
			const struct xt_domain_record *wanted, struct xm_error *err)
{
	struct xt_host_memory memory;
	uint64_t limit;
	int rc;

	if (wanted->huge_page_bytes)
		return 0;
	rc = xt_host_memory_read(registry->meminfo, &memory, err);
	if (rc)
		return rc;
	memory.reserved_bytes = reserved_by(listing);
	limit = memory.total_bytes - memory.total_bytes / 16;
	if (memory.reserved_bytes > limit || wanted->memory_bytes > limit - memory.reserved_bytes)
		return xm_fail(err, XM_KIND_HOST, -ENOMEM,
			       "%s needs %llu MiB, but of the %llu MiB that this host has for "
			       "domains %llu are reserved; shut down a domain or use another host",
			       wanted->name, (unsigned long long)wanted->memory_bytes >> 20,
			       (unsigned long long)limit >> 20,
			       (unsigned long long)memory.reserved_bytes >> 20);
	if (wanted->memory_bytes > memory.available_bytes)
		return xm_fail(err, XM_KIND_HOST, -ENOMEM,
			       "%s needs %llu MiB, but only %llu MiB of this host's memory are "
			       "available now; free some or use another host",
			       wanted->name, (unsigned long long)wanted->memory_bytes >> 20,
			       (unsigned long long)memory.available_bytes >> 20);
	return 0;
}

/* --------------------------------------------------------------------- making a claim */

/* *ret_arriving: who is in the way has not arrived yet. */
static int check_identity(const struct listing *listing, const struct xt_domain_record *wanted,
			  bool *ret_arriving, struct xm_error *err)
{
	char uuid[XT_UUID_SIZE];

	xt_uuid_format(wanted->uuid, uuid);
	for (size_t i = 0; i < listing->count; i++) {
		const struct xt_domain_record *other = &listing->records[i];

		*ret_arriving = other->session[0] != '\0';
		if (strcmp(other->name, wanted->name) == 0)
			return xm_fail(err, XM_KIND_CONFLICT, -EEXIST,
				       "a domain named %s exists on this host already",
				       wanted->name);
		if (memcmp(other->uuid, wanted->uuid, XT_ID_BYTES) == 0)
			return xm_fail(err, XM_KIND_CONFLICT, -EEXIST,
				       "domain %s on this host has the UUID %s already",
				       other->name, uuid);
	}
	*ret_arriving = false;
	return 0;
}

/* Nobody living has the name or the UUID: what still stands in the way is stale. */
static int make_entries(const struct xt_registry *registry, struct xt_claim *claim,
			const struct xt_domain_record *record, const char *config,
			struct xm_error *err)
{
	cleanup_free char *lock_path = xm_format("%s/lock", claim->folder);
	cleanup_free char *config_path = xm_format("%s/config.cfg", claim->folder);
	cleanup_free char *target = xm_format("../domains/%s", record->name);
	int rc;

	if (!lock_path || !config_path || !target)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	remove_link_to(registry, record->name);
	unlink(claim->link);
	remove_folder(claim->folder);
	if (mkdir(claim->folder, 0700) < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot make %s", claim->folder);
	claim->lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (claim->lock < 0 || flock(claim->lock, LOCK_EX | LOCK_NB) < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot lock %s", lock_path);
	rc = xm_file_replace(config_path, config, strlen(config), 0600, false, err);
	if (!rc)
		rc = xt_domain_record_write(claim->folder, record, err);
	if (!rc && symlink(target, claim->link) < 0)
		rc = xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot make %s", claim->link);
	return rc;
}

static void free_claim(struct xt_claim *claim)
{
	if (claim->lock >= 0)
		close(claim->lock);
	free(claim->run_dir);
	free(claim->folder);
	free(claim->link);
	free(claim);
}

static struct xt_claim *new_claim(const struct xt_registry *registry,
				  const struct xt_domain_record *record)
{
	struct xt_claim *claim = calloc(1, sizeof(*claim));
	char uuid[XT_UUID_SIZE];

	if (!claim)
		return NULL;
	xt_uuid_format(record->uuid, uuid);
	claim->lock = -1;
	claim->run_dir = strdup(registry->run_dir);
	claim->folder = xm_format("%s/domains/%s", registry->run_dir, record->name);
	claim->link = xm_format("%s/uuids/%s", registry->run_dir, uuid);
	if (claim->run_dir && claim->folder && claim->link)
		return claim;
	free_claim(claim);
	return NULL;
}

static int claim_locked(const struct xt_registry *registry, struct xt_claim *claim,
			const struct xt_domain_record *record, const char *config,
			bool *ret_arriving, struct xm_error *err)
{
	struct listing listing;
	int rc;

	rc = list_locked(registry, &listing, err);
	if (rc)
		return rc;
	rc = check_identity(&listing, record, ret_arriving, err);
	if (!rc)
		rc = check_memory(registry, &listing, record, err);
	free(listing.records);
	if (rc)
		return rc;
	rc = make_entries(registry, claim, record, config, err);
	if (rc) {
		unlink(claim->link);
		remove_folder(claim->folder);
	}
	return rc;
}

/* Tells of each claim that goes away. From RUN_DIR/lock on, none is missed. */
static int watch_claims(const struct xt_registry *registry)
{
	cleanup_free char *domains = xm_format("%s/domains", registry->run_dir);
	cleanup_close int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (!domains || watch < 0 || inotify_add_watch(watch, domains, IN_DELETE) < 0)
		return -1;
	return xm_steal_fd(&watch);
}

/* One try. *ret_watch is -1, or who is in the way has not arrived yet, and it tells when that may have changed. */
static int try_claim(const struct xt_registry *registry, struct xt_claim *claim,
		     const struct xt_domain_record *record, const char *config, int *ret_watch,
		     struct xm_error *err)
{
	cleanup_close int lock = -1;
	bool arriving = false;
	int rc;

	*ret_watch = -1;
	rc = lock_run_dir(registry, &lock, err);
	if (!rc)
		rc = claim_locked(registry, claim, record, config, &arriving, err);
	if (rc && arriving)
		*ret_watch = watch_claims(registry);
	return rc;
}

/* Closes the watch. False when time is over. */
static bool wait_for_change(int watch, uint64_t deadline_ns)
{
	struct pollfd wait = {.fd = watch, .events = POLLIN};
	uint64_t now_ns = xm_now_ns();
	struct timespec left = xm_timespec(deadline_ns > now_ns ? deadline_ns - now_ns : 0);
	int rc = ppoll(&wait, 1, &left, NULL);

	close(watch);
	return rc > 0 || (rc < 0 && errno == EINTR);
}

int xt_claim_make(const struct xt_registry *registry, const struct xt_domain_record *record,
		  const char *config, struct xt_claim **ret_claim, struct xm_error *err)
{
	uint64_t deadline_ns = xm_now_ns() + XT_ARRIVING_WAIT_MS * XM_NS_PER_MS;
	struct xt_claim *claim;
	int watch;
	int rc;

	rc = xt_name_check(record->name, err);
	if (!rc)
		rc = xt_registry_init(registry, err);
	if (rc)
		return rc;
	claim = new_claim(registry, record);
	if (!claim)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	do
		rc = try_claim(registry, claim, record, config, &watch, err);
	while (watch >= 0 && wait_for_change(watch, deadline_ns));
	if (rc) {
		free_claim(claim);
		return rc;
	}
	*ret_claim = claim;
	return 0;
}

int xt_claim_update(struct xt_claim *claim, const struct xt_domain_record *record,
		    struct xm_error *err)
{
	return xt_domain_record_write(claim->folder, record, err);
}

const char *xt_claim_folder(const struct xt_claim *claim)
{
	return claim->folder;
}

void xt_claim_release(struct xt_claim *claim)
{
	struct xt_registry registry;
	int lock = -1;

	if (!claim)
		return;
	/* Without the lock the entries stay; they are stale as soon as ours is closed. */
	registry = (struct xt_registry){.run_dir = claim->run_dir};
	if (lock_run_dir(&registry, &lock, NULL) == 0) {
		unlink(claim->link);
		remove_folder(claim->folder);
	}
	free_claim(claim);
	if (lock >= 0)
		close(lock);
}
