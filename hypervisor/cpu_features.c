/* SPDX-License-Identifier: Apache-2.0 */
#include "hypervisor/cpu_features.h"

#include <stddef.h>

#define OSXSAVE (1u << 27) /* of leaf 1 ecx: what the guest did, not what the CPU has */

const char *cpu_register_name(enum cpu_register reg)
{
	static const char *const names[] = {"eax", "ebx", "ecx", "edx"};

	return names[reg];
}

static const struct feature_word {
	uint32_t function;
	uint32_t index;
	enum cpu_register reg;
	uint32_t mask;
	const char *names[32];
} words[] = {
	{1,
	 0,
	 CPU_ECX,
	 ~OSXSAVE,
	 {[0] = "sse3",
	  [1] = "pclmulqdq",
	  [3] = "monitor",
	  [9] = "ssse3",
	  [12] = "fma",
	  [13] = "cx16",
	  [17] = "pcid",
	  [19] = "sse4_1",
	  [20] = "sse4_2",
	  [21] = "x2apic",
	  [22] = "movbe",
	  [23] = "popcnt",
	  [24] = "tsc_deadline_timer",
	  [25] = "aes",
	  [26] = "xsave",
	  [28] = "avx",
	  [29] = "f16c",
	  [30] = "rdrand",
	  [31] = "hypervisor"}},
	{1,
	 0,
	 CPU_EDX,
	 ~0u,
	 {[0] = "fpu",
	  [4] = "tsc",
	  [5] = "msr",
	  [6] = "pae",
	  [8] = "cx8",
	  [9] = "apic",
	  [11] = "sep",
	  [12] = "mtrr",
	  [13] = "pge",
	  [15] = "cmov",
	  [16] = "pat",
	  [19] = "clflush",
	  [23] = "mmx",
	  [24] = "fxsr",
	  [25] = "sse",
	  [26] = "sse2",
	  [28] = "ht"}},
	{7,
	 0,
	 CPU_EBX,
	 ~0u,
	 {[0] = "fsgsbase",    [1] = "tsc_adjust",  [3] = "bmi1",     [4] = "hle",
	  [5] = "avx2",	       [7] = "smep",	    [8] = "bmi2",     [9] = "erms",
	  [10] = "invpcid",    [11] = "rtm",	    [14] = "mpx",     [16] = "avx512f",
	  [17] = "avx512dq",   [18] = "rdseed",	    [19] = "adx",     [20] = "smap",
	  [21] = "avx512ifma", [23] = "clflushopt", [24] = "clwb",    [28] = "avx512cd",
	  [29] = "sha_ni",     [30] = "avx512bw",   [31] = "avx512vl"}},
	{7,
	 0,
	 CPU_ECX,
	 ~0u,
	 {[1] = "avx512vbmi",
	  [2] = "umip",
	  [3] = "pku",
	  [5] = "waitpkg",
	  [6] = "avx512_vbmi2",
	  [7] = "shstk",
	  [8] = "gfni",
	  [9] = "vaes",
	  [10] = "vpclmulqdq",
	  [11] = "avx512_vnni",
	  [12] = "avx512_bitalg",
	  [14] = "avx512_vpopcntdq",
	  [16] = "la57",
	  [22] = "rdpid",
	  [27] = "movdiri",
	  [28] = "movdir64b"}},
	{7,
	 0,
	 CPU_EDX,
	 ~0u,
	 {[4] = "fsrm",
	  [10] = "md_clear",
	  [14] = "serialize",
	  [20] = "ibt",
	  [23] = "avx512_fp16",
	  [26] = "spec_ctrl",
	  [27] = "intel_stibp",
	  [28] = "flush_l1d",
	  [29] = "arch_capabilities",
	  [31] = "ssbd"}},
	{7,
	 1,
	 CPU_EAX,
	 ~0u,
	 {[4] = "avx_vnni",
	  [5] = "avx512_bf16",
	  [10] = "fzrm",
	  [11] = "fsrs",
	  [12] = "fsrc",
	  [23] = "avx_ifma"}},
	{0xd,
	 0,
	 CPU_EAX,
	 ~0u,
	 {[0] = "xcr0:x87",
	  [1] = "xcr0:sse",
	  [2] = "xcr0:avx",
	  [3] = "xcr0:bndregs",
	  [4] = "xcr0:bndcsr",
	  [5] = "xcr0:opmask",
	  [6] = "xcr0:zmm_hi256",
	  [7] = "xcr0:hi16_zmm",
	  [9] = "xcr0:pkru"}},
	{0xd, 0, CPU_EDX, ~0u, {NULL}},
	{0xd, 1, CPU_EAX, ~0u, {[0] = "xsaveopt", [1] = "xsavec", [2] = "xgetbv1", [3] = "xsaves"}},
	{0x80000001,
	 0,
	 CPU_ECX,
	 ~0u,
	 {[0] = "lahf_lm",
	  [5] = "abm",
	  [6] = "sse4a",
	  [7] = "misalignsse",
	  [8] = "3dnowprefetch",
	  [11] = "xop",
	  [16] = "fma4",
	  [21] = "tbm",
	  [22] = "topoext"}},
	{0x80000001,
	 0,
	 CPU_EDX,
	 ~0u,
	 {[11] = "syscall",
	  [20] = "nx",
	  [22] = "mmxext",
	  [25] = "fxsr_opt",
	  [26] = "pdpe1gb",
	  [27] = "rdtscp",
	  [29] = "lm"}},
	{0x80000007, 0, CPU_EDX, ~0u, {[8] = "invtsc"}},
	{0x80000008,
	 0,
	 CPU_EBX,
	 ~0u,
	 {[0] = "clzero",
	  [2] = "xsaveerptr",
	  [9] = "wbnoinvd",
	  [12] = "ibpb",
	  [14] = "ibrs",
	  [15] = "stibp",
	  [24] = "amd_ssbd",
	  [25] = "virt_ssbd"}},
	{0x40000001,
	 0,
	 CPU_EAX,
	 ~0u,
	 {[0] = "kvmclock",
	  [3] = "kvmclock2",
	  [4] = "kvm_asyncpf",
	  [5] = "kvm_steal_time",
	  [6] = "kvm_pv_eoi",
	  [7] = "kvm_pv_unhalt",
	  [9] = "kvm_pv_tlb_flush",
	  [11] = "kvm_pv_ipi"}},
};

static const struct feature_word *find(uint32_t function, uint32_t index, enum cpu_register reg)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i].function == function && words[i].index == index && words[i].reg == reg)
			return &words[i];
	return NULL;
}

uint32_t cpu_feature_mask(uint32_t function, uint32_t index, enum cpu_register reg)
{
	const struct feature_word *word = find(function, index, reg);

	return word ? word->mask : 0;
}

const char *cpu_feature_name(uint32_t function, uint32_t index, enum cpu_register reg, unsigned bit)
{
	const struct feature_word *word = find(function, index, reg);

	return word && bit < 32 ? word->names[bit] : NULL;
}
