/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls of a payload. The argument block and all buffers are in guest memory, which other
 * vCPUs may change meanwhile: each is copied once, and the copy is checked and used.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/error.h"
#include "hypervisor/backend.h"
#include "hypervisor/device.h"

struct transfer_block { /* CONSOLE_WRITE, CONSOLE_READ and REPORT */
	uint64_t gpa;
	uint32_t size;
	uint32_t done;
};

struct wait_block {
	uint64_t tsc;
	uint64_t now;
};

#define BLOCK_BYTES 16

_Static_assert(sizeof(struct transfer_block) == BLOCK_BYTES, "docs/guest-payloads.md");
_Static_assert(sizeof(struct wait_block) == BLOCK_BYTES, "docs/guest-payloads.md");

static int copy_from_guest(struct hv_domain *domain, uint64_t gpa, void *buffer, uint64_t size,
			   struct xm_error *err)
{
	void *host;
	int rc = hv_dma_begin(domain, gpa, size, &host, err);

	if (rc)
		return rc;
	memcpy(buffer, host, size);
	hv_dma_end(domain, gpa, size, false);
	return 0;
}

/*
 * vCPUs and an engine that copies memory may read these bytes meanwhile, hence the atomic stores. An engine
 * that sees half of them copies the page again: hv_dma_end() comes after the last one.
 */
static void store(uint8_t *to, const uint8_t *from, uint64_t size)
{
	for (uint64_t i = 0; i < size; i++)
		__atomic_store_n(&to[i], from[i], __ATOMIC_RELAXED);
}

static int copy_to_guest(struct hv_domain *domain, uint64_t gpa, const void *buffer, uint64_t size,
			 struct xm_error *err)
{
	void *host;
	int rc = hv_dma_begin(domain, gpa, size, &host, err);

	if (rc)
		return rc;
	store(host, buffer, size);
	hv_dma_end(domain, gpa, size, true);
	return 0;
}

static int read_block(struct hv_domain *domain, uint32_t gpa, void *block, struct xm_error *err)
{
	if (gpa % 8)
		return xm_fail(err, XM_KIND_DATA, -EFAULT,
			       "the argument block at 0x%" PRIx32 " is not aligned to 8 bytes",
			       gpa);
	return copy_from_guest(domain, gpa, block, BLOCK_BYTES, err);
}

static int check_size(const struct transfer_block *block, uint32_t max, struct xm_error *err)
{
	if (block->size <= max)
		return 0;
	xm_fail(err, XM_KIND_DATA, -EMSGSIZE,
		"its buffer has %" PRIu32 " bytes, more than the %" PRIu32
		" that one call may have",
		block->size, max);
	return -EMSGSIZE;
}

static int console_write(struct hv_domain *domain, uint32_t gpa, struct xm_error *err)
{
	const struct hv_callbacks *callbacks = &domain->config.callbacks;
	uint8_t data[HV_CONSOLE_WRITE_MAX];
	struct transfer_block block;
	int rc = read_block(domain, gpa, &block, err);

	if (!rc)
		rc = check_size(&block, HV_CONSOLE_WRITE_MAX, err);
	if (!rc)
		rc = copy_from_guest(domain, block.gpa, data, block.size, err);
	if (rc)
		return rc;
	if (block.size && callbacks->on_console)
		callbacks->on_console(callbacks->opaque, data, block.size);
	block.done = block.size;
	return copy_to_guest(domain, gpa, &block, sizeof(block), err);
}

static int console_read(struct hv_domain *domain, struct hv_device *device, uint32_t gpa,
			struct xm_error *err)
{
	uint8_t data[HV_CONSOLE_INPUT_MAX];
	struct transfer_block block;
	void *host;
	int rc = read_block(domain, gpa, &block, err);

	if (!rc)
		rc = check_size(&block, HV_CONSOLE_INPUT_MAX, err);
	/* Checked before input is taken, so that none is lost on the way to a bad buffer. */
	if (!rc)
		rc = hv_dma_begin(domain, block.gpa, block.size, &host, err);
	if (rc)
		return rc;
	block.done = (uint32_t)hv_device_read_input(device, data, block.size);
	memcpy(host, data, block.done);
	hv_dma_end(domain, block.gpa, block.done, true);
	return copy_to_guest(domain, gpa, &block, sizeof(block), err);
}

static int report(struct hv_domain *domain, struct hv_device *device, uint32_t gpa,
		  struct xm_error *err)
{
	const struct hv_callbacks *callbacks = &domain->config.callbacks;
	char text[HV_REPORT_MAX];
	struct transfer_block block;
	int rc = read_block(domain, gpa, &block, err);

	if (!rc)
		rc = check_size(&block, HV_REPORT_MAX - 1, err);
	if (!rc)
		rc = copy_from_guest(domain, block.gpa, text, block.size, err);
	if (rc)
		return rc;
	hv_device_publish(device, text, block.size);
	if (callbacks->on_report)
		callbacks->on_report(callbacks->opaque);
	block.done = block.size;
	return copy_to_guest(domain, gpa, &block, sizeof(block), err);
}

static int wait_for_tsc(struct hv_domain *domain, struct hv_device *device, uint32_t gpa,
			const struct hv_call_ops *ops, void *opaque, struct xm_error *err)
{
	struct wait_block block;
	int rc = read_block(domain, gpa, &block, err);

	if (rc)
		return rc;
	block.now = ops->tsc(opaque);
	if (block.now < block.tsc && atomic_load(&device->pending) == 0) {
		ops->wait(opaque, block.now, block.tsc);
		block.now = ops->tsc(opaque);
	}
	return copy_to_guest(domain, gpa, &block, sizeof(block), err);
}

enum hv_call_result hv_device_call(struct hv_domain *domain, struct hv_device *device,
				   uint16_t port, uint32_t value, const struct hv_call_ops *ops,
				   void *opaque, uint32_t *ret_code, struct xm_error *err)
{
	const char *name;
	int rc;

	switch (port) {
	case HV_PORT_CONSOLE_WRITE:
		name = "CONSOLE_WRITE";
		rc = console_write(domain, value, err);
		break;
	case HV_PORT_CONSOLE_READ:
		name = "CONSOLE_READ";
		rc = console_read(domain, device, value, err);
		break;
	case HV_PORT_WAIT:
		name = "WAIT";
		rc = wait_for_tsc(domain, device, value, ops, opaque, err);
		break;
	case HV_PORT_REPORT:
		name = "REPORT";
		rc = report(domain, device, value, err);
		break;
	case HV_PORT_EXIT:
		*ret_code = value;
		return HV_CALL_EXIT;
	default:
		xm_fail(err, XM_KIND_DATA, -ENXIO, "no device is at port 0x%x", port);
		return HV_CALL_INVALID;
	}
	if (rc == 0)
		return HV_CALL_DONE;
	xm_context(err, "%s with argument block 0x%" PRIx32, name, value);
	return HV_CALL_INVALID;
}
