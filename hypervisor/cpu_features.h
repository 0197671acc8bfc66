/* SPDX-License-Identifier: Apache-2.0 */
/* Which CPUID bits say that a CPU has something, and what people call them. */
#ifndef XM_HYPERVISOR_CPU_FEATURES_H
#define XM_HYPERVISOR_CPU_FEATURES_H

#include <stdint.h>

enum cpu_register { CPU_EAX, CPU_EBX, CPU_ECX, CPU_EDX };

const char *cpu_register_name(enum cpu_register reg);

/* The bits of that register that are features: a guest that has seen one set needs it. */
uint32_t cpu_feature_mask(uint32_t function, uint32_t index, enum cpu_register reg);

/* "avx2", as /proc/cpuinfo says it; NULL for a bit without a name here. */
const char *cpu_feature_name(uint32_t function, uint32_t index, enum cpu_register reg,
			     unsigned bit);

#endif
