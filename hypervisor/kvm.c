/* SPDX-License-Identifier: Apache-2.0 */
/* Creates and destroys domains on KVM, after checking that the host's KVM has what we need. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/bitmap.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "hypervisor/kvm_internal.h"

/* Three pages that VMX needs below 4 GiB for real mode, and one for its identity map; guests
 * have no memory there. */
#define IDENTITY_MAP_GPA 0xfffbc000ull
#define TSS_GPA		 0xfffbd000ull

static const struct {
	int number;
	const char *name;
} needed_capabilities[] = {
	{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
	{KVM_CAP_PIT2, "KVM_CAP_PIT2"},
	{KVM_CAP_PIT_STATE2, "KVM_CAP_PIT_STATE2"},
	{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
	{KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
	{KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR"},
	{KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
	{KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
	{KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
	{KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS"},
	{KVM_CAP_XSAVE, "KVM_CAP_XSAVE"},
	{KVM_CAP_XCRS, "KVM_CAP_XCRS"},
	{KVM_CAP_ADJUST_CLOCK, "KVM_CAP_ADJUST_CLOCK"},
	{KVM_CAP_GET_TSC_KHZ, "KVM_CAP_GET_TSC_KHZ"},
	{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
};

int kvm_ioctl(int fd, unsigned long request, void *argument)
{
	int rc;

	do {
		rc = ioctl(fd, request, argument);
	} while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : rc;
}

int kvm_open(int *ret_fd, struct xm_error *err)
{
	cleanup_close int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int version;

	if (fd < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno,
				     "cannot open /dev/kvm (is the kvm module loaded, is "
				     "virtualisation on in the firmware, are you in group kvm?)");
	version = kvm_ioctl(fd, KVM_GET_API_VERSION, NULL);
	if (version != KVM_API_VERSION)
		return xm_fail(err, XM_KIND_HOST, -ENOTSUP,
			       "/dev/kvm speaks version %d of its interface, not %d", version,
			       KVM_API_VERSION);
	*ret_fd = xm_steal_fd(&fd);
	return 0;
}

static int check_capabilities(int kvm_fd, struct xm_error *err)
{
	size_t count = sizeof(needed_capabilities) / sizeof(needed_capabilities[0]);

	for (size_t i = 0; i < count; i++) {
		uintptr_t number = (uintptr_t)needed_capabilities[i].number;

		if (kvm_ioctl(kvm_fd, KVM_CHECK_EXTENSION, (void *)number) <= 0)
			return xm_fail(err, XM_KIND_HOST, -ENOTSUP,
				       "this host's KVM lacks %s; a newer kernel is needed",
				       needed_capabilities[i].name);
	}
	return 0;
}

static int check_config(const struct hv_config *config, struct xm_error *err)
{
	if (config->memory_bytes < HV_MEMORY_BYTES_MIN ||
	    config->memory_bytes > HV_MEMORY_BYTES_MAX || config->memory_bytes % (2ull << 20))
		return xm_fail(
			err, XM_KIND_CONFIG, -EINVAL,
			"a domain's memory must be %llu MiB to %llu MiB, a multiple of 2 MiB; "
			"not %" PRIu64 " bytes",
			HV_MEMORY_BYTES_MIN >> 20, HV_MEMORY_BYTES_MAX >> 20, config->memory_bytes);
	if (config->vcpus < 1 || config->vcpus > HV_VCPUS_MAX)
		return xm_fail(err, XM_KIND_CONFIG, -EINVAL, "a domain has 1 to %d vCPUs, not %u",
			       HV_VCPUS_MAX, config->vcpus);
	if (config->huge_page_bytes && config->huge_page_bytes != 1ull << 21 &&
	    config->huge_page_bytes != 1ull << 30)
		return xm_fail(err, XM_KIND_CONFIG, -EINVAL,
			       "huge pages have 2 MiB or 1 GiB, not %" PRIu64 " bytes",
			       config->huge_page_bytes);
	if (config->huge_page_bytes && config->memory_bytes % config->huge_page_bytes)
		return xm_fail(err, XM_KIND_CONFIG, -EINVAL,
			       "%" PRIu64 " MiB of memory do not consist of whole huge pages",
			       config->memory_bytes >> 20);
	if (config->log_kind > HV_LOG_RING)
		return xm_fail(err, XM_KIND_CONFIG, -EINVAL, "log-dirty kind %u does not exist",
			       config->log_kind);
	if (config->ring_entries & (config->ring_entries - 1))
		return xm_fail(err, XM_KIND_CONFIG, -EINVAL,
			       "a dirty ring's entries must be a power of two, not %u",
			       config->ring_entries);
	return 0;
}

static int create_vm(struct kvm_domain *domain, struct xm_error *err)
{
	uint64_t identity = IDENTITY_MAP_GPA;
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
	int vm = kvm_ioctl(domain->kvm_fd, KVM_CREATE_VM, NULL);
	int rc;

	if (vm < 0)
		return xm_fail_errno(err, XM_KIND_HOST, vm, "KVM_CREATE_VM");
	domain->vm_fd = vm;
	rc = kvm_ioctl(vm, KVM_SET_TSS_ADDR, (void *)TSS_GPA);
	if (rc < 0)
		return xm_fail_errno(err, XM_KIND_HOST, rc, "KVM_SET_TSS_ADDR");
	rc = kvm_ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	if (rc < 0)
		return xm_fail_errno(err, XM_KIND_HOST, rc, "KVM_SET_IDENTITY_MAP_ADDR");
	rc = kvm_ioctl(vm, KVM_CREATE_IRQCHIP, NULL);
	if (rc < 0)
		return xm_fail_errno(err, XM_KIND_HOST, rc, "KVM_CREATE_IRQCHIP");
	rc = kvm_ioctl(vm, KVM_CREATE_PIT2, &pit);
	if (rc < 0)
		return xm_fail_errno(err, XM_KIND_HOST, rc, "KVM_CREATE_PIT2");
	return 0;
}

static int create_vcpus(struct kvm_domain *domain, struct xm_error *err)
{
	unsigned count = domain->base.config.vcpus;
	struct kvm_cpuid_table host;
	int rc = kvm_cpuid_host(domain->kvm_fd, &host, err);

	if (rc)
		return rc;
	domain->vcpus = calloc(count, sizeof(*domain->vcpus));
	if (!domain->vcpus)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory for %u vCPUs", count);
	for (unsigned i = 0; i < count; i++) {
		rc = kvm_vcpu_create(domain, i, &host, err);
		if (rc)
			return rc;
	}
	return 0;
}

static void kvm_destroy(struct hv_domain *base)
{
	struct kvm_domain *domain = kvm_domain(base);

	kvm_run_quit(domain);
	for (unsigned i = 0; i < domain->vcpu_count; i++)
		kvm_vcpu_destroy(&domain->vcpus[i]);
	free(domain->vcpus);
	if (domain->vm_fd >= 0)
		close(domain->vm_fd);
	kvm_memory_destroy(domain);
	if (domain->kvm_fd >= 0)
		close(domain->kvm_fd);
	kvm_log_finish(domain);
	kvm_run_finish(domain);
	hv_device_finish(&domain->device);
	free(domain->xsave);
	free(domain);
}

static void kvm_mark_dirty(struct hv_domain *base, unsigned region, uint64_t first, uint64_t count)
{
	kvm_log_mark(base, region, first, count);
}

static size_t kvm_console_input(struct hv_domain *base, const void *data, size_t size)
{
	struct kvm_domain *domain = kvm_domain(base);
	size_t taken = hv_device_input(&domain->device, data, size);

	kvm_run_wake_waiters(domain);
	return taken;
}

static uint64_t kvm_report(struct hv_domain *base, char *buffer, size_t size)
{
	return hv_device_report(&kvm_domain(base)->device, buffer, size);
}

static uint32_t kvm_tsc_khz(const struct hv_domain *base)
{
	return ((const struct kvm_domain *)base)->tsc_khz;
}

static const struct hv_ops kvm_ops = {
	.destroy = kvm_destroy,
	.memory_present = kvm_memory_present,
	.memory_next_present = kvm_memory_next_present,
	.memory_populate = kvm_memory_populate,
	.log_start = kvm_log_start,
	.log_clean = kvm_log_clean,
	.log_peek = kvm_log_peek,
	.log_stop = kvm_log_stop,
	.log_counts_vcpus = kvm_log_counts_vcpus,
	.log_vcpu_pages = kvm_log_vcpu_pages,
	.pause = kvm_pause,
	.resume = kvm_resume,
	.paused = kvm_paused,
	.throttle = kvm_throttle,
	.vcpu_stats = kvm_vcpu_stats,
	.state_save = kvm_state_save,
	.state_load = kvm_state_load,
	.platform_describe = kvm_platform_describe,
	.tsc_khz = kvm_tsc_khz,
	.enter = kvm_enter,
	.mark_dirty = kvm_mark_dirty,
	.console_input = kvm_console_input,
	.report = kvm_report,
};

static struct kvm_domain *allocate(const struct hv_config *config)
{
	struct kvm_domain *domain = calloc(1, sizeof(*domain));

	if (!domain)
		return NULL;
	domain->base.ops = &kvm_ops;
	domain->base.config = *config;
	if (config->log_kind == HV_LOG_DEFAULT) /* docs/log-dirty.md */
		domain->base.config.log_kind = HV_LOG_BITMAP;
	if (domain->base.config.log_kind == HV_LOG_RING && config->ring_entries == 0)
		domain->base.config.ring_entries = KVM_RING_DEFAULT;
	domain->kvm_fd = domain->vm_fd = -1;
	hv_device_init(&domain->device);
	kvm_run_init(domain);
	kvm_log_init(domain);
	return domain;
}

/* Each step needs those before it: the log's kind is fixed before vCPUs exist. */
static int build(struct kvm_domain *domain, struct xm_error *err)
{
	int rc = kvm_open(&domain->kvm_fd, err);

	if (!rc)
		rc = check_capabilities(domain->kvm_fd, err);
	if (!rc)
		rc = create_vm(domain, err);
	if (!rc)
		rc = domain->log.ops->enable(domain, err);
	if (!rc)
		rc = kvm_memory_create(domain, err);
	if (!rc)
		rc = create_vcpus(domain, err);
	if (!rc)
		rc = kvm_state_prepare(domain, err);
	for (unsigned i = 0; i < domain->vcpu_count && !rc; i++)
		rc = kvm_vcpu_start(&domain->vcpus[i], err);
	return rc;
}

int hv_create(const struct hv_config *config, struct hv_domain **ret_domain, struct xm_error *err)
{
	struct kvm_domain *domain;
	int rc = check_config(config, err);

	if (!rc)
		rc = kvm_run_install_signal(err);
	if (rc)
		return rc;
	domain = allocate(config);
	if (!domain)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory for a domain");
	rc = build(domain, err);
	if (rc) {
		kvm_destroy(&domain->base);
		return rc;
	}
	*ret_domain = &domain->base;
	return 0;
}
