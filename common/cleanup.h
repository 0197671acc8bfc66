/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The four scope-bound things: a heap buffer, a file descriptor, a stdio stream and a
 * held lock. Everything else is released at one `out:` label or by a destroy function
 * that takes NULL and half-built objects.
 *
 *	cleanup_free char *path = NULL;
 *	cleanup_close int fd = -1;
 *	cleanup_fclose FILE *file = NULL;
 *	{ XM_LOCK_GUARD(&object->lock); ... }	// unlocked where the scope ends
 */
#ifndef XM_COMMON_CLEANUP_H
#define XM_COMMON_CLEANUP_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void xm_cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

static inline void xm_cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void xm_cleanup_fclose(FILE **file)
{
	if (*file)
		fclose(*file);
}

static inline void xm_cleanup_unlock(pthread_mutex_t **lock)
{
	pthread_mutex_unlock(*lock);
}

#define cleanup_free   __attribute__((cleanup(xm_cleanup_free)))
#define cleanup_close  __attribute__((cleanup(xm_cleanup_close)))
#define cleanup_fclose __attribute__((cleanup(xm_cleanup_fclose)))

#define XM_PASTE_(a, b) a##b
#define XM_PASTE(a, b)	XM_PASTE_(a, b)

#define XM_LOCK_GUARD(mutex)                                                                       \
	__attribute__((cleanup(xm_cleanup_unlock))) pthread_mutex_t *XM_PASTE(guard_, __LINE__) =  \
		(mutex);                                                                           \
	pthread_mutex_lock(XM_PASTE(guard_, __LINE__))

/* Takes the value out of an owning variable, leaving it empty: `return xm_steal(&buffer)`. */
#define xm_steal(pointer)                                                                          \
	({                                                                                         \
		__typeof__(*(pointer)) stolen_ = *(pointer);                                       \
		*(pointer) = NULL;                                                                 \
		stolen_;                                                                           \
	})

static inline int xm_steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

#endif
