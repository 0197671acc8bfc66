/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/daemon/threads.h"

#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"

struct job {
	struct xd_threads *threads;
	void (*work)(void *opaque);
	void *opaque;
};

void xd_threads_init(struct xd_threads *threads, unsigned most)
{
	xd_wait_init(&threads->wait);
	threads->running = 0;
	threads->most = most;
}

static void leave(struct xd_threads *threads)
{
	XM_LOCK_GUARD(&threads->wait.lock);
	threads->running--;
	xd_wait_wake(&threads->wait);
}

static void *thread_main(void *argument)
{
	struct job job = *(struct job *)argument;

	free(argument);
	job.work(job.opaque);
	leave(job.threads);
	return NULL;
}

static int enter(struct xd_threads *threads, struct xm_error *err)
{
	XM_LOCK_GUARD(&threads->wait.lock);
	if (threads->running >= threads->most)
		return xm_fail(err, XM_KIND_CONFLICT, -EAGAIN,
			       "as many as %u are at work already; try again later", threads->most);
	threads->running++;
	return 0;
}

int xd_threads_start(struct xd_threads *threads, void (*work)(void *opaque), void *opaque,
		     struct xm_error *err)
{
	struct job *job = malloc(sizeof(*job));
	pthread_attr_t attributes;
	pthread_t thread;
	int rc;

	if (!job)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory for a thread");
	*job = (struct job){.threads = threads, .work = work, .opaque = opaque};
	rc = enter(threads, err);
	if (rc) {
		free(job);
		return rc;
	}
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	rc = -pthread_create(&thread, &attributes, thread_main, job);
	pthread_attr_destroy(&attributes);
	if (rc) {
		leave(threads);
		free(job);
		return xm_fail_errno(err, XM_KIND_HOST, rc, "cannot start a thread");
	}
	return 0;
}

void xd_threads_finish(struct xd_threads *threads)
{
	pthread_mutex_lock(&threads->wait.lock);
	while (threads->running > 0)
		pthread_cond_wait(&threads->wait.changed, &threads->wait.lock);
	pthread_mutex_unlock(&threads->wait.lock);
	xd_wait_finish(&threads->wait);
}
