/* SPDX-License-Identifier: Apache-2.0 */
/* Console input and the report: what waits between the guest and the outside, and moves with it. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "hypervisor/device.h"
#include "hypervisor/hypervisor.h"

#define SECTION_VERSION 1

void hv_device_init(struct hv_device *device)
{
	pthread_mutex_init(&device->lock, NULL);
	device->report_sequence = 0;
	device->report_size = 0;
	atomic_init(&device->pending, 0);
}

void hv_device_finish(struct hv_device *device)
{
	pthread_mutex_destroy(&device->lock);
}

size_t hv_device_input(struct hv_device *device, const void *data, size_t size)
{
	XM_LOCK_GUARD(&device->lock);
	uint32_t pending = atomic_load(&device->pending);
	size_t space = HV_CONSOLE_INPUT_MAX - pending;
	size_t taken = size < space ? size : space;

	if (taken)
		memcpy(device->input + pending, data, taken);
	atomic_store(&device->pending, pending + (uint32_t)taken);
	return taken;
}

size_t hv_device_read_input(struct hv_device *device, void *buffer, size_t size)
{
	XM_LOCK_GUARD(&device->lock);
	uint32_t pending = atomic_load(&device->pending);
	size_t taken = size < pending ? size : pending;

	memcpy(buffer, device->input, taken);
	memmove(device->input, device->input + taken, pending - taken);
	atomic_store(&device->pending, pending - (uint32_t)taken);
	return taken;
}

void hv_device_publish(struct hv_device *device, const char *text, uint32_t size)
{
	XM_LOCK_GUARD(&device->lock);

	memcpy(device->report, text, size);
	device->report_size = size;
	device->report_sequence++;
}

uint64_t hv_device_report(struct hv_device *device, char *buffer, size_t size)
{
	XM_LOCK_GUARD(&device->lock);

	if (size) {
		size_t length = device->report_size < size - 1 ? device->report_size : size - 1;

		memcpy(buffer, device->report, length);
		buffer[length] = '\0';
	}
	return device->report_sequence;
}

int hv_device_save(struct hv_device *device, struct hv_state *state, struct xm_error *err)
{
	uint8_t report[sizeof(uint64_t) + HV_REPORT_MAX];
	int rc;
	XM_LOCK_GUARD(&device->lock);

	rc = hv_state_add(state, "console", 0, SECTION_VERSION, device->input,
			  atomic_load(&device->pending), err);
	if (rc)
		return rc;
	memcpy(report, &device->report_sequence, sizeof(uint64_t));
	memcpy(report + sizeof(uint64_t), device->report, device->report_size);
	return hv_state_add(state, "report", 0, SECTION_VERSION, report,
			    sizeof(uint64_t) + device->report_size, err);
}

int hv_device_load_console(struct hv_device *device, const struct hv_section *section,
			   struct xm_error *err)
{
	if (section->size > HV_CONSOLE_INPUT_MAX)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "%" PRIu32
			       " bytes of console input are more than the %d there can be",
			       section->size, HV_CONSOLE_INPUT_MAX);
	XM_LOCK_GUARD(&device->lock);
	if (section->size)
		memcpy(device->input, section->data, section->size);
	atomic_store(&device->pending, section->size);
	return 0;
}

int hv_device_load_report(struct hv_device *device, const struct hv_section *section,
			  struct xm_error *err)
{
	if (section->size < sizeof(uint64_t) ||
	    section->size - sizeof(uint64_t) > HV_REPORT_MAX - 1)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "a report section of %" PRIu32 " bytes is too short or too long",
			       section->size);
	XM_LOCK_GUARD(&device->lock);
	memcpy(&device->report_sequence, section->data, sizeof(uint64_t));
	device->report_size = section->size - (uint32_t)sizeof(uint64_t);
	memcpy(device->report, section->data + sizeof(uint64_t), device->report_size);
	return 0;
}
