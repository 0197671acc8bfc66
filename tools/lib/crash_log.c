/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/lib/crash_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "tools/lib/ident.h"

static bool is_older(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* Counts the logs, and names the one that was written to first of all. */
static size_t find_oldest(DIR *folder, char ret_name[NAME_MAX + 1])
{
	struct timespec oldest = {0};
	struct dirent *entry;
	struct stat st;
	size_t count = 0;

	rewinddir(folder);
	for (entry = readdir(folder); entry; entry = readdir(folder)) {
		if (fstatat(dirfd(folder), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		if (count++ > 0 && !is_older(&st.st_mtim, &oldest))
			continue;
		oldest = st.st_mtim;
		snprintf(ret_name, NAME_MAX + 1, "%s", entry->d_name);
	}
	return count;
}

/* Somebody else may do the same at the same time: one file fewer than could be kept does no harm. */
static void drop_old(const char *path)
{
	DIR *folder = opendir(path);
	char oldest[NAME_MAX + 1];

	if (!folder)
		return;
	while (find_oldest(folder, oldest) > XT_CRASH_LOGS_KEPT)
		if (unlinkat(dirfd(folder), oldest, 0) < 0 && errno != ENOENT)
			break;
	closedir(folder);
}

int xt_crash_log_keep(const char *run_dir, const char *name, char **ret_path, struct xm_error *err)
{
	cleanup_free char *folder = xm_format("%s/crashed", run_dir);
	cleanup_free char *from = xm_format("%s/domains/%s/vmm.log", run_dir, name);
	char *to = xm_format("%s/crashed/%s.log", run_dir, name);
	int rc;

	if (!folder || !from || !to)
		rc = xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	else
		rc = xt_make_folders(folder, 0700, err);
	if (!rc && rename(from, to) < 0)
		rc = xm_fail_errno(err, XM_KIND_STORAGE, -errno, "cannot keep %s as %s", from, to);
	if (rc) {
		free(to);
		return rc;
	}
	drop_old(folder);
	*ret_path = to;
	return 0;
}
