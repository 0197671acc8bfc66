/* SPDX-License-Identifier: Apache-2.0 */
#include "registers.h"

#include "hypercall.h"
#include "tests/guests/pattern.h"

#include <cpuid.h>

/* The legacy part of an XSAVE area, which is the same everywhere. */
#define AREA_BYTES  4096u
#define AREA_FCW    0u
#define AREA_FTW    4u
#define AREA_MXCSR  24u
#define AREA_ST	    32u
#define AREA_XMM    160u
#define AREA_HEADER 512u
#define FCW_MASKED  0x037fu /* all exceptions masked; rounding control varies in bits 10 and 11 */
#define MXCSR_MASKED                                                                               \
	0x1f80u /* the same; rounding control varies in bits 13 and 14, flags in 0 to 5 */

enum component {
	X87 = 0,
	SSE = 1,
	AVX = 2,
	OPMASK = 5,
	ZMM_HIGH = 6,
	ZMM_UPPER = 7,
};

#define COMPONENTS_KNOWN                                                                           \
	(1u << X87 | 1u << SSE | 1u << AVX | 1u << OPMASK | 1u << ZMM_HIGH | 1u << ZMM_UPPER)

static const struct {
	const char *name;
	uint32_t first; /* number of the component's first register */
	uint32_t register_bytes;
} components[] = {
	[X87] = {"st", 0, 16},
	[SSE] = {"xmm", 0, 16},
	[AVX] = {"upper half of ymm", 0, 16},
	[OPMASK] = {"k", 0, 8},
	[ZMM_HIGH] = {"upper half of zmm", 0, 32},
	[ZMM_UPPER] = {"zmm", 16, 64},
};

static const char *const held_names[HELD_COUNT] = {"rbx", "rbp", "rsi", "rdi", "r8",  "r9",
						   "r10", "r11", "r12", "r13", "r14", "r15"};

static uint64_t enabled_components(void)
{
	uint32_t eax, ebx, ecx, edx;
	uint32_t low, high;

	__cpuid(1, eax, ebx, ecx, edx);
	if (!(ecx & bit_OSXSAVE))
		return 0;
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return low & COMPONENTS_KNOWN;
}

/* Components that end beyond the area are left alone. */
static void find_component(struct registers *registers, unsigned component)
{
	uint32_t size, offset, ecx, edx;

	__cpuid_count(0xd, component, size, offset, ecx, edx);
	if (size == 0 || offset > AREA_BYTES || size > AREA_BYTES - offset) {
		registers->mask &= ~(1ull << component);
		return;
	}
	registers->offsets[component] = offset;
	registers->sizes[component] = size;
}

void registers_init(struct registers *registers, unsigned vcpu, struct memory *memory,
		    struct faults *faults)
{
	registers->vcpu = vcpu;
	registers->faults = faults;
	registers->mask = enabled_components();
	registers->expected = memory_take(memory, 2 * AREA_BYTES);
	if (!registers->expected)
		payload_refuse("memory", "", "there is no room for the register areas");
	registers->found = registers->expected + AREA_BYTES;
	registers->offsets[X87] = AREA_ST;
	registers->sizes[X87] = 8 * 16;
	registers->offsets[SSE] = AREA_XMM;
	registers->sizes[SSE] = 16 * 16;
	for (unsigned component = AVX; component <= ZMM_UPPER; component++)
		if (registers->mask >> component & 1)
			find_component(registers, component);
}

void registers_only_sse(struct registers *registers)
{
	registers->mask &= 1u << X87 | 1u << SSE;
}

static uint16_t expected_fcw(uint64_t value)
{
	return FCW_MASKED | (value >> 40 & 3) << 10;
}

static void store16(uint8_t *at, uint16_t value)
{
	memcpy(at, &value, sizeof(value));
}

static void store32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

/* An x87 register has 80 bits; the 48 that follow it in the area mean nothing. */
static void clear_padding(uint8_t *area)
{
	uint64_t *words = (uint64_t *)(area + AREA_ST);

	for (unsigned i = 1; i < 16; i += 2)
		words[i] &= 0xffff;
}

static void fill_component(struct registers *registers, unsigned component, uint64_t value)
{
	uint64_t *words = (uint64_t *)(registers->expected + registers->offsets[component]);

	value = pattern_mix(value + component);
	for (unsigned i = 0; i < registers->sizes[component] / 8; i++)
		words[i] = pattern_word(value, i);
	if (component == X87)
		clear_padding(registers->expected);
}

void registers_load(struct registers *registers, uint64_t value)
{
	uint16_t fcw = expected_fcw(value);

	store16(registers->expected + AREA_FCW, fcw);
	if (!registers->mask) {
		__asm__ volatile("fldcw %0" : : "m"(fcw));
		return;
	}
	registers->expected[AREA_FTW] = 0xff;
	store32(registers->expected + AREA_MXCSR,
		MXCSR_MASKED | (uint32_t)(value >> 42 & 3) << 13 | (value >> 44 & 0x3f));
	memcpy(registers->expected + AREA_HEADER, &registers->mask, sizeof(registers->mask));
	for (unsigned component = 0; component <= ZMM_UPPER; component++)
		if (registers->mask >> component & 1)
			fill_component(registers, component, value);
	__asm__ volatile("xrstor64 %0"
			 :
			 : "m"(*(uint8_t(*)[AREA_BYTES])registers->expected),
			   "a"((uint32_t)registers->mask), "d"(0));
}

static void tell(struct registers *registers, const char *name, int number, uint64_t expected,
		 uint64_t found)
{
	struct text line;

	fault_count_register(registers->faults);
	fault_start(registers->faults, &line, "vCPU ");
	text_decimal(&line, registers->vcpu);
	text_add(&line, " register ");
	text_add(&line, name);
	if (number >= 0)
		text_decimal(&line, (uint64_t)number);
	fault_values(registers->faults, &line, expected, found);
}

static uint32_t load(const uint8_t *at, unsigned bytes)
{
	uint32_t value = 0;

	memcpy(&value, at, bytes);
	return value;
}

static void check_field(struct registers *registers, const char *name, uint32_t at, unsigned bytes)
{
	uint32_t expected = load(registers->expected + at, bytes);
	uint32_t found = load(registers->found + at, bytes);

	if (expected != found)
		tell(registers, name, -1, expected, found);
}

static void check_component(struct registers *registers, unsigned component)
{
	uint32_t offset = registers->offsets[component];
	const uint64_t *expected = (const uint64_t *)(registers->expected + offset);
	const uint64_t *found = (const uint64_t *)(registers->found + offset);
	uint32_t words_each = components[component].register_bytes / 8;

	for (unsigned i = 0; i < registers->sizes[component] / 8; i++)
		if (expected[i] != found[i])
			tell(registers, components[component].name,
			     (int)(components[component].first + i / words_each), expected[i],
			     found[i]);
}

void registers_check(struct registers *registers)
{
	if (!registers->mask) {
		uint16_t fcw;

		__asm__ volatile("fnstcw %0" : "=m"(fcw));
		store16(registers->found + AREA_FCW, fcw);
		check_field(registers, "FCW", AREA_FCW, 2);
		return;
	}
	__asm__ volatile("xsave64 %0"
			 : "+m"(*(uint8_t(*)[AREA_BYTES])registers->found)
			 : "a"((uint32_t)registers->mask), "d"(0));
	clear_padding(registers->found);
	check_field(registers, "FCW", AREA_FCW, 2);
	check_field(registers, "MXCSR", AREA_MXCSR, 4);
	for (unsigned component = 0; component <= ZMM_UPPER; component++)
		if (registers->mask >> component & 1)
			check_component(registers, component);
}

const char *registers_vector(const struct registers *registers)
{
	if (registers->mask >> ZMM_UPPER & 1)
		return "avx512";
	if (registers->mask >> AVX & 1)
		return "avx";
	return registers->mask >> SSE & 1 ? "sse" : "none";
}

void held_check(struct registers *registers)
{
	const struct held *held = &registers->held;

	for (unsigned i = 0; i < HELD_COUNT; i++)
		if (held->expected[i] != held->found[i])
			tell(registers, held_names[i], -1, held->expected[i], held->found[i]);
}
