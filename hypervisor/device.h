/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of a payload: a console and a report, behind the ports of docs/guest-payloads.md.
 * They know no backend; what they ask of the domain are hv_dma_begin/end, the guest's TSC
 * and waiting.
 */
#ifndef XM_HYPERVISOR_DEVICE_H
#define XM_HYPERVISOR_DEVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hypervisor/hypervisor.h"

#define HV_CONSOLE_INPUT_MAX 4096 /* bytes of input that wait for the guest */
#define HV_CONSOLE_WRITE_MAX 4096 /* bytes of one CONSOLE_WRITE */

enum hv_port {
	HV_PORT_CONSOLE_WRITE = 0x510,
	HV_PORT_CONSOLE_READ = 0x514,
	HV_PORT_WAIT = 0x518,
	HV_PORT_REPORT = 0x51c,
	HV_PORT_EXIT = 0x520,
};

struct hv_device {
	pthread_mutex_t lock;

	/* Guarded by `lock`; `pending` may also be read without, as a hint that input waits. */
	uint8_t input[HV_CONSOLE_INPUT_MAX];
	_Atomic uint32_t pending; /* bytes in `input`, from its beginning */
	uint64_t report_sequence;
	uint32_t report_size;
	char report[HV_REPORT_MAX];
};

/* What the call needs of the backend. */
struct hv_call_ops {
	uint64_t (*tsc)(void *opaque);
	/* Until the guest's TSC should have reached `tsc`, or input is pending, or the vCPU is wanted
	 * for something else. Once: where the host's TSC is unstable, KVM moves a guest's on only
	 * while the vCPU is in the guest. */
	void (*wait)(void *opaque, uint64_t now, uint64_t tsc);
};

/* What the vCPU does after a call. */
enum hv_call_result {
	HV_CALL_DONE,
	HV_CALL_EXIT,	 /* the guest ended itself, by ret_code */
	HV_CALL_INVALID, /* the guest broke the contract, `err` says how */
};

void hv_device_init(struct hv_device *device);
void hv_device_finish(struct hv_device *device);

/* A 32-bit `out` of `value` to `port`, on a vCPU's thread. */
enum hv_call_result hv_device_call(struct hv_domain *domain, struct hv_device *device,
				   uint16_t port, uint32_t value, const struct hv_call_ops *ops,
				   void *opaque, uint32_t *ret_code, struct xm_error *err);

size_t hv_device_input(struct hv_device *device, const void *data, size_t size);
size_t hv_device_read_input(struct hv_device *device, void *buffer, size_t size);
void hv_device_publish(struct hv_device *device, const char *text, uint32_t size);
uint64_t hv_device_report(struct hv_device *device, char *buffer, size_t size);

/* The sections "console" and "report". Loading checks sizes; nothing changes on failure. */
int hv_device_save(struct hv_device *device, struct hv_state *state, struct xm_error *err);
int hv_device_load_console(struct hv_device *device, const struct hv_section *section,
			   struct xm_error *err);
int hv_device_load_report(struct hv_device *device, const struct hv_section *section,
			  struct xm_error *err);

#endif
