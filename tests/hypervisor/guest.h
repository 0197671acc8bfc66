/* SPDX-License-Identifier: Apache-2.0 */
/* What tests and their payload (guest.c) say to each other. */
#ifndef XM_TESTS_HYPERVISOR_GUEST_H
#define XM_TESTS_HYPERVISOR_GUEST_H

#include <stdint.h>

/*
 * With the argument "command", vCPU 0 obeys commands from the console and acknowledges each by
 * one '.'; the others wait. With "count", each vCPU counts, see struct counter.
 */
enum guest_op {
	GUEST_WRITE = 1,  /* one u64 into each of `count` pages from `gpa` */
	GUEST_EXIT,	  /* with code `count` */
	GUEST_FAULT,	  /* an invalid instruction */
	GUEST_BAD_BLOCK,  /* CONSOLE_WRITE with its block at `count` */
	GUEST_BAD_BUFFER, /* CONSOLE_WRITE of a buffer at `gpa`, `count` bytes */
	GUEST_BAD_PORT,	  /* output to a port without device */
	GUEST_MMIO,	  /* a read at `gpa` */
	GUEST_SPIN,	  /* counts in the u64 at `gpa`, for ever */
	GUEST_REPORT,	  /* publishes `count` times 'r' */
	GUEST_WAIT,	  /* for `count` ms, by as many WAITs as it takes; answers 'W' */
	GUEST_WAIT_ONCE,  /* one WAIT of `count` ms; answers 'E' if it came back early */
};

struct guest_command {
	uint32_t op;
	uint32_t count;
	uint64_t gpa;
};

#define GUEST_COUNTERS_GPA 0xc00000ull /* struct counter of vCPU n at + n * 4096 */
#define GUEST_PAGES_GPA	   0xd00000ull /* page k of vCPU n at + (n * GUEST_PAGES + k) * 4096 */
#define GUEST_PAGES	   128u
#define GUEST_WRONG	   99 /* exit code when something was not as it should be */

/*
 * Step s checks that page s % GUEST_PAGES holds what step s - GUEST_PAGES wrote there, and that
 * the four lanes of a vector register that is never in memory, and a general register, are s as
 * well; then writes s. The vCPU exits with GUEST_WRONG at the first difference.
 */
struct counter {
	uint64_t steps;
	uint64_t vector; /* bits of the vector register's lanes: 128 or 256 */
};

#endif
