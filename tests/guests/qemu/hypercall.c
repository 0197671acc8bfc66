/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of runtime/hypercall.h on a PC of QEMU's: layout.h says how. There is no sleep, so a
 * payload must not be told to pace itself by WAIT. */
#include "tests/guests/runtime/hypercall.h"

#include "layout.h"
#include "tests/guests/runtime/memory.h"
#include "tests/guests/runtime/tsc.h"

static volatile struct mailbox *mailbox(void)
{
	return (volatile struct mailbox *)LAYOUT_MAILBOX;
}

static void ring(uint8_t byte)
{
	__asm__ volatile("outb %0, %w1" : : "a"(byte), "Nd"(DEBUG_PORT) : "memory");
}

void console_line(struct text *text)
{
	const char *bytes = text->bytes;
	uint64_t size;

	if (text->used == TEXT_SIZE)
		text->used--;
	text_add(text, "\n");
	size = text->used;
	__asm__ volatile("rep outsb" : "+S"(bytes), "+c"(size) : "d"(DEBUG_PORT) : "memory");
}

uint32_t console_read(char *buffer, uint32_t size)
{
	uint32_t pending = mailbox()->input_size;

	if (pending == 0)
		return 0;
	if (pending > size)
		pending = size;
	memcpy(buffer, (const void *)mailbox()->input, pending);
	mailbox()->input_size = 0;
	return pending;
}

void publish(struct text *text)
{
	uint32_t size = text->used < MAILBOX_REPORT_MAX ? text->used : MAILBOX_REPORT_MAX;

	memcpy((void *)mailbox()->report, text->bytes, size);
	mailbox()->report_size = size;
	mailbox()->report_tsc = tsc_read();
	ring(BELL_REPORT);
}

void wait_until(uint64_t tsc)
{
	while (tsc_read() < tsc && mailbox()->input_size == 0)
		__asm__ volatile("pause");
}

_Noreturn void payload_exit(uint32_t code)
{
	mailbox()->exit_code = code;
	ring(BELL_EXIT);
	for (;;)
		__asm__ volatile("pause");
}
