/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payloads under QEMU: what the stub, the payloads' runtime and the host's program (bench/qemu.py)
 * agree on, besides the memory of docs/guest-payloads.md.
 *
 * The ports of a payload's calls belong to other devices on a PC. So under QEMU a payload talks
 * through a mailbox in its low memory, which the host has mapped, and rings a bell at the debug
 * console. A command is found by reading memory: while it works, the payload never leaves guest
 * mode, and no lock of QEMU's own stands in its way.
 */
#ifndef XM_TESTS_GUESTS_QEMU_LAYOUT_H
#define XM_TESTS_GUESTS_QEMU_LAYOUT_H

#define LAYOUT_GDT	   0x1000
#define LAYOUT_TSS	   0x2000
#define LAYOUT_START_INFO  0x5000
#define LAYOUT_ARGUMENTS   0x6000
#define LAYOUT_MAILBOX	   0x8000
#define LAYOUT_PAGE_TABLES 0x10000
#define LAYOUT_PAYLOAD	   0x200000
#define LAYOUT_STACK	   0x800000
#define LAYOUT_FREE	   0x810000

#define LAYOUT_GDT_BYTES 0x48
#define LAYOUT_TSS_BYTES 0x68
#define LAYOUT_IO_BYTES	 0x2000

/* What a byte at this port means; any other byte is console output. */
#define DEBUG_PORT  0xe9
#define BELL_REPORT 1 /* a report lies in the mailbox */
#define BELL_EXIT   2 /* the payload has ended, with the code in the mailbox */

#define MAILBOX_INPUT_MAX  64 /* what a payload reads at once */
#define MAILBOX_REPORT_MAX 4096

#ifndef __ASSEMBLER__
#include <stdint.h>

/*
 * The writer of a text writes its size last. Input is taken by setting its size to 0; a report is
 * there when the bell has rung.
 */
struct mailbox {
	uint32_t input_size;
	uint32_t report_size;
	uint64_t report_tsc; /* when the report was finished */
	uint32_t exit_code;
	uint32_t zero;
	char input[MAILBOX_INPUT_MAX];
	char report[MAILBOX_REPORT_MAX];
};

_Static_assert(sizeof(struct mailbox) == 24 + MAILBOX_INPUT_MAX + MAILBOX_REPORT_MAX,
	       "bench/qemu.py");
#endif

#endif
