/* SPDX-License-Identifier: Apache-2.0 */
/* The sections of what a domain has one of: shape, interrupt controllers, PIT, clock, devices. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "common/error.h"
#include "hypervisor/kvm_state.h"

static int save_shape(struct kvm_domain *domain, uint32_t instance, struct hv_state *state,
		      const char *name, struct xm_error *err)
{
	struct kvm_shape_section shape = {.memory_bytes = domain->base.config.memory_bytes,
					  .vcpus = domain->base.config.vcpus};

	return kvm_state_add(state, name, instance, 0, &shape, sizeof(shape), err);
}

static int load_shape(struct kvm_domain *domain, const struct hv_section *section,
		      struct xm_error *err)
{
	struct kvm_shape_section shape;

	memcpy(&shape, section->data, sizeof(shape));
	if (shape.memory_bytes == domain->base.config.memory_bytes &&
	    shape.vcpus == domain->base.config.vcpus)
		return 0;
	return xm_fail(err, XM_KIND_DATA, -EBADMSG,
		       "the state is of a domain with %" PRIu64 " MiB and %" PRIu32
		       " vCPUs, and this one has %" PRIu64 " MiB and %u",
		       shape.memory_bytes >> 20, shape.vcpus,
		       domain->base.config.memory_bytes >> 20, domain->base.config.vcpus);
}

static int save_irqchip(struct kvm_domain *domain, uint32_t instance, struct hv_state *state,
			const char *name, struct xm_error *err)
{
	struct kvm_irqchip chip = {.chip_id = instance};
	int rc = kvm_ioctl(domain->vm_fd, KVM_GET_IRQCHIP, &chip);

	return kvm_state_add(state, name, instance, rc, &chip.chip, sizeof(chip.chip), err);
}

static int load_irqchip(struct kvm_domain *domain, const struct hv_section *section,
			struct xm_error *err)
{
	struct kvm_irqchip chip = {.chip_id = section->instance};
	int rc;

	memcpy(&chip.chip, section->data, sizeof(chip.chip));
	rc = kvm_ioctl(domain->vm_fd, KVM_SET_IRQCHIP, &chip);
	return rc < 0 ? kvm_load_error(section, "KVM_SET_IRQCHIP", rc, err) : 0;
}

static int save_pit(struct kvm_domain *domain, uint32_t instance, struct hv_state *state,
		    const char *name, struct xm_error *err)
{
	struct kvm_pit_state2 pit;
	int rc = kvm_ioctl(domain->vm_fd, KVM_GET_PIT2, &pit);

	return kvm_state_add(state, name, instance, rc, &pit, sizeof(pit), err);
}

static int load_pit(struct kvm_domain *domain, const struct hv_section *section,
		    struct xm_error *err)
{
	struct kvm_pit_state2 pit;
	int rc;

	memcpy(&pit, section->data, sizeof(pit));
	rc = kvm_ioctl(domain->vm_fd, KVM_SET_PIT2, &pit);
	return rc < 0 ? kvm_load_error(section, "KVM_SET_PIT2", rc, err) : 0;
}

static uint64_t realtime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * XM_NS_PER_S + (uint64_t)now.tv_nsec;
}

static int save_clock(struct kvm_domain *domain, uint32_t instance, struct hv_state *state,
		      const char *name, struct xm_error *err)
{
	struct kvm_clock_data clock = {0};
	int rc = kvm_ioctl(domain->vm_fd, KVM_GET_CLOCK, &clock);
	struct kvm_clock_section section = {
		.kvm_clock_ns = clock.clock,
		.realtime_ns = clock.flags & KVM_CLOCK_REALTIME ? clock.realtime : realtime_ns(),
	};

	return kvm_state_add(state, name, instance, rc, &section, sizeof(section), err);
}

/* The clock went on while the domain was on its way; and never backwards, should this host's
 * real time be behind the other's. */
static int load_clock(struct kvm_domain *domain, const struct hv_section *section,
		      struct xm_error *err)
{
	struct kvm_clock_section saved;
	struct kvm_clock_data clock = {0};
	uint64_t now = realtime_ns();
	int rc;

	memcpy(&saved, section->data, sizeof(saved));
	clock.clock = saved.kvm_clock_ns;
	if (now > saved.realtime_ns)
		clock.clock += now - saved.realtime_ns;
	rc = kvm_ioctl(domain->vm_fd, KVM_SET_CLOCK, &clock);
	return rc < 0 ? kvm_load_error(section, "KVM_SET_CLOCK", rc, err) : 0;
}

/* Console and report in one: hv_device_save() adds both sections. */
static int save_devices(struct kvm_domain *domain, uint32_t instance, struct hv_state *state,
			const char *name, struct xm_error *err)
{
	(void)instance;
	(void)name;
	return hv_device_save(&domain->device, state, err);
}

static int save_nothing(struct kvm_domain *domain, uint32_t instance, struct hv_state *state,
			const char *name, struct xm_error *err)
{
	(void)domain;
	(void)instance;
	(void)state;
	(void)name;
	(void)err;
	return 0;
}

static int load_console(struct kvm_domain *domain, const struct hv_section *section,
			struct xm_error *err)
{
	return hv_device_load_console(&domain->device, section, err);
}

static int load_report(struct kvm_domain *domain, const struct hv_section *section,
		       struct xm_error *err)
{
	return hv_device_load_report(&domain->device, section, err);
}

#define EXACTLY(type) sizeof(type), sizeof(type)

const struct kvm_section_kind kvm_vm_sections[] = {
	{"shape", KVM_SECTION_DOMAIN, EXACTLY(struct kvm_shape_section), save_shape, load_shape,
	 NULL},
	{"irqchip", KVM_SECTION_IRQCHIP, EXACTLY(((struct kvm_irqchip *)0)->chip), save_irqchip,
	 load_irqchip, NULL},
	{"pit", KVM_SECTION_DOMAIN, EXACTLY(struct kvm_pit_state2), save_pit, load_pit, NULL},
	{"clock", KVM_SECTION_DOMAIN, EXACTLY(struct kvm_clock_section), save_clock, load_clock,
	 NULL},
	{"console", KVM_SECTION_DOMAIN, 0, HV_CONSOLE_INPUT_MAX, save_devices, load_console, NULL},
	{"report", KVM_SECTION_DOMAIN, sizeof(uint64_t), sizeof(uint64_t) + HV_REPORT_MAX - 1,
	 save_nothing, load_report, NULL},
};

const unsigned kvm_vm_section_count = sizeof(kvm_vm_sections) / sizeof(kvm_vm_sections[0]);
