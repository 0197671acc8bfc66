/* SPDX-License-Identifier: Apache-2.0 */
/* Whole reads and writes, and files that are replaced in one step or not at all. */
#ifndef XM_COMMON_FILE_H
#define XM_COMMON_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct xm_error;

/* Writes all of it, through EINTR and short writes. Returns 0 or -errno. */
int xm_write_full(int fd, const void *buffer, size_t size);

/* Reads exactly `size` bytes. Returns 0, -errno, or -ENODATA when the file ends first. */
int xm_read_full(int fd, void *buffer, size_t size);

/*
 * Replaces `path` by `size` bytes: written to a temporary file beside it, renamed over it.
 * A reader sees the old file or the new one, never a part. `durable` adds fsync of the
 * file and its folder, so that the new one is there after a crash of the host.
 */
int xm_file_replace(const char *path, const void *data, size_t size, mode_t mode, bool durable,
		    struct xm_error *err);

/*
 * Reads a whole file of at most `max` bytes into a NUL-terminated heap buffer that the
 * caller frees. -ENOENT keeps kind NOT_FOUND, a longer file is -EFBIG.
 */
int xm_file_read(const char *path, size_t max, char **ret_data, size_t *ret_size,
		 struct xm_error *err);

/* asprintf() that returns NULL when memory is exhausted. The caller frees. */
char *xm_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
