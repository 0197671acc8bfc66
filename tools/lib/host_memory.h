/* SPDX-License-Identifier: Apache-2.0 */
/* The host's memory as /proc/meminfo tells it: for the registry only. */
#ifndef XM_TOOLS_HOST_MEMORY_H
#define XM_TOOLS_HOST_MEMORY_H

#include "tools/lib/registry.h"

/* `path` NULL: /proc/meminfo. reserved_bytes is 0. Kind HOST. */
int xt_host_memory_read(const char *path, struct xt_host_memory *ret_memory, struct xm_error *err);

#endif
