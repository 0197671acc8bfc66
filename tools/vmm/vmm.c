/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/vmm/vmm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "tools/lib/program.h"
#include "tools/lib/session_record.h"
#include "tools/vmm/console.h"
#include "tools/vmm/control_server.h"
#include "tools/vmm/operation.h"

/* ---------------------------------------------------------------------- life and end */

int vmm_create(const char *run_dir, const char *state_dir, struct vmm **ret_vmm,
	       struct xm_error *err)
{
	struct vmm *vmm = calloc(1, sizeof(*vmm));
	pthread_condattr_t attributes;

	if (!vmm)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	pthread_mutex_init(&vmm->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&vmm->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	vmm->run_dir = strdup(run_dir);
	vmm->state_dir = strdup(state_dir);
	vmm->events = vmm_events_create();
	if (!vmm->run_dir || !vmm->state_dir || !vmm->events) {
		vmm_destroy(vmm);
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	}
	vmm->registry.run_dir = vmm->run_dir;
	*ret_vmm = vmm;
	return 0;
}

static void wait_for_workers(struct vmm *vmm)
{
	XM_LOCK_GUARD(&vmm->lock);
	while (vmm->workers > 0)
		vmm_wait(vmm, 0);
}

void vmm_destroy(struct vmm *vmm)
{
	if (!vmm)
		return;
	if (vmm->events)
		vmm_events_close(vmm->events);
	vmm_server_stop(vmm->server);
	wait_for_workers(vmm);
	vmm_arrival_destroy(vmm->arrival);
	vmm_console_stop(vmm->console);
	hv_destroy(vmm->domain);
	vmm_console_destroy(vmm->console);
	xt_session_close(vmm->operation.record);
	xt_claim_release(vmm->claim);
	vmm_operation_bequeath(vmm);
	/* Connections close last: who sees that knows that the name is free. */
	vmm_server_destroy(vmm->server);
	vmm_events_destroy(vmm->events);
	free(vmm->config);
	free(vmm->run_dir);
	free(vmm->state_dir);
	pthread_cond_destroy(&vmm->changed);
	pthread_mutex_destroy(&vmm->lock);
	free(vmm);
}

void vmm_end(struct vmm *vmm, enum vmm_end end, const char *text)
{
	XM_LOCK_GUARD(&vmm->lock);
	if (vmm->end != VMM_END_NONE)
		return;
	vmm->end = end;
	snprintf(vmm->end_text, sizeof(vmm->end_text), "%s", text);
	pthread_cond_broadcast(&vmm->changed);
}

enum vmm_end vmm_wait_end(struct vmm *vmm)
{
	XM_LOCK_GUARD(&vmm->lock);
	while (vmm->end == VMM_END_NONE || vmm->executing)
		vmm_wait(vmm, 0);
	return vmm->end;
}

bool vmm_wait(struct vmm *vmm, uint64_t deadline_ns)
{
	struct timespec until = xm_timespec(deadline_ns);

	if (deadline_ns == 0)
		return pthread_cond_wait(&vmm->changed, &vmm->lock) == 0;
	return pthread_cond_timedwait(&vmm->changed, &vmm->lock, &until) != ETIMEDOUT;
}

/* -------------------------------------------------------------------------- threads */

struct work {
	struct vmm *vmm;
	void (*work)(struct vmm *vmm, void *argument);
	void *argument;
};

static void *work_thread(void *opaque)
{
	struct work work = *(struct work *)opaque;

	free(opaque);
	work.work(work.vmm, work.argument);
	XM_LOCK_GUARD(&work.vmm->lock);
	work.vmm->workers--;
	pthread_cond_broadcast(&work.vmm->changed);
	return NULL;
}

int vmm_work(struct vmm *vmm, void (*work)(struct vmm *vmm, void *argument), void *argument,
	     struct xm_error *err)
{
	struct work *order = malloc(sizeof(*order));
	pthread_attr_t attributes;
	pthread_t thread;
	int rc;

	if (!order)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	*order = (struct work){.vmm = vmm, .work = work, .argument = argument};
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_mutex_lock(&vmm->lock);
	rc = pthread_create(&thread, &attributes, work_thread, order);
	vmm->workers += rc == 0;
	pthread_mutex_unlock(&vmm->lock);
	pthread_attr_destroy(&attributes);
	if (!rc)
		return 0;
	free(order);
	return xm_fail_errno(err, XM_KIND_HOST, -rc, "cannot start a thread");
}

/* --------------------------------------------- what the hypervisor says, on vCPU threads */

static void domain_event(void *opaque, const struct hv_event *event)
{
	struct vmm *vmm = opaque;
	char text[XM_ERROR_TEXT_MAX];

	if (event->kind == HV_EVENT_CRASH) {
		snprintf(text, sizeof(text), "%s", event->text);
		vmm_end(vmm, VMM_END_CRASH, text);
		return;
	}
	pthread_mutex_lock(&vmm->lock);
	vmm->end_code = event->code;
	pthread_mutex_unlock(&vmm->lock);
	snprintf(text, sizeof(text), "the guest ended with code %u", event->code);
	vmm_end(vmm, VMM_END_SHUTDOWN, text);
}

static void domain_console(void *opaque, const void *data, size_t size)
{
	struct vmm *vmm = opaque;

	vmm_console_output(vmm->console, data, size);
}

static void domain_report(void *opaque)
{
	struct vmm *vmm = opaque;

	XM_LOCK_GUARD(&vmm->lock);
	vmm->reports++;
	pthread_cond_broadcast(&vmm->changed);
}

/* -------------------------------------------------------------------------- opening */

static int open_sockets(struct vmm *vmm, struct xm_error *err)
{
	const char *folder = xt_claim_folder(vmm->claim);
	cleanup_free char *log = xm_format("%s/vmm.log", folder);
	cleanup_free char *control = xm_format("%s/vmm.sock", folder);
	cleanup_free char *console = xm_format("%s/console.sock", folder);
	int rc;

	if (!log || !control || !console)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	rc = xt_program_log_to(log, err);
	if (!rc)
		rc = vmm_console_create(console, &vmm->console, err);
	if (!rc)
		rc = vmm_server_create(vmm, control, &vmm->server, err);
	return rc;
}

static int open_domain(struct vmm *vmm, const struct hv_config *config, struct xm_error *err)
{
	struct hv_config mine = *config;
	int rc;

	mine.callbacks = (struct hv_callbacks){.opaque = vmm,
					       .on_event = domain_event,
					       .on_console = domain_console,
					       .on_report = domain_report};
	rc = hv_create(&mine, &vmm->domain, err);
	if (rc)
		return rc;
	vmm_console_attach(vmm->console, vmm->domain);
	return 0;
}

int vmm_open(struct vmm *vmm, const struct hv_config *config, struct xm_error *err)
{
	char thread_name[16];
	int rc;

	vmm->record.pid = getpid();
	xt_time_now(vmm->record.created_at);
	snprintf(thread_name, sizeof(thread_name), "vmm %.11s", vmm->record.name);
	prctl(PR_SET_NAME, thread_name);
	rc = xt_claim_make(&vmm->registry, &vmm->record, vmm->config, &vmm->claim, err);
	if (!rc)
		rc = open_sockets(vmm, err);
	if (!rc)
		rc = open_domain(vmm, config, err);
	return rc;
}

void vmm_publish(struct vmm *vmm)
{
	struct xm_error err = XM_ERROR_INIT;
	struct xt_domain_record record;

	pthread_mutex_lock(&vmm->lock);
	record = vmm->record;
	pthread_mutex_unlock(&vmm->lock);
	if (xt_claim_update(vmm->claim, &record, &err))
		xm_log(XM_LOG_WARNING, "%s", err.text);
}

/* -------------------------------------------------------------- running and pausing */

int vmm_check_present(struct vmm *vmm, struct xm_error *err)
{
	XM_LOCK_GUARD(&vmm->lock);
	if (vmm->present)
		return 0;
	return xm_fail(err, XM_KIND_CONFLICT, -EBUSY,
		       "domain %s is still arriving; wait until it runs here", vmm->record.name);
}

/* One at a time, and not while an operation does it. Takes `executing`. */
static int begin_executing(struct vmm *vmm, struct xm_error *err)
{
	XM_LOCK_GUARD(&vmm->lock);
	while (vmm->executing)
		vmm_wait(vmm, 0);
	if (vmm->end != VMM_END_NONE)
		return xm_fail(err, XM_KIND_CONFLICT, -ESHUTDOWN, "domain %s has ended",
			       vmm->record.name);
	if (vmm->operation.active)
		return xm_fail(err, XM_KIND_CONFLICT, -EBUSY,
			       "domain %s is busy: %s, %s; wait for it, or cancel it",
			       vmm->record.name, xt_operation_kind_name(vmm->operation.view.kind),
			       mig_state_name(vmm->operation.view.state));
	vmm->executing = true;
	return 0;
}

static void end_executing(struct vmm *vmm)
{
	XM_LOCK_GUARD(&vmm->lock);
	vmm->executing = false;
	pthread_cond_broadcast(&vmm->changed);
}

int vmm_set_paused(struct vmm *vmm, bool paused, struct xm_error *err)
{
	struct hv_pause_times times;
	bool before;
	int rc;

	rc = vmm_check_present(vmm, err);
	if (!rc)
		rc = begin_executing(vmm, err);
	if (rc)
		return rc;
	before = hv_paused(vmm->domain);
	if (paused)
		rc = hv_pause(vmm->domain, &times, err);
	else if (before)
		rc = hv_resume(vmm->domain, err);
	/* Before anything else may begin, the guest's end included, so that events tell the order. */
	if (!rc && before != paused)
		vmm_events_say(vmm->events, paused ? "paused" : "unpaused", "by request");
	end_executing(vmm);
	return rc;
}
