/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host must have to run a domain, and whether this one has it. The sections are those of
 * docs/state-sections.md, "Platform"; they come from another host and are hostile.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "hypervisor/cpu_features.h"
#include "hypervisor/kvm_internal.h"
#include "hypervisor/kvm_state.h"

#define TSC_TOLERANCE_PPM 250 /* KVM's own: within it, a guest's TSC is not scaled */

struct tsc_section {
	uint32_t khz;
	uint32_t zero;
};

/* --------------------------------------------------------------------------- describe */

int kvm_platform_describe(struct hv_domain *base, struct hv_state *ret_platform,
			  struct xm_error *err)
{
	struct kvm_domain *domain = kvm_domain(base);
	const struct kvm_cpuid_table *cpuid = &domain->vcpus[0].cpuid;
	struct kvm_shape_section shape = {.memory_bytes = base->config.memory_bytes,
					  .vcpus = base->config.vcpus};
	struct tsc_section tsc = {.khz = domain->tsc_khz};
	uint32_t xsave_bytes = (uint32_t)domain->xsave_bytes;
	struct hv_state platform;
	int rc;

	hv_state_init(&platform);
	rc = hv_state_add(&platform, "shape", 0, KVM_STATE_VERSION, &shape, sizeof(shape), err);
	if (!rc)
		rc = hv_state_add(&platform, "tsc", 0, KVM_STATE_VERSION, &tsc, sizeof(tsc), err);
	if (!rc)
		rc = hv_state_add(&platform, "cpuid", 0, KVM_STATE_VERSION, cpuid->entries,
				  cpuid->nent * sizeof(cpuid->entries[0]), err);
	if (!rc)
		rc = hv_state_add(&platform, "msrs", 0, KVM_STATE_VERSION, domain->msrs.indices,
				  domain->msrs.nmsrs * sizeof(domain->msrs.indices[0]), err);
	if (!rc)
		rc = hv_state_add(&platform, "xsave", 0, KVM_STATE_VERSION, &xsave_bytes,
				  sizeof(xsave_bytes), err);
	if (rc) {
		hv_state_finish(&platform);
		return rc;
	}
	*ret_platform = platform;
	return 0;
}

/* ------------------------------------------------------------------------------ check */

/* The list of differences, a line each. */
struct differences {
	unsigned count;
	size_t used;
	char text[XM_ERROR_TEXT_MAX - 128];
};

static void differs(struct differences *list, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void differs(struct differences *list, const char *fmt, ...)
{
	char line[200];
	va_list args;
	int length;

	va_start(args, fmt);
	length = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	list->count++;
	if (length < 0 || list->used + (size_t)length + 2 > sizeof(list->text))
		return; /* counted; the first ones are said */
	list->used += (size_t)snprintf(list->text + list->used, sizeof(list->text) - list->used,
				       "\n%s", line);
}

static void check_feature_bits(struct differences *list, uint32_t function, uint32_t index,
			       enum cpu_register reg, uint32_t missing)
{
	for (unsigned bit = 0; bit < 32; bit++) {
		const char *name;

		if (!(missing >> bit & 1))
			continue;
		name = cpu_feature_name(function, index, reg, bit);
		if (name)
			differs(list, "this host lacks CPU feature %s", name);
		else
			differs(list,
				"this host lacks a CPU feature: CPUID 0x%" PRIx32 ".%" PRIu32
				" %s bit %u",
				function, index, cpu_register_name(reg), bit);
	}
}

static void check_vendor(struct differences *list, const struct kvm_cpuid_entry2 *wanted,
			 const struct kvm_cpuid_entry2 *host)
{
	if (wanted->ebx != host->ebx || wanted->ecx != host->ecx || wanted->edx != host->edx)
		differs(list,
			"the domain was made on a CPU of vendor %.4s%.4s%.4s, this host has "
			"%.4s%.4s%.4s",
			(const char *)&wanted->ebx, (const char *)&wanted->edx,
			(const char *)&wanted->ecx, (const char *)&host->ebx,
			(const char *)&host->edx, (const char *)&host->ecx);
}

static void check_xsave_component(struct differences *list, const struct kvm_cpuid_entry2 *wanted,
				  const struct kvm_cpuid_entry2 *host)
{
	if (wanted->eax != host->eax || wanted->ebx != host->ebx)
		differs(list,
			"XSAVE component %" PRIu32 " is %" PRIu32 " bytes at %" PRIu32
			", on this host %" PRIu32 " at %" PRIu32,
			wanted->index, wanted->eax, wanted->ebx, host->eax, host->ebx);
}

static void check_entry(struct differences *list, const struct kvm_cpuid_entry2 *wanted,
			const struct kvm_cpuid_table *host, uint64_t xcr0)
{
	static const struct kvm_cpuid_entry2 nothing;
	const struct kvm_cpuid_entry2 *entry =
		kvm_cpuid_find(host, wanted->function, wanted->index);

	if (!entry)
		entry = &nothing;
	if (wanted->function == 0)
		check_vendor(list, wanted, entry);
	if (wanted->function == 0xd && wanted->index >= 2 && wanted->index < 63 &&
	    xcr0 >> wanted->index & 1)
		check_xsave_component(list, wanted, entry);
	for (enum cpu_register reg = CPU_EAX; reg <= CPU_EDX; reg++) {
		const uint32_t want[] = {wanted->eax, wanted->ebx, wanted->ecx, wanted->edx};
		const uint32_t have[] = {entry->eax, entry->ebx, entry->ecx, entry->edx};
		uint32_t features = cpu_feature_mask(wanted->function, wanted->index, reg);

		check_feature_bits(list, wanted->function, wanted->index, reg,
				   want[reg] & ~have[reg] & features);
	}
}

static int bad_platform(struct xm_error *err, const char *name)
{
	return xm_fail(err, XM_KIND_DATA, -EBADMSG,
		       "platform section %s is missing, or has a wrong version or size", name);
}

static const struct hv_section *find_section(const struct hv_state *platform, const char *name,
					     size_t size_min, size_t size_max, size_t multiple)
{
	const struct hv_section *section = hv_state_find(platform, name, 0);

	if (!section || section->version != KVM_STATE_VERSION || section->size < size_min ||
	    section->size > size_max || section->size % multiple)
		return NULL;
	return section;
}

static int check_cpuid(const struct hv_state *platform, int kvm_fd, struct differences *list,
		       struct xm_error *err)
{
	const struct hv_section *section = find_section(
		platform, "cpuid", sizeof(struct kvm_cpuid_entry2),
		KVM_CPUID_MAX * sizeof(struct kvm_cpuid_entry2), sizeof(struct kvm_cpuid_entry2));
	struct kvm_cpuid_table wanted, host;
	int rc;

	if (!section)
		return bad_platform(err, "cpuid");
	rc = kvm_cpuid_host(kvm_fd, &host, err);
	if (rc)
		return rc;
	kvm_cpuid_for_vcpu(&host, 0, 2); /* so that leaves 1 and 0xb are as a guest has them */
	wanted.nent = section->size / sizeof(wanted.entries[0]);
	memcpy(wanted.entries, section->data, section->size);
	for (uint32_t i = 0; i < wanted.nent; i++)
		check_entry(list, &wanted.entries[i], &host, kvm_cpuid_xcr0(&wanted));
	return 0;
}

static int check_msrs(const struct hv_state *platform, int kvm_fd, struct differences *list,
		      struct xm_error *err)
{
	const struct hv_section *section = find_section(
		platform, "msrs", 0, KVM_MSRS_MAX * sizeof(uint32_t), sizeof(uint32_t));
	struct kvm_msr_list_fixed host;
	int rc;

	if (!section)
		return bad_platform(err, "msrs");
	rc = kvm_msr_list(kvm_fd, &host, err);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < section->size / sizeof(uint32_t); i++) {
		bool found = false;
		uint32_t index;

		memcpy(&index, section->data + i * sizeof(index), sizeof(index));
		for (uint32_t n = 0; n < host.nmsrs && !found; n++)
			found = host.indices[n] == index;
		if (!found)
			differs(list, "this host's KVM does not keep MSR 0x%" PRIx32, index);
	}
	return 0;
}

static int host_tsc_khz(int kvm_fd)
{
	cleanup_close int vm = kvm_ioctl(kvm_fd, KVM_CREATE_VM, NULL);
	cleanup_close int vcpu = vm < 0 ? -1 : kvm_ioctl(vm, KVM_CREATE_VCPU, NULL);

	return vcpu < 0 ? vcpu : kvm_ioctl(vcpu, KVM_GET_TSC_KHZ, NULL);
}

static int check_tsc(const struct hv_state *platform, int kvm_fd, struct differences *list,
		     struct xm_error *err)
{
	const struct hv_section *section = find_section(platform, "tsc", sizeof(struct tsc_section),
							sizeof(struct tsc_section), 1);
	struct tsc_section wanted;
	int khz = host_tsc_khz(kvm_fd);
	uint64_t difference;

	if (!section)
		return bad_platform(err, "tsc");
	if (khz <= 0)
		return xm_fail(err, XM_KIND_HOST, -EIO,
			       "KVM does not know this host's TSC frequency");
	memcpy(&wanted, section->data, sizeof(wanted));
	difference = wanted.khz > (uint32_t)khz ? wanted.khz - (uint32_t)khz
						: (uint32_t)khz - wanted.khz;
	if (difference * 1000000 > (uint64_t)khz * TSC_TOLERANCE_PPM &&
	    kvm_ioctl(kvm_fd, KVM_CHECK_EXTENSION, (void *)(uintptr_t)KVM_CAP_TSC_CONTROL) <= 0)
		differs(list,
			"the domain's TSC runs at %" PRIu32 " kHz, this host's at %d kHz, and "
			"its CPU cannot scale it",
			wanted.khz, khz);
	return 0;
}

static int check_shape(const struct hv_state *platform, int kvm_fd, struct differences *list,
		       struct xm_error *err)
{
	const struct hv_section *section =
		find_section(platform, "shape", sizeof(struct kvm_shape_section),
			     sizeof(struct kvm_shape_section), 1);
	uint64_t host_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	int vcpus_max =
		kvm_ioctl(kvm_fd, KVM_CHECK_EXTENSION, (void *)(uintptr_t)KVM_CAP_MAX_VCPUS);
	struct kvm_shape_section shape;

	if (!section)
		return bad_platform(err, "shape");
	memcpy(&shape, section->data, sizeof(shape));
	if (vcpus_max > HV_VCPUS_MAX)
		vcpus_max = HV_VCPUS_MAX;
	if (shape.vcpus == 0 || shape.vcpus > (uint32_t)vcpus_max)
		differs(list, "the domain has %" PRIu32 " vCPUs, this host can give it 1 to %d",
			shape.vcpus, vcpus_max);
	if (shape.memory_bytes < HV_MEMORY_BYTES_MIN || shape.memory_bytes > HV_MEMORY_BYTES_MAX ||
	    shape.memory_bytes > host_bytes)
		differs(list, "the domain has %" PRIu64 " MiB of memory, this host %" PRIu64 " MiB",
			shape.memory_bytes >> 20, host_bytes >> 20);
	return 0;
}

static int check_xsave(const struct hv_state *platform, int kvm_fd, struct differences *list,
		       struct xm_error *err)
{
	const struct hv_section *section =
		find_section(platform, "xsave", sizeof(uint32_t), sizeof(uint32_t), 1);
	int host = kvm_ioctl(kvm_fd, KVM_CHECK_EXTENSION, (void *)(uintptr_t)KVM_CAP_XSAVE2);
	uint32_t wanted;

	if (!section)
		return bad_platform(err, "xsave");
	if (host < (int)sizeof(struct kvm_xsave))
		host = sizeof(struct kvm_xsave);
	memcpy(&wanted, section->data, sizeof(wanted));
	if (wanted > (uint32_t)host)
		differs(list, "the domain's XSAVE area has %" PRIu32 " bytes, this host's %d",
			wanted, host);
	return 0;
}

int hv_platform_check(const struct hv_state *platform, struct xm_error *err)
{
	struct differences list = {0};
	cleanup_close int kvm_fd = -1;
	int rc = kvm_open(&kvm_fd, err);

	if (!rc)
		rc = check_shape(platform, kvm_fd, &list, err);
	if (!rc)
		rc = check_tsc(platform, kvm_fd, &list, err);
	if (!rc)
		rc = check_cpuid(platform, kvm_fd, &list, err);
	if (!rc)
		rc = check_msrs(platform, kvm_fd, &list, err);
	if (!rc)
		rc = check_xsave(platform, kvm_fd, &list, err);
	if (rc || list.count == 0)
		return rc;
	return xm_fail(err, XM_KIND_REFUSED, -ENOTSUP,
		       "this host cannot run the domain; %u difference%s:%s", list.count,
		       list.count == 1 ? "" : "s", list.text);
}
