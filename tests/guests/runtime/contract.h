/* SPDX-License-Identifier: Apache-2.0 */
/* The payload's side of docs/guest-payloads.md: start information and call blocks, as they lie
 * in memory. */
#ifndef XM_TESTS_GUESTS_CONTRACT_H
#define XM_TESTS_GUESTS_CONTRACT_H

#include <stdint.h>

#define CONTRACT_MAGIC	     0x0054524154534d58ull
#define CONTRACT_VERSION     1u
#define CONTRACT_REGIONS_MAX 8u
#define CONTRACT_WRITE_MAX   4096u

enum contract_port {
	CONTRACT_CONSOLE_WRITE = 0x510,
	CONTRACT_CONSOLE_READ = 0x514,
	CONTRACT_WAIT = 0x518,
	CONTRACT_REPORT = 0x51c,
	CONTRACT_EXIT = 0x520,
};

struct start_region {
	uint64_t gpa;
	uint64_t size;
};

struct start_info {
	uint64_t magic;
	uint32_t version;
	uint32_t vcpus;
	uint64_t free_gpa;
	uint64_t tsc_khz;
	uint64_t args_gpa;
	uint32_t region_count;
	uint32_t zero;
	struct start_region regions[CONTRACT_REGIONS_MAX];
};

_Static_assert(sizeof(struct start_info) == 48 + 16 * CONTRACT_REGIONS_MAX, "start information");

/* CONSOLE_WRITE, CONSOLE_READ and REPORT. */
struct buffer_block {
	uint64_t gpa;
	uint32_t size;
	uint32_t done;
};

struct wait_block {
	uint64_t tsc;
	uint64_t now;
};

#endif
