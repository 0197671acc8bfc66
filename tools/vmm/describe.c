/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tools/lib/control.h"
#include "tools/vmm/vmm.h"

const char *vmm_state_name(const struct vmm *vmm, bool paused)
{
	const struct vmm_operation *operation = &vmm->operation;

	if (vmm->end == VMM_END_CRASH)
		return "crashed";
	if (vmm->end != VMM_END_NONE)
		return "shutdown";
	if (!vmm->present)
		return "incoming";
	if (operation->active && operation->view.kind == XT_OPERATION_MIGRATE)
		return operation->view.state == MIG_UNRESOLVED ? "unresolved" : "migrating";
	if (operation->active && operation->view.kind == XT_OPERATION_SAVE)
		return "saving";
	return paused ? "paused" : "running";
}

static json_t *describe_vcpu(struct vmm *vmm, unsigned vcpu, uint64_t *cpu_ns)
{
	struct hv_vcpu_stats stats = {0};

	/* A vCPU that cannot be asked any more shows zeros. */
	hv_vcpu_stats(vmm->domain, vcpu, &stats, NULL);
	*cpu_ns += stats.run_ns;
	return json_pack("{sI sI sI sI so}", "run_ns", (json_int_t)stats.run_ns, "throttled_ns",
			 (json_int_t)stats.throttled_ns, "exits", (json_int_t)stats.exits,
			 "ring_full", (json_int_t)stats.ring_full, "dirty_pages",
			 hv_log_counts_vcpus(vmm->domain)
				 ? json_integer((json_int_t)hv_log_vcpu_pages(vmm->domain, vcpu))
				 : json_null());
}

/* The part that the hypervisor knows, gathered without our lock. */
static json_t *describe_domain(struct vmm *vmm)
{
	const struct hv_config *config = hv_domain_config(vmm->domain);
	json_t *vcpus = json_array();
	uint64_t cpu_ns = 0;

	for (unsigned i = 0; i < config->vcpus; i++)
		json_array_append_new(vcpus, describe_vcpu(vmm, i, &cpu_ns));
	return json_pack("{ss sI so}", "log_dirty",
			 config->log_kind == HV_LOG_RING ? "ring" : "bitmap", "cpu_ns",
			 (json_int_t)cpu_ns, "vcpu", vcpus);
}

json_t *vmm_describe(struct vmm *vmm)
{
	cleanup_free char *console = xm_format("%s/console.sock", xt_claim_folder(vmm->claim));
	bool paused = hv_paused(vmm->domain);
	json_t *domain = describe_domain(vmm);
	const struct xt_domain_record *record = &vmm->record;
	char uuid[XT_UUID_SIZE];
	json_t *rest;

	XM_LOCK_GUARD(&vmm->lock);
	xt_uuid_format(record->uuid, uuid);
	rest = json_pack("{ss ss ss sI si sI si ss ss so so so}", "name", record->name, "uuid",
			 uuid, "state", vmm_state_name(vmm, paused), "memory_bytes",
			 (json_int_t)record->memory_bytes, "vcpus", (int)record->vcpus, "epoch",
			 (json_int_t)record->epoch, "pid", (int)record->pid, "console",
			 console ? console : "", "created_at", record->created_at, "config",
			 xt_json_text(vmm->config), "operation",
			 vmm->operation.active ? json_string(vmm->operation.view.id) : json_null(),
			 "crash",
			 vmm->end == VMM_END_CRASH ? xt_json_text(vmm->end_text) : json_null());
	json_object_update(domain, rest);
	json_decref(rest);
	return domain;
}
