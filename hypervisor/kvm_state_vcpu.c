/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sections of a vCPU, mostly KVM's own structs. The order in the list at the end is that of
 * loading, and matters:
 *
 *  - cpuid first: KVM checks the others against it;
 *  - sregs before regs, and lapic after sregs, which say where the APIC is;
 *  - tsc and lapic before msrs: the TSC deadline counts only with a LAPIC in that mode;
 *  - regs before events: setting regs drops a pending exception.
 *
 * Saving follows the same order except that mp_state comes first, since reading it
 * may change the LAPIC, the events and the registers.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/error.h"
#include "hypervisor/cpu_features.h"
#include "hypervisor/kvm_state.h"

#define MSR_IA32_TSC 0x10

/* ------------------------------------------------- structs that go as they are */

#define PLAIN_SECTION(suffix, type, get, set)                                                      \
	static int save_##suffix(struct kvm_domain *domain, uint32_t instance,                     \
				 struct hv_state *state, const char *name, struct xm_error *err)   \
	{                                                                                          \
		type data = {0};                                                                   \
		int rc = kvm_ioctl(domain->vcpus[instance].fd, get, &data);                        \
                                                                                                   \
		return kvm_state_add(state, name, instance, rc, &data, sizeof(data), err);         \
	}                                                                                          \
	static int load_##suffix(struct kvm_domain *domain, const struct hv_section *section,      \
				 struct xm_error *err)                                             \
	{                                                                                          \
		type data;                                                                         \
		int rc;                                                                            \
                                                                                                   \
		memcpy(&data, section->data, sizeof(data));                                        \
		rc = kvm_ioctl(domain->vcpus[section->instance].fd, set, &data);                   \
		return rc < 0 ? kvm_load_error(section, #set, rc, err) : 0;                        \
	}

PLAIN_SECTION(regs, struct kvm_regs, KVM_GET_REGS, KVM_SET_REGS)
PLAIN_SECTION(sregs, struct kvm_sregs, KVM_GET_SREGS, KVM_SET_SREGS)
PLAIN_SECTION(sregs2, struct kvm_sregs2, KVM_GET_SREGS2, KVM_SET_SREGS2)
PLAIN_SECTION(debug, struct kvm_debugregs, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS)
PLAIN_SECTION(events, struct kvm_vcpu_events, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS)
PLAIN_SECTION(mp_state, struct kvm_mp_state, KVM_GET_MP_STATE, KVM_SET_MP_STATE)
PLAIN_SECTION(lapic, struct kvm_lapic_state, KVM_GET_LAPIC, KVM_SET_LAPIC)

static bool has_sregs2(const struct kvm_domain *domain)
{
	return domain->has_sregs2;
}

static bool has_sregs(const struct kvm_domain *domain)
{
	return !domain->has_sregs2;
}

/* -------------------------------------------------------------------- xcrs, xsave */

static int save_xcrs(struct kvm_domain *domain, uint32_t instance, struct hv_state *state,
		     const char *name, struct xm_error *err)
{
	struct kvm_xcrs xcrs = {0};
	int rc = kvm_ioctl(domain->vcpus[instance].fd, KVM_GET_XCRS, &xcrs);

	return kvm_state_add(state, name, instance, rc, &xcrs, sizeof(xcrs), err);
}

static int load_xcrs(struct kvm_domain *domain, const struct hv_section *section,
		     struct xm_error *err)
{
	struct kvm_xcrs xcrs;
	int rc;

	memcpy(&xcrs, section->data, sizeof(xcrs));
	if (xcrs.nr_xcrs > KVM_MAX_XCRS)
		return kvm_load_error(section, "KVM_SET_XCRS", -EINVAL, err);
	if (xcrs.nr_xcrs == 0)
		return 0; /* a CPU without XSAVE */
	rc = kvm_ioctl(domain->vcpus[section->instance].fd, KVM_SET_XCRS, &xcrs);
	return rc < 0 ? kvm_load_error(section, "KVM_SET_XCRS", rc, err) : 0;
}

static int save_xsave(struct kvm_domain *domain, uint32_t instance, struct hv_state *state,
		      const char *name, struct xm_error *err)
{
	unsigned long request =
		domain->xsave_bytes > sizeof(struct kvm_xsave) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE;
	int rc = kvm_ioctl(domain->vcpus[instance].fd, request, domain->xsave);

	return kvm_state_add(state, name, instance, rc, domain->xsave, domain->xsave_bytes, err);
}

/* The saved area may be shorter than this host's, which then has components that the guest does not
 * know; a longer one has some that this host lacks. */
static int load_xsave(struct kvm_domain *domain, const struct hv_section *section,
		      struct xm_error *err)
{
	int rc;

	if (section->size > domain->xsave_bytes)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "state section xsave %" PRIu32 " has %" PRIu32
			       " bytes, and this host's XSAVE area %zu",
			       section->instance, section->size, domain->xsave_bytes);
	memcpy(domain->xsave, section->data, section->size);
	memset(domain->xsave + section->size, 0, domain->xsave_bytes - section->size);
	rc = kvm_ioctl(domain->vcpus[section->instance].fd, KVM_SET_XSAVE, domain->xsave);
	return rc < 0 ? kvm_load_error(section, "KVM_SET_XSAVE", rc, err) : 0;
}

/* -------------------------------------------------------------------------- cpuid */

static int save_cpuid(struct kvm_domain *domain, uint32_t instance, struct hv_state *state,
		      const char *name, struct xm_error *err)
{
	const struct kvm_cpuid_table *cpuid = &domain->vcpus[instance].cpuid;

	return kvm_state_add(state, name, instance, 0, cpuid->entries,
			     cpuid->nent * sizeof(cpuid->entries[0]), err);
}

/*
 * The platform was checked when the domain was announced, but nobody says that the state is of the same: what this
 * host's guests do not get, nested virtualisation above all, is not to be had by a made-up table. KVM looks an entry up
 * by its index only where the flag says so, and so must we.
 */
static bool grants(const struct kvm_cpuid_table *own, const struct kvm_cpuid_entry2 *wanted)
{
	static const struct kvm_cpuid_entry2 nothing;
	uint32_t by_index = wanted->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	const struct kvm_cpuid_entry2 *first = kvm_cpuid_find(own, wanted->function, 0);
	uint32_t index = by_index ? wanted->index : 0;
	const struct kvm_cpuid_entry2 *entry = kvm_cpuid_find(own, wanted->function, index);
	const uint32_t want[] = {wanted->eax, wanted->ebx, wanted->ecx, wanted->edx};

	entry = entry ? entry : &nothing;
	for (enum cpu_register reg = CPU_EAX; reg <= CPU_EDX; reg++) {
		const uint32_t have[] = {entry->eax, entry->ebx, entry->ecx, entry->edx};

		if (want[reg] & ~have[reg] & cpu_feature_mask(wanted->function, index, reg))
			return false;
		if (first && cpu_feature_mask(wanted->function, 0, reg) &&
		    (first->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != by_index)
			return false;
	}
	return true;
}

static int check_cpuid(const struct kvm_vcpu *vcpu, const struct kvm_cpuid_table *wanted,
		       struct xm_error *err)
{
	for (uint32_t i = 0; i < wanted->nent; i++)
		if (!grants(&vcpu->cpuid, &wanted->entries[i]))
			return xm_fail(err, XM_KIND_DATA, -EBADMSG,
				       "state section cpuid %u has CPU features in leaf 0x%" PRIx32
				       " that this host does not give to guests",
				       vcpu->index, wanted->entries[i].function);
	return 0;
}

/* KVM refuses another table once the vCPU ran, and takes long for one: the same one is skipped. */
static int load_cpuid(struct kvm_domain *domain, const struct hv_section *section,
		      struct xm_error *err)
{
	struct kvm_vcpu *vcpu = &domain->vcpus[section->instance];
	struct kvm_cpuid_table cpuid = {.nent = section->size / sizeof(cpuid.entries[0])};
	int rc;

	if (section->size % sizeof(cpuid.entries[0]))
		return kvm_load_error(section, "KVM_SET_CPUID2", -EBADMSG, err);
	if (cpuid.nent == vcpu->cpuid.nent &&
	    memcmp(section->data, vcpu->cpuid.entries, section->size) == 0)
		return 0;
	memcpy(cpuid.entries, section->data, section->size);
	rc = check_cpuid(vcpu, &cpuid, err);
	if (rc)
		return rc;
	rc = kvm_ioctl(vcpu->fd, KVM_SET_CPUID2, &cpuid);
	if (rc < 0)
		return kvm_load_error(section, "KVM_SET_CPUID2", rc, err);
	vcpu->cpuid = cpuid;
	return 0;
}

/* --------------------------------------------------------------------------- MSRs */

static int save_msrs(struct kvm_domain *domain, uint32_t instance, struct hv_state *state,
		     const char *name, struct xm_error *err)
{
	struct kvm_msrs_fixed msrs = {.nmsrs = domain->msrs.nmsrs};
	int rc;

	for (uint32_t i = 0; i < msrs.nmsrs; i++)
		msrs.entries[i].index = domain->msrs.indices[i];
	rc = kvm_ioctl(domain->vcpus[instance].fd, KVM_GET_MSRS, &msrs);
	if (rc >= 0 && (uint32_t)rc < msrs.nmsrs)
		return xm_fail(err, XM_KIND_INTERNAL, -EIO,
			       "KVM_GET_MSRS of vCPU %" PRIu32 " cannot read MSR 0x%" PRIx32,
			       instance, msrs.entries[rc].index);
	return kvm_state_add(state, name, instance, rc, msrs.entries,
			     msrs.nmsrs * sizeof(msrs.entries[0]), err);
}

static bool msr_known(const struct kvm_domain *domain, uint32_t index)
{
	for (uint32_t i = 0; i < domain->msrs.nmsrs; i++)
		if (domain->msrs.indices[i] == index)
			return true;
	return false;
}

/* Some MSRs only say what the host is: they can't be written, and need not if they agree. */
static bool msr_is(struct kvm_vcpu *vcpu, const struct kvm_msr_entry *entry)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entry;
	} msr = {.header.nmsrs = 1, .entry.index = entry->index};

	return kvm_ioctl(vcpu->fd, KVM_GET_MSRS, &msr) == 1 && msr.entry.data == entry->data;
}

/* KVM writes them in order up to the first that it does not take, and says how many it took. */
static int write_msrs(struct kvm_vcpu *vcpu, struct kvm_msrs_fixed *msrs,
		      const struct hv_section *section, struct xm_error *err)
{
	uint32_t left = msrs->nmsrs;

	while (left > 0) {
		int rc;

		msrs->nmsrs = left;
		rc = kvm_ioctl(vcpu->fd, KVM_SET_MSRS, msrs);
		if (rc < 0)
			return kvm_load_error(section, "KVM_SET_MSRS", rc, err);
		if ((uint32_t)rc == left)
			return 0;
		if (!msr_is(vcpu, &msrs->entries[rc]))
			return xm_fail(
				err, XM_KIND_DATA, -EINVAL,
				"vCPU %u of this host does not take 0x%llx for MSR 0x%" PRIx32,
				vcpu->index, msrs->entries[rc].data, msrs->entries[rc].index);
		left -= (uint32_t)rc + 1;
		memmove(msrs->entries, msrs->entries + rc + 1, left * sizeof(msrs->entries[0]));
	}
	return 0;
}

static int load_msrs(struct kvm_domain *domain, const struct hv_section *section,
		     struct xm_error *err)
{
	struct kvm_msrs_fixed msrs = {.nmsrs = section->size / sizeof(msrs.entries[0])};

	if (section->size % sizeof(msrs.entries[0]))
		return kvm_load_error(section, "KVM_SET_MSRS", -EBADMSG, err);
	if (section->size)
		memcpy(msrs.entries, section->data, section->size);
	for (uint32_t i = 0; i < msrs.nmsrs; i++) {
		msrs.entries[i].reserved = 0;
		/* The common case is the host's own list, in its order. */
		if (i < domain->msrs.nmsrs && domain->msrs.indices[i] == msrs.entries[i].index)
			continue;
		if (!msr_known(domain, msrs.entries[i].index))
			return xm_fail(err, XM_KIND_DATA, -EBADMSG,
				       "state section msrs %" PRIu32 " sets MSR 0x%" PRIx32
				       ", which this host's KVM does not save",
				       section->instance, msrs.entries[i].index);
	}
	return write_msrs(&domain->vcpus[section->instance], &msrs, section, err);
}

/* ---------------------------------------------------------------------------- TSC */

static uint64_t read_tsc(void)
{
	return __builtin_ia32_rdtsc();
}

/* KVM knows it exactly where the TSC is the host's clock; elsewhere, of a few tries the one that
 * took least. */
struct kvm_instant kvm_state_now(struct kvm_domain *domain)
{
	struct kvm_clock_data clock = {0};
	struct kvm_instant best = {0};
	uint64_t shortest = UINT64_MAX;

	if (kvm_ioctl(domain->vm_fd, KVM_GET_CLOCK, &clock) == 0 &&
	    clock.flags & KVM_CLOCK_REALTIME && clock.flags & KVM_CLOCK_HOST_TSC)
		return (struct kvm_instant){.realtime_ns = clock.realtime,
					    .host_tsc = clock.host_tsc};
	for (unsigned i = 0; i < 5; i++) {
		uint64_t before = read_tsc();
		struct timespec now;
		uint64_t took;

		clock_gettime(CLOCK_REALTIME, &now);
		took = read_tsc() - before;
		if (took >= shortest)
			continue;
		shortest = took;
		best.host_tsc = before + took / 2;
		best.realtime_ns = (uint64_t)now.tv_sec * XM_NS_PER_S + (uint64_t)now.tv_nsec;
	}
	return best;
}

static int tsc_offset(struct kvm_vcpu *vcpu, unsigned long request, uint64_t *offset)
{
	struct kvm_device_attr attribute = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)offset};

	return kvm_ioctl(vcpu->fd, request, &attribute);
}

static int save_tsc(struct kvm_domain *domain, uint32_t instance, struct hv_state *state,
		    const char *name, struct xm_error *err)
{
	struct kvm_vcpu *vcpu = &domain->vcpus[instance];
	struct kvm_instant now = domain->now;
	struct kvm_tsc_section section = {.realtime_ns = now.realtime_ns};
	uint64_t offset;
	int khz = kvm_ioctl(vcpu->fd, KVM_GET_TSC_KHZ, NULL);
	int rc = khz < 0 ? khz : 0;

	section.khz = (uint32_t)khz;
	if (section.khz == domain->tsc_khz) {
		rc = rc < 0 ? rc : tsc_offset(vcpu, KVM_GET_DEVICE_ATTR, &offset);
		section.tsc = rc < 0 ? 0 : now.host_tsc + offset;
	} else if (rc >= 0) { /* scaled: KVM alone knows the ratio in all its bits */
		section.realtime_ns = kvm_state_now(domain).realtime_ns;
		rc = kvm_vcpu_tsc(vcpu, &section.tsc);
	}
	return kvm_state_add(state, name, instance, rc, &section, sizeof(section), err);
}

static int write_tsc_msr(struct kvm_vcpu *vcpu, uint64_t tsc)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entry;
	} msr = {.header.nmsrs = 1, .entry = {.index = MSR_IA32_TSC, .data = tsc}};
	int rc = kvm_ioctl(vcpu->fd, KVM_SET_MSRS, &msr);

	return rc == 1 ? 0 : rc < 0 ? rc : -EINVAL;
}

/* The TSC went on at its frequency while the domain was on its way, and never goes backwards. */
static int load_tsc(struct kvm_domain *domain, const struct hv_section *section,
		    struct xm_error *err)
{
	struct kvm_vcpu *vcpu = &domain->vcpus[section->instance];
	struct kvm_instant now = domain->now;
	struct kvm_tsc_section saved;
	uint64_t elapsed, offset;
	int rc;

	memcpy(&saved, section->data, sizeof(saved));
	if (saved.khz == 0 || saved.khz > INT32_MAX)
		return kvm_load_error(section, "KVM_SET_TSC_KHZ", -EINVAL, err);
	elapsed = now.realtime_ns > saved.realtime_ns ? now.realtime_ns - saved.realtime_ns : 0;
	saved.tsc += (uint64_t)((unsigned __int128)elapsed * saved.khz / 1000000);
	if (kvm_ioctl(vcpu->fd, KVM_GET_TSC_KHZ, NULL) != (int)saved.khz) {
		rc = kvm_ioctl(vcpu->fd, KVM_SET_TSC_KHZ, (void *)(uintptr_t)saved.khz);
		if (rc < 0)
			return kvm_load_error(section, "KVM_SET_TSC_KHZ", rc, err);
	}
	if (saved.khz == domain->tsc_khz) {
		offset = saved.tsc - now.host_tsc;
		rc = tsc_offset(vcpu, KVM_SET_DEVICE_ATTR, &offset);
	} else {
		rc = write_tsc_msr(vcpu, saved.tsc);
	}
	return rc < 0 ? kvm_load_error(section, "KVM's TSC offset", rc, err) : 0;
}

/* ------------------------------------------------------------------------ the list */

#define EXACTLY(type) sizeof(type), sizeof(type)
#define UP_TO(size)   0, (size)

const struct kvm_section_kind kvm_vcpu_sections[] = {
	{"cpuid", KVM_SECTION_VCPU, sizeof(struct kvm_cpuid_entry2),
	 KVM_CPUID_MAX * sizeof(struct kvm_cpuid_entry2), save_cpuid, load_cpuid, NULL},
	{"mp_state", KVM_SECTION_VCPU, EXACTLY(struct kvm_mp_state), save_mp_state, load_mp_state,
	 NULL},
	{"sregs2", KVM_SECTION_VCPU, EXACTLY(struct kvm_sregs2), save_sregs2, load_sregs2,
	 has_sregs2},
	{"sregs", KVM_SECTION_VCPU, EXACTLY(struct kvm_sregs), save_sregs, load_sregs, has_sregs},
	{"xcrs", KVM_SECTION_VCPU, EXACTLY(struct kvm_xcrs), save_xcrs, load_xcrs, NULL},
	{"xsave", KVM_SECTION_VCPU, sizeof(struct kvm_xsave), KVM_XSAVE_BYTES_MAX, save_xsave,
	 load_xsave, NULL},
	{"regs", KVM_SECTION_VCPU, EXACTLY(struct kvm_regs), save_regs, load_regs, NULL},
	{"debug", KVM_SECTION_VCPU, EXACTLY(struct kvm_debugregs), save_debug, load_debug, NULL},
	{"lapic", KVM_SECTION_VCPU, EXACTLY(struct kvm_lapic_state), save_lapic, load_lapic, NULL},
	{"tsc", KVM_SECTION_VCPU, EXACTLY(struct kvm_tsc_section), save_tsc, load_tsc, NULL},
	{"msrs", KVM_SECTION_VCPU, UP_TO(KVM_MSRS_MAX * sizeof(struct kvm_msr_entry)), save_msrs,
	 load_msrs, NULL},
	{"events", KVM_SECTION_VCPU, EXACTLY(struct kvm_vcpu_events), save_events, load_events,
	 NULL},
};

const unsigned kvm_vcpu_section_count = sizeof(kvm_vcpu_sections) / sizeof(kvm_vcpu_sections[0]);

/* -------------------------------------------------------------------- at creation */

int kvm_msr_list(int kvm_fd, struct kvm_msr_list_fixed *ret_list, struct xm_error *err)
{
	struct kvm_msr_list_fixed list = {.nmsrs = KVM_MSRS_MAX};
	int rc = kvm_ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, &list);

	if (rc < 0)
		return xm_fail_errno(err, XM_KIND_HOST, rc, "KVM_GET_MSR_INDEX_LIST");
	*ret_list = list;
	return 0;
}

/* KVM lists MSRs that this guest's CPUID does not have; those it does not read are left out. The
 * TSC has a section of its own. */
static int find_readable_msrs(struct kvm_domain *domain, struct xm_error *err)
{
	struct kvm_msr_list_fixed all;
	int rc = kvm_msr_list(domain->kvm_fd, &all, err);

	if (rc)
		return rc;
	for (uint32_t i = 0; i < all.nmsrs; i++) {
		struct {
			struct kvm_msrs header;
			struct kvm_msr_entry entry;
		} msr = {.header.nmsrs = 1, .entry.index = all.indices[i]};

		if (all.indices[i] == MSR_IA32_TSC ||
		    kvm_ioctl(domain->vcpus[0].fd, KVM_GET_MSRS, &msr) != 1)
			continue;
		domain->msrs.indices[domain->msrs.nmsrs++] = all.indices[i];
	}
	return 0;
}

int kvm_state_prepare(struct kvm_domain *domain, struct xm_error *err)
{
	int xsave_bytes =
		kvm_ioctl(domain->vm_fd, KVM_CHECK_EXTENSION, (void *)(uintptr_t)KVM_CAP_XSAVE2);
	int khz = kvm_ioctl(domain->vcpus[0].fd, KVM_GET_TSC_KHZ, NULL);

	if (khz <= 0)
		return xm_fail_errno(err, XM_KIND_HOST, khz < 0 ? khz : -EIO,
				     "KVM does not know the TSC's frequency (KVM_GET_TSC_KHZ)");
	domain->tsc_khz = (uint32_t)khz;
	domain->has_sregs2 = kvm_ioctl(domain->vm_fd, KVM_CHECK_EXTENSION,
				       (void *)(uintptr_t)KVM_CAP_SREGS2) > 0;
	domain->xsave_bytes = xsave_bytes > (int)sizeof(struct kvm_xsave)
				      ? (size_t)xsave_bytes
				      : sizeof(struct kvm_xsave);
	domain->xsave = calloc(1, domain->xsave_bytes);
	if (!domain->xsave)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory for XSAVE state");
	return find_readable_msrs(domain, err);
}
