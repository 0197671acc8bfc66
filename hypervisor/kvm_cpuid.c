/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPUID that guests get: what KVM offers, less what cannot move to another host.
 *
 *  - VMX and SVM: the state of nested guests is not saved.
 *  - AMX: its 8 KiB of tiles need a permission that has to be asked for before vCPUs exist.
 *  - the invariant TSC: a promise that the next host may not keep.
 */
#include <errno.h>
#include <string.h>

#include "common/error.h"
#include "hypervisor/kvm_internal.h"

#define XCR0_AMX (3ull << 17)

#define LEAF1_ECX_VMX	       (1u << 5)
#define LEAF1_ECX_XSAVE	       (1u << 26)
#define LEAF1_ECX_TSC_DEADLINE (1u << 24)
#define LEAF1_EDX_HTT	       (1u << 28)
#define LEAF7_EDX_AMX	       (1u << 22 | 1u << 24 | 1u << 25)
#define LEAF7_1_EAX_AMX	       (1u << 21)
#define EXT1_ECX_SVM	       (1u << 2)
#define EXT7_EDX_INVARIANT_TSC (1u << 8)

const struct kvm_cpuid_entry2 *kvm_cpuid_find(const struct kvm_cpuid_table *cpuid,
					      uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function == function &&
		    (!(entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || entry->index == index))
			return entry;
	}
	return NULL;
}

/* Whole leaves that go: nested SVM, the AMX tiles' layout, and a second topology leaf. */
static bool dropped(const struct kvm_cpuid_entry2 *entry)
{
	switch (entry->function) {
	case 0x1d:
	case 0x1e:
	case 0x1f:
	case 0x8000000a:
		return true;
	case 0xd:
		return entry->index == 17 || entry->index == 18;
	default:
		return false;
	}
}

static void mask(struct kvm_cpuid_entry2 *entry)
{
	switch (entry->function) {
	case 1:
		entry->ecx &= ~LEAF1_ECX_VMX;
		entry->ecx |= LEAF1_ECX_TSC_DEADLINE; /* by the LAPIC in KVM */
		break;
	case 7:
		if (entry->index == 0)
			entry->edx &= ~LEAF7_EDX_AMX;
		if (entry->index == 1)
			entry->eax &= ~LEAF7_1_EAX_AMX;
		break;
	case 0xd:
		if (entry->index == 0)
			entry->eax &= ~(uint32_t)XCR0_AMX;
		break;
	case 0x80000001:
		entry->ecx &= ~EXT1_ECX_SVM;
		break;
	case 0x80000007:
		entry->edx &= ~EXT7_EDX_INVARIANT_TSC;
		break;
	default:
		break;
	}
}

/* The area's largest size is that of the components which are left. */
static void resize_xsave(struct kvm_cpuid_table *cpuid)
{
	uint64_t xcr0 = kvm_cpuid_xcr0(cpuid);
	uint32_t size = 576; /* legacy area and header */

	for (uint32_t i = 2; i < 63; i++) {
		const struct kvm_cpuid_entry2 *component = kvm_cpuid_find(cpuid, 0xd, i);

		if (component && xcr0 >> i & 1 && component->ebx + component->eax > size)
			size = component->ebx + component->eax;
	}
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == 0xd && cpuid->entries[i].index == 0)
			cpuid->entries[i].ecx = size;
}

int kvm_cpuid_host(int kvm_fd, struct kvm_cpuid_table *ret_cpuid, struct xm_error *err)
{
	struct kvm_cpuid_table all = {.nent = KVM_CPUID_MAX};
	int rc = kvm_ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, &all);
	uint32_t kept = 0;

	if (rc < 0)
		return xm_fail_errno(err, XM_KIND_HOST, rc, "KVM_GET_SUPPORTED_CPUID");
	for (uint32_t i = 0; i < all.nent; i++) {
		if (dropped(&all.entries[i]))
			continue;
		mask(&all.entries[i]);
		all.entries[kept++] = all.entries[i];
	}
	all.nent = kept;
	resize_xsave(&all);
	*ret_cpuid = all;
	return 0;
}

/* All vCPUs are cores of one package, and a vCPU's number is its APIC id. */
void kvm_cpuid_for_vcpu(struct kvm_cpuid_table *cpuid, unsigned vcpu, unsigned vcpus)
{
	unsigned bits = 0;

	while (1u << bits < vcpus)
		bits++;
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function == 1) {
			entry->ebx = (entry->ebx & 0xffff) | vcpus << 16 | vcpu << 24;
			entry->edx =
				(entry->edx & ~LEAF1_EDX_HTT) | (vcpus > 1 ? LEAF1_EDX_HTT : 0);
		} else if (entry->function == 4) {
			entry->eax = (entry->eax & 0x3fff) | ((1u << bits) - 1) << 26;
		} else if (entry->function == 0xb) {
			entry->eax = entry->index == 1 ? bits : 0;
			entry->ebx = entry->index == 0 ? 1 : entry->index == 1 ? vcpus : 0;
			entry->ecx =
				entry->index | (entry->index < 2 ? (entry->index + 1) << 8 : 0);
			entry->edx = vcpu;
		}
	}
}

uint64_t kvm_cpuid_xcr0(const struct kvm_cpuid_table *cpuid)
{
	const struct kvm_cpuid_entry2 *leaf = kvm_cpuid_find(cpuid, 0xd, 0);

	return leaf ? leaf->eax | (uint64_t)leaf->edx << 32 : 0;
}

bool kvm_cpuid_has_xsave(const struct kvm_cpuid_table *cpuid)
{
	const struct kvm_cpuid_entry2 *leaf = kvm_cpuid_find(cpuid, 1, 0);

	return leaf && leaf->ecx & LEAF1_ECX_XSAVE;
}
