/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving and loading the list of sections. What arrives is hostile: before any of it is loaded,
 * it is known that each section is there exactly once, and has a version and size that we read.
 * They are loaded in our order, not in that of arrival.
 */
#include "hypervisor/kvm_state.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/error.h"

#define KINDS_MAX 32

int kvm_state_add(struct hv_state *state, const char *name, uint32_t instance, int rc,
		  const void *data, size_t size, struct xm_error *err)
{
	if (rc < 0)
		return xm_fail_errno(err, XM_KIND_INTERNAL, rc,
				     "KVM cannot read state section %s %" PRIu32, name, instance);
	return hv_state_add(state, name, instance, KVM_STATE_VERSION, data, size, err);
}

int kvm_load_error(const struct hv_section *section, const char *request, int rc,
		   struct xm_error *err)
{
	return xm_fail_errno(err, XM_KIND_DATA, rc, "%s does not take state section %s %" PRIu32,
			     request, section->name, section->instance);
}

static unsigned instances(const struct kvm_domain *domain, const struct kvm_section_kind *kind)
{
	if (kind->exists && !kind->exists(domain))
		return 0;
	switch (kind->scope) {
	case KVM_SECTION_IRQCHIP:
		return KVM_NR_IRQCHIPS;
	case KVM_SECTION_VCPU:
		return domain->vcpu_count;
	default:
		return 1;
	}
}

/* ------------------------------------------------------------------------------- save */

static int save_kinds(struct kvm_domain *domain, const struct kvm_section_kind *kinds,
		      unsigned count, uint32_t instance, struct hv_state *state,
		      struct xm_error *err)
{
	for (unsigned i = 0; i < count; i++) {
		int rc;

		if (instance >= instances(domain, &kinds[i]))
			continue;
		rc = kinds[i].save(domain, instance, state, kinds[i].name, err);
		if (rc)
			return rc;
	}
	return 0;
}

/* vCPUs are read first: reading their mp_state may deliver what the LAPIC holds. */
static int save_all(struct kvm_domain *domain, struct hv_state *state, struct xm_error *err)
{
	int rc = 0;

	domain->now = kvm_state_now(domain);
	for (unsigned i = 0; i < domain->vcpu_count && !rc; i++)
		rc = save_kinds(domain, kvm_vcpu_sections, kvm_vcpu_section_count, i, state, err);
	for (unsigned i = 0; i < KVM_NR_IRQCHIPS && !rc; i++)
		rc = save_kinds(domain, kvm_vm_sections, kvm_vm_section_count, i, state, err);
	return rc;
}

int kvm_state_save(struct hv_domain *base, struct hv_state *ret_state, struct xm_error *err)
{
	struct kvm_domain *domain = kvm_domain(base);
	struct hv_state state;
	int rc;

	pthread_mutex_lock(&domain->run.lock);
	rc = domain->run.ended ? -ESHUTDOWN : 0;
	pthread_mutex_unlock(&domain->run.lock);
	if (rc)
		return xm_fail(err, XM_KIND_CONFLICT, rc,
			       "the domain's guest has ended; there is no state to save");
	hv_state_init(&state);
	rc = save_all(domain, &state, err);
	if (rc) {
		hv_state_finish(&state);
		return rc;
	}
	*ret_state = state;
	return 0;
}

/* ------------------------------------------------------------------------------- load */

/* All kinds in loading order: interrupt controllers before the LAPICs, clocks before TSCs. */
struct kinds {
	const struct kvm_section_kind *list[KINDS_MAX];
	const struct hv_section *found[KINDS_MAX][HV_VCPUS_MAX];
	unsigned count;
};

static void list_kinds(struct kinds *kinds)
{
	memset(kinds, 0, sizeof(*kinds));
	for (unsigned i = 0; i < kvm_vm_section_count; i++)
		kinds->list[kinds->count++] = &kvm_vm_sections[i];
	for (unsigned i = 0; i < kvm_vcpu_section_count; i++)
		kinds->list[kinds->count++] = &kvm_vcpu_sections[i];
}

static int bad_section(const struct hv_section *section, struct xm_error *err, const char *reason)
{
	return xm_fail(err, XM_KIND_DATA, -EBADMSG, "state section %.*s %" PRIu32 " %s",
		       (int)sizeof(section->name), section->name, section->instance, reason);
}

static int sort_in(struct kvm_domain *domain, struct kinds *kinds, const struct hv_section *section,
		   struct xm_error *err)
{
	for (unsigned i = 0; i < kinds->count; i++) {
		const struct kvm_section_kind *kind = kinds->list[i];

		if (strncmp(section->name, kind->name, sizeof(section->name)) != 0)
			continue;
		if (section->version != KVM_STATE_VERSION)
			return bad_section(section, err, "has a version that is unknown here");
		if (section->instance >= instances(domain, kind))
			return bad_section(section, err, "is of a part that this domain has not");
		if (kinds->found[i][section->instance])
			return bad_section(section, err, "is there twice");
		if (section->size < kind->size_min || section->size > kind->size_max)
			return bad_section(section, err, "has a wrong size");
		kinds->found[i][section->instance] = section;
		return 0;
	}
	return bad_section(section, err, "is unknown here");
}

static int check_complete(struct kvm_domain *domain, const struct kinds *kinds,
			  struct xm_error *err)
{
	for (unsigned i = 0; i < kinds->count; i++)
		for (unsigned n = 0; n < instances(domain, kinds->list[i]); n++)
			if (!kinds->found[i][n])
				return xm_fail(err, XM_KIND_DATA, -EBADMSG,
					       "state section %s %u is missing",
					       kinds->list[i]->name, n);
	return 0;
}

static int load_kind(struct kvm_domain *domain, const struct kinds *kinds, unsigned i,
		     unsigned instance, struct xm_error *err)
{
	if (!kinds->found[i][instance])
		return 0;
	return kinds->list[i]->load(domain, kinds->found[i][instance], err);
}

static int load_all(struct kvm_domain *domain, const struct kinds *kinds, struct xm_error *err)
{
	int rc = 0;

	domain->now = kvm_state_now(domain);
	for (unsigned i = 0; i < kvm_vm_section_count && !rc; i++)
		for (unsigned n = 0; n < KVM_NR_IRQCHIPS && !rc; n++)
			rc = load_kind(domain, kinds, i, n, err);
	for (unsigned n = 0; n < domain->vcpu_count && !rc; n++)
		for (unsigned i = kvm_vm_section_count; i < kinds->count && !rc; i++)
			rc = load_kind(domain, kinds, i, n, err);
	return rc;
}

int kvm_state_load(struct hv_domain *base, const struct hv_state *state, struct xm_error *err)
{
	struct kvm_domain *domain = kvm_domain(base);
	struct kinds kinds;
	int rc = 0;

	list_kinds(&kinds);
	for (uint32_t i = 0; i < state->count && !rc; i++)
		rc = sort_in(domain, &kinds, &state->sections[i], err);
	if (!rc)
		rc = check_complete(domain, &kinds, err);
	if (!rc)
		rc = load_all(domain, &kinds, err);
	if (rc)
		return rc;
	/* Whatever a failed run before was: this is a guest that has not ended. */
	pthread_mutex_lock(&domain->run.lock);
	domain->run.ended = false;
	pthread_mutex_unlock(&domain->run.lock);
	return 0;
}
