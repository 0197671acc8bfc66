/* SPDX-License-Identifier: Apache-2.0 */
/* What can be called over the control socket. */
#ifndef XM_TOOLS_VMM_CALLS_H
#define XM_TOOLS_VMM_CALLS_H

#include <jansson.h>

struct vmm;
struct xm_error;

/*
 * Carries out one request. `arguments` are its keys but "id" and "call", and may be changed; one that is left over
 * is an error. *fd is the descriptor that came along, or -1; a call that keeps it sets it to
 * -1. *ret_result is the caller's.
 */
int vmm_call(struct vmm *vmm, const char *call, json_t *arguments, int *fd, json_t **ret_result,
	     struct xm_error *err);

#endif
