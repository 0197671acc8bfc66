/* SPDX-License-Identifier: Apache-2.0 */
#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/error.h"

int xm_write_full(int fd, const void *buffer, size_t size)
{
	const char *at = buffer;

	while (size > 0) {
		ssize_t wrote = write(fd, at, size);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return -errno;
		at += wrote;
		size -= (size_t)wrote;
	}
	return 0;
}

int xm_read_full(int fd, void *buffer, size_t size)
{
	char *at = buffer;

	while (size > 0) {
		ssize_t got = read(fd, at, size);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return -ENODATA;
		at += got;
		size -= (size_t)got;
	}
	return 0;
}

static int sync_folder_of(const char *path)
{
	cleanup_free char *copy = strdup(path);
	cleanup_close int fd = -1;

	if (!copy)
		return -ENOMEM;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

int xm_file_replace(const char *path, const void *data, size_t size, mode_t mode, bool durable,
		    struct xm_error *err)
{
	cleanup_free char *temporary = xm_format("%s.new.XXXXXX", path);
	cleanup_close int fd = -1;
	int rc;

	if (!temporary)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory writing %s", path);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return xm_fail_errno(err, XM_KIND_STORAGE, -errno, "cannot create a file beside %s",
				     path);
	rc = xm_write_full(fd, data, size);
	if (!rc && fchmod(fd, mode) < 0)
		rc = -errno;
	if (!rc && durable && fsync(fd) < 0)
		rc = -errno;
	if (!rc && rename(temporary, path) < 0)
		rc = -errno;
	if (rc) {
		unlink(temporary);
		return xm_fail_errno(err, XM_KIND_STORAGE, rc, "cannot write %s", path);
	}
	if (durable)
		rc = sync_folder_of(path);
	if (rc)
		return xm_fail_errno(err, XM_KIND_STORAGE, rc, "cannot sync the folder of %s",
				     path);
	return 0;
}

int xm_file_read(const char *path, size_t max, char **ret_data, size_t *ret_size,
		 struct xm_error *err)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	cleanup_free char *data = NULL;
	struct stat st;
	int rc;

	if (fd < 0)
		return xm_fail_errno(err, errno == ENOENT ? XM_KIND_NOT_FOUND : XM_KIND_STORAGE,
				     -errno, "cannot open %s", path);
	if (fstat(fd, &st) < 0)
		return xm_fail_errno(err, XM_KIND_STORAGE, -errno, "cannot stat %s", path);
	if (!S_ISREG(st.st_mode))
		return xm_fail(err, XM_KIND_STORAGE, -EINVAL, "%s is not a regular file", path);
	if ((unsigned long long)st.st_size > max)
		return xm_fail(err, XM_KIND_STORAGE, -EFBIG, "%s is larger than %zu bytes", path,
			       max);
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory reading %s", path);
	rc = xm_read_full(fd, data, (size_t)st.st_size);
	if (rc)
		return xm_fail_errno(err, XM_KIND_STORAGE, rc, "cannot read %s", path);
	data[st.st_size] = '\0';
	if (ret_size)
		*ret_size = (size_t)st.st_size;
	*ret_data = xm_steal(&data);
	return 0;
}

char *xm_format(const char *fmt, ...)
{
	char *text = NULL;
	va_list args;
	int length;

	va_start(args, fmt);
	length = vasprintf(&text, fmt, args);
	va_end(args);
	return length < 0 ? NULL : text;
}
