/* SPDX-License-Identifier: Apache-2.0 */
#include "hypercall.h"

static void call(enum contract_port port, uint32_t value)
{
	__asm__ volatile("outl %0, %w1" : : "a"(value), "Nd"(port) : "memory");
}

static uint32_t transfer(enum contract_port port, const void *buffer, uint32_t size)
{
	struct buffer_block block = {.gpa = (uintptr_t)buffer, .size = size};

	call(port, (uint32_t)(uintptr_t)&block);
	return *(volatile uint32_t *)&block.done;
}

void console_line(struct text *text)
{
	if (text->used == TEXT_SIZE)
		text->used--;
	text_add(text, "\n");
	transfer(CONTRACT_CONSOLE_WRITE, text->bytes, text->used);
}

uint32_t console_read(char *buffer, uint32_t size)
{
	uint32_t done = transfer(CONTRACT_CONSOLE_READ, buffer, size);

	return done < size ? done : size;
}

void publish(struct text *text)
{
	transfer(CONTRACT_REPORT, text->bytes, text->used);
}

void wait_until(uint64_t tsc)
{
	struct wait_block block = {.tsc = tsc};

	call(CONTRACT_WAIT, (uint32_t)(uintptr_t)&block);
}

_Noreturn void payload_exit(uint32_t code)
{
	/* The call does not return, but a vCPU may be entered once more before it is stopped. */
	for (;;)
		call(CONTRACT_EXIT, code);
}
