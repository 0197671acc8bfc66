/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Known values in the vCPU's registers, so that a move which forgets one is caught.
 *
 * General registers: while the payload writes a page, spins or waits (hold.S), twelve of them hold
 * values that follow from its rolling checksum, and are compared with memory afterwards. (rax, rcx,
 * rdx, rsp and rip work there; losing one of those ends in a wrong page, a wild gap or a crash.)
 *
 * Vector and x87 registers: no payload code uses them (-mgeneral-regs-only), so they hold their
 * values all the time: XMM, YMM, ZMM and mask registers as far as XCR0 has them, the x87 stack,
 * MXCSR and the x87 control word. They are loaded by XRSTOR and fetched by XSAVE, compared and
 * renewed about every millisecond. Without OSXSAVE only the x87 control word is watched, since
 * nothing then says that SSE is enabled.
 */
#ifndef XM_TESTS_GUESTS_REGISTERS_H
#define XM_TESTS_GUESTS_REGISTERS_H

#include "faults.h"
#include "memory.h"

#include <stdint.h>

#define HELD_COUNT 12u

/* As hold.S knows it. */
struct held {
	uint64_t expected[HELD_COUNT];
	uint64_t found[HELD_COUNT];
};

/* Of one vCPU. */
struct registers {
	struct held held;
	struct faults *faults;
	unsigned vcpu;
	uint64_t mask;	   /* components of XSAVE in use; 0: no OSXSAVE */
	uint8_t *expected; /* XSAVE areas */
	uint8_t *found;
	uint32_t offsets[8]; /* of the components, in these areas */
	uint32_t sizes[8];
};

/* Takes its memory from `memory`. The registers are not loaded yet. */
void registers_init(struct registers *registers, unsigned vcpu, struct memory *memory,
		    struct faults *faults);

/* Call before they are loaded first: leaves what is wider than SSE alone. */
void registers_only_sse(struct registers *registers);

/* Loads the vector and x87 registers with values that follow from `value`, and compares them. */
void registers_load(struct registers *registers, uint64_t value);
void registers_check(struct registers *registers);

/* "none", "sse", "avx" or "avx512". */
const char *registers_vector(const struct registers *registers);

/* Sets what the general registers are to hold; says what they did not. */
static inline void held_set(struct held *held, uint64_t value)
{
	for (unsigned i = 0; i < HELD_COUNT; i++)
		held->expected[i] = value + i * 0x9e3779b97f4a7c15ull;
}

void held_check(struct registers *registers);

void hold_write(struct held *held, uint64_t *page, uint64_t first_word, uint64_t increment);
void hold_spin(struct held *held, uint64_t *last, uint64_t until, uint64_t limit);
void hold_call(struct held *held, uint32_t port, uint32_t value);

#endif
