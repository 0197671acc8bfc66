/* SPDX-License-Identifier: Apache-2.0 */
/* The payload of the hypervisor's tests, freestanding; see guest.h and docs/guest-payloads.md. */
#include "guest.h"

struct start_info {
	uint64_t magic;
	uint32_t version, vcpus;
	uint64_t free_gpa, tsc_khz, arguments;
};

struct block {
	uint64_t a;
	union {
		struct {
			uint32_t size, done;
		};
		uint64_t now;
	};
};

__attribute__((section(".note.xmigrate"), used, aligned(4))) static const struct {
	uint32_t name_size, desc_size, type;
	char name[12];
	uint32_t version;
} note = {9, 4, 1, "xmigrate", 1};

static inline void call(uint16_t port, const volatile void *block)
{
	__asm__ volatile("outl %0, %1" : : "a"((uint32_t)(uintptr_t)block), "Nd"(port) : "memory");
}

static inline uint64_t rdtsc(void)
{
	return __builtin_ia32_rdtsc();
}

static void transfer(uint16_t port, const void *buffer, uint32_t size, uint32_t *ret_done)
{
	volatile struct block block = {.a = (uintptr_t)buffer, .size = size};

	call(port, &block);
	if (ret_done)
		*ret_done = block.done;
}

static void say(char c)
{
	transfer(0x510, &c, 1, 0);
}

static void leave(uint32_t code)
{
	for (;;)
		__asm__ volatile("outl %0, %1" : : "a"(code), "Nd"((uint16_t)0x520));
}

static void wait_until(uint64_t tsc)
{
	volatile struct block block = {.a = tsc};

	call(0x518, &block);
}

static void receive(struct guest_command *command)
{
	uint32_t got = 0, done;

	while (got < sizeof(*command)) {
		transfer(0x514, (char *)command + got, sizeof(*command) - got, &done);
		got += done;
		if (done == 0)
			wait_until(~0ull);
	}
}

static void one_wait(const struct start_info *info, uint32_t ms)
{
	volatile struct block block = {.a = rdtsc() + ms * info->tsc_khz};

	call(0x518, &block);
	say(block.now < block.a ? 'E' : 'W');
}

static void whole_wait(const struct start_info *info, uint32_t ms)
{
	uint64_t end = rdtsc() + ms * info->tsc_khz;

	while (rdtsc() < end)
		wait_until(end);
	say('W');
}

static void obey(const struct start_info *info, const struct guest_command *command)
{
	static char text[8192];

	switch (command->op) {
	case GUEST_WRITE:
		for (uint32_t i = 0; i < command->count; i++)
			(*(volatile uint64_t *)(command->gpa + i * 4096ull))++;
		break;
	case GUEST_EXIT:
		leave(command->count);
		break;
	case GUEST_FAULT:
		__asm__ volatile("ud2");
		break;
	case GUEST_BAD_BLOCK:
		call(0x510, (void *)(uintptr_t)command->count);
		break;
	case GUEST_BAD_BUFFER:
		transfer(0x510, (void *)command->gpa, command->count, 0);
		break;
	case GUEST_BAD_PORT:
		call(0x80, 0);
		break;
	case GUEST_MMIO:
		*(volatile uint64_t *)command->gpa;
		break;
	case GUEST_SPIN:
		say('.');
		for (;;)
			(*(volatile uint64_t *)command->gpa)++;
	case GUEST_REPORT:
		for (uint32_t i = 0; i < command->count && i < sizeof(text); i++)
			text[i] = 'r';
		transfer(0x51c, text, command->count, 0);
		break;
	case GUEST_WAIT:
		whole_wait(info, command->count);
		return;
	case GUEST_WAIT_ONCE:
		one_wait(info, command->count);
		return;
	}
	say('.');
}

static void step_check(uint64_t vcpu, uint64_t step)
{
	volatile uint64_t *page =
		(void *)(GUEST_PAGES_GPA + (vcpu * GUEST_PAGES + step % GUEST_PAGES) * 4096);

	if (step >= GUEST_PAGES && *page != step - GUEST_PAGES)
		leave(GUEST_WRONG);
	*page = step;
}

/*
 * The registers are named, so that they live nowhere else between steps: r15, and ymm15 (or
 * xmm15), to whose lanes each step adds one.
 */
#define COUNT_LOOP(add, check)                                                                     \
	for (uint64_t step = 0;; step++) {                                                         \
		uint64_t in_r15, lanes[4];                                                         \
                                                                                                   \
		__asm__ volatile("mov %%r15, %0" : "=r"(in_r15));                                  \
		__asm__ volatile(check : : "r"(lanes) : "memory");                                 \
		for (unsigned i = 0; i < lane_count; i++)                                          \
			if (lanes[i] != step)                                                      \
				leave(GUEST_WRONG);                                                \
		if (in_r15 != step)                                                                \
			leave(GUEST_WRONG);                                                        \
		step_check(vcpu, step);                                                            \
		__asm__ volatile("inc %%r15\n\t" add : : : "memory");                              \
		counter->steps = step + 1;                                                         \
	}

static void count_avx(uint64_t vcpu, volatile struct counter *counter)
{
	unsigned lane_count = 4;

	counter->vector = 256;
	__asm__ volatile("xor %%r15d, %%r15d\n\t"
			 "vpxor %%xmm15, %%xmm15, %%xmm15\n\t"
			 "vpcmpeqd %%ymm14, %%ymm14, %%ymm14"
			 :
			 :
			 : "memory");
	COUNT_LOOP("vpsubq %%ymm14, %%ymm15, %%ymm15", "vmovdqu %%ymm15, (%0)")
}

static void count_sse(uint64_t vcpu, volatile struct counter *counter)
{
	unsigned lane_count = 2;

	counter->vector = 128;
	__asm__ volatile("xor %%r15d, %%r15d\n\t"
			 "pxor %%xmm15, %%xmm15\n\t"
			 "pcmpeqd %%xmm14, %%xmm14"
			 :
			 :
			 : "memory");
	COUNT_LOOP("psubq %%xmm14, %%xmm15", "movdqu %%xmm15, (%0)")
}

static int avx2_usable(void)
{
	uint32_t a = 1, b, c = 0, d, xcr0;

	__asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if (!(c >> 27 & 1) || !(c >> 28 & 1))
		return 0;
	__asm__("xgetbv" : "=a"(xcr0), "=d"(d) : "c"(0));
	a = 7;
	c = 0;
	__asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return (xcr0 & 6) == 6 && b >> 5 & 1;
}

__attribute__((noreturn, used)) static void run(const struct start_info *info, uint64_t vcpu)
{
	const char *arguments = (const char *)info->arguments;
	struct guest_command command;

	if (info->magic != 0x0054524154534d58 || info->version != 1)
		leave(GUEST_WRONG);
	if (arguments[1] == 'o' && arguments[2] == 'u') {
		volatile struct counter *counter = (void *)(GUEST_COUNTERS_GPA + vcpu * 4096);

		if (avx2_usable())
			count_avx(vcpu, counter);
		else
			count_sse(vcpu, counter);
	}
	while (vcpu != 0)
		wait_until(~0ull);
	for (;;) {
		receive(&command);
		obey(info, &command);
	}
}

__asm__(".globl _start\n"
	"_start:\n"
	"	call run\n");
