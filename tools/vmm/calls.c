/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/vmm/calls.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "tools/lib/control.h"
#include "tools/vmm/operation.h"
#include "tools/vmm/vmm.h"

#define WAIT_MS_MAX 60000

static int fail_arguments(struct xm_error *err, const char *call, const json_error_t *reason)
{
	return xm_fail(err, XM_KIND_USAGE, -EINVAL, "bad arguments for '%s': %s", call,
		       reason->text);
}

static int no_arguments(const json_t *arguments, const char *call, struct xm_error *err)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)arguments, key, value) return xm_fail(
		err, XM_KIND_USAGE, -EINVAL, "'%s' takes no argument '%s'", call, key);
	return 0;
}

/* {"after", "wait_ms"}, both optional. */
static int take_wait(json_t *arguments, const char *call, uint64_t *after, uint64_t *deadline_ns,
		     struct xm_error *err)
{
	json_int_t number = 0;
	json_int_t wait_ms = 0;
	json_error_t reason;

	if (json_unpack_ex(arguments, &reason, JSON_STRICT, "{s?I s?I}", "after", &number,
			   "wait_ms", &wait_ms))
		return fail_arguments(err, call, &reason);
	if (number < 0 || wait_ms < 0 || wait_ms > WAIT_MS_MAX)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "'%s' takes 'after' from 0, and 'wait_ms' from 0 to %d", call,
			       WAIT_MS_MAX);
	*after = (uint64_t)number;
	*deadline_ns = xm_now_ns() + (uint64_t)wait_ms * XM_NS_PER_MS;
	return 0;
}

static int call_info(struct vmm *vmm, json_t *arguments, int *fd, json_t **ret_result,
		     struct xm_error *err)
{
	int rc = no_arguments(arguments, "info", err);

	(void)fd;
	if (!rc)
		*ret_result = vmm_describe(vmm);
	return rc;
}

static int call_pause(struct vmm *vmm, json_t *arguments, int *fd, json_t **ret_result,
		      struct xm_error *err)
{
	int rc = no_arguments(arguments, "pause", err);

	(void)fd;
	(void)ret_result;
	return rc ? rc : vmm_set_paused(vmm, true, err);
}

static int call_unpause(struct vmm *vmm, json_t *arguments, int *fd, json_t **ret_result,
			struct xm_error *err)
{
	int rc = no_arguments(arguments, "unpause", err);

	(void)fd;
	(void)ret_result;
	return rc ? rc : vmm_set_paused(vmm, false, err);
}

/* What a guest does not take now, nobody keeps for it. */
static int put_input(struct vmm *vmm, const char *text, struct xm_error *err)
{
	size_t size = strlen(text);
	size_t taken;
	int rc = vmm_check_present(vmm, err);

	if (rc)
		return rc;
	taken = hv_console_input(vmm->domain, text, size);
	if (taken < size)
		return xm_fail(
			err, XM_KIND_CONFLICT, -EAGAIN,
			"the guest does not read its console: %zu of %zu bytes of input were "
			"taken; try again later",
			taken, size);
	return 0;
}

static int call_shutdown(struct vmm *vmm, json_t *arguments, int *fd, json_t **ret_result,
			 struct xm_error *err)
{
	int rc = no_arguments(arguments, "shutdown", err);

	(void)fd;
	(void)ret_result;
	return rc ? rc : put_input(vmm, "stop\n", err);
}

static int call_input(struct vmm *vmm, json_t *arguments, int *fd, json_t **ret_result,
		      struct xm_error *err)
{
	json_error_t reason;
	const char *text;

	(void)fd;
	(void)ret_result;
	if (json_unpack_ex(arguments, &reason, JSON_STRICT, "{ss}", "text", &text))
		return fail_arguments(err, "input", &reason);
	return put_input(vmm, text, err);
}

static int call_destroy(struct vmm *vmm, json_t *arguments, int *fd, json_t **ret_result,
			struct xm_error *err)
{
	int rc = no_arguments(arguments, "destroy", err);

	(void)fd;
	(void)ret_result;
	if (!rc)
		rc = vmm_operation_abandon(vmm, err);
	if (!rc)
		vmm_end(vmm, VMM_END_DESTROYED, "by request");
	return rc;
}

/* Waits until a report above `after` is there, or time or domain are over. */
static int call_report(struct vmm *vmm, json_t *arguments, int *fd, json_t **ret_result,
		       struct xm_error *err)
{
	char line[HV_REPORT_MAX + 1] = "";
	uint64_t deadline_ns;
	uint64_t sequence;
	uint64_t after;
	int rc = take_wait(arguments, "report", &after, &deadline_ns, err);

	(void)fd;
	if (rc)
		return rc;
	for (;;) {
		bool over;
		uint64_t seen;

		pthread_mutex_lock(&vmm->lock);
		seen = vmm->reports;
		over = vmm->end != VMM_END_NONE;
		pthread_mutex_unlock(&vmm->lock);
		sequence = hv_report(vmm->domain, line, sizeof(line));
		if (sequence > after || over)
			break;
		pthread_mutex_lock(&vmm->lock);
		while (!over && seen == vmm->reports && vmm->end == VMM_END_NONE)
			over = !vmm_wait(vmm, deadline_ns);
		pthread_mutex_unlock(&vmm->lock);
		if (over)
			break;
	}
	*ret_result =
		json_pack("{sI so}", "sequence", (json_int_t)sequence, "line", xt_json_text(line));
	return 0;
}

static int call_operation(struct vmm *vmm, json_t *arguments, int *fd, json_t **ret_result,
			  struct xm_error *err)
{
	uint64_t deadline_ns;
	uint64_t after;
	int rc = take_wait(arguments, "operation", &after, &deadline_ns, err);

	(void)fd;
	return rc ? rc : vmm_operation_watch(vmm, after, deadline_ns, ret_result, err);
}

static int call_limits(struct vmm *vmm, json_t *arguments, int *fd, json_t **ret_result,
		       struct xm_error *err)
{
	(void)fd;
	return vmm_operation_set_limits(vmm, arguments, ret_result, err);
}

static int call_cancel(struct vmm *vmm, json_t *arguments, int *fd, json_t **ret_result,
		       struct xm_error *err)
{
	int rc = no_arguments(arguments, "cancel", err);

	(void)fd;
	(void)ret_result;
	return rc ? rc : vmm_operation_cancel(vmm, err);
}

static int call_migrate(struct vmm *vmm, json_t *arguments, int *fd, json_t **ret_result,
			struct xm_error *err)
{
	int rc = vmm_check_present(vmm, err);

	(void)fd;
	return rc ? rc : vmm_migrate(vmm, arguments, ret_result, err);
}

static int call_save(struct vmm *vmm, json_t *arguments, int *fd, json_t **ret_result,
		     struct xm_error *err)
{
	int rc = vmm_check_present(vmm, err);

	(void)fd;
	return rc ? rc : vmm_save(vmm, arguments, ret_result, err);
}

static int call_resolve(struct vmm *vmm, json_t *arguments, int *fd, json_t **ret_result,
			struct xm_error *err)
{
	json_error_t reason;
	const char *action;

	(void)fd;
	if (json_unpack_ex(arguments, &reason, JSON_STRICT, "{ss}", "action", &action))
		return fail_arguments(err, "resolve", &reason);
	return vmm_resolve(vmm, action, ret_result, err);
}

static int call_attach(struct vmm *vmm, json_t *arguments, int *fd, json_t **ret_result,
		       struct xm_error *err)
{
	json_error_t reason;
	int channel;

	(void)ret_result;
	if (json_unpack_ex(arguments, &reason, JSON_STRICT, "{si}", "channel", &channel))
		return fail_arguments(err, "attach", &reason);
	if (channel < 1 || channel > PF_CHANNELS_MAX || *fd < 0)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "'attach' takes a channel from 1 to %d and one descriptor",
			       PF_CHANNELS_MAX);
	return vmm_attach_channel(vmm, (unsigned)channel, fd, err);
}

static const struct {
	const char *name;
	int (*call)(struct vmm *vmm, json_t *arguments, int *fd, json_t **ret_result,
		    struct xm_error *err);
} calls[] = {
	{"info", call_info},	       {"pause", call_pause},	  {"unpause", call_unpause},
	{"shutdown", call_shutdown},   {"destroy", call_destroy}, {"input", call_input},
	{"report", call_report},       {"migrate", call_migrate}, {"save", call_save},
	{"operation", call_operation}, {"limits", call_limits},	  {"cancel", call_cancel},
	{"resolve", call_resolve},     {"attach", call_attach},
};

int vmm_call(struct vmm *vmm, const char *call, json_t *arguments, int *fd, json_t **ret_result,
	     struct xm_error *err)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (strcmp(calls[i].name, call) == 0)
			return calls[i].call(vmm, arguments, fd, ret_result, err);
	return xm_fail(err, XM_KIND_USAGE, -ENOSYS, "there is no call '%.64s'", call);
}
