/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes of a PC, as a multiboot loader hands it over, the machine that docs/guest-payloads.md
 * promises a payload: the loader's first module is the payload, and its command line is
 * "... tsc_khz=N ARGUMENTS". One vCPU, and memory up to 3 GiB in one region.
 *
 * What it finds wrong it says at the debug console, and halts.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"
#include "tests/guests/runtime/contract.h"

#define ENTRY_TABLE  0x27u /* present, writable, user, accessed */
#define ENTRY_PAGE   0xe7u /* and dirty, large */
#define PAGE_BYTES   4096u
#define LARGE_SHIFT  21
#define TABLE_WORDS  512u
#define GIB_MAX	     3u
#define ARGUMENT_MAX 2047u
#define MODULES_BIT  8u
#define LOW_BYTES    0x100000u

struct multiboot_module {
	uint32_t start;
	uint32_t end;
	uint32_t string;
	uint32_t zero;
};

struct multiboot_info {
	uint32_t flags;
	uint32_t lower_kib;
	uint32_t upper_kib; /* from 1 MiB to the first hole */
	uint32_t boot_device;
	uint32_t command_line;
	uint32_t module_count;
	uint32_t modules;
};

/* The C library's elf.h is not for freestanding 32-bit programs. */
struct elf64_header {
	uint8_t ident[16];
	uint16_t type;
	uint16_t machine;
	uint32_t version;
	uint64_t entry;
	uint64_t segments;
	uint64_t sections;
	uint32_t flags;
	uint16_t header_bytes;
	uint16_t segment_bytes;
	uint16_t segment_count;
};

#define SEGMENT_LOAD 1u

struct elf64_segment {
	uint32_t type;
	uint32_t flags;
	uint64_t offset;
	uint64_t virtual;
	uint64_t physical;
	uint64_t file_bytes;
	uint64_t memory_bytes;
	uint64_t align;
};

uint32_t stub_prepare(const struct multiboot_info *info);

static void *at(uint32_t gpa)
{
	return (void *)gpa;
}

static void copy(uint32_t to, uint32_t from, uint32_t size)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

static void clear(uint32_t to, uint32_t size)
{
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(0) : "memory");
}

static void ring(uint8_t byte)
{
	__asm__ volatile("outb %0, %w1" : : "a"(byte), "Nd"(DEBUG_PORT));
}

static _Noreturn void fail(const char *sentence)
{
	struct mailbox *mailbox = at(LAYOUT_MAILBOX);

	while (*sentence)
		ring((uint8_t)*sentence++);
	ring('\n');
	mailbox->exit_code = 2;
	ring(BELL_EXIT);
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* -------------------------------------------------------------------------- the payload */

static void load_segment(uint32_t file, const struct elf64_segment *segment)
{
	uint32_t to = (uint32_t)segment->physical;
	uint32_t file_bytes = (uint32_t)segment->file_bytes;
	uint32_t memory_bytes = (uint32_t)segment->memory_bytes;

	if (to < LAYOUT_PAYLOAD || to + memory_bytes > LAYOUT_STACK)
		fail("stub: the payload has a segment at a wrong address");
	copy(to, file + (uint32_t)segment->offset, file_bytes);
	clear(to + file_bytes, memory_bytes - file_bytes);
}

/* Returns the entry point. The file is our own build's, not a stranger's. */
static uint32_t load_payload(const struct multiboot_module *module)
{
	const struct elf64_header *header = at(module->start);
	const struct elf64_segment *segment = at(module->start + (uint32_t)header->segments);

	if (module->end > LAYOUT_PAYLOAD)
		fail("stub: the payload's file is too long");
	for (unsigned i = 0; i < header->segment_count; i++, segment++)
		if (segment->type == SEGMENT_LOAD)
			load_segment(module->start, segment);
	return (uint32_t)header->entry;
}

/* ------------------------------------------------------------- what it finds in memory */

static void put_descriptors(void)
{
	const uint32_t limit = LAYOUT_TSS_BYTES + LAYOUT_IO_BYTES;
	uint64_t *gdt = at(LAYOUT_GDT);
	uint8_t *tss = at(LAYOUT_TSS);

	gdt[1] = 0x00af9b000000ffffull; /* 64-bit code, DPL 0: for the stub itself */
	gdt[5] = 0x00cff3000000ffffull; /* data, DPL 3 */
	gdt[6] = 0x00affb000000ffffull; /* 64-bit code, DPL 3 */
	gdt[7] = (uint64_t)limit | (uint64_t)LAYOUT_TSS << 16 | 0x89ull << 40;
	tss[0x66] = LAYOUT_TSS_BYTES; /* where the I/O permission bitmap begins */
	tss[limit] = 0xff;
}

static void put_page_tables(uint32_t memory_end)
{
	uint64_t *table = at(LAYOUT_PAGE_TABLES);
	uint64_t *pointers = table + TABLE_WORDS;
	uint64_t *entries = pointers + TABLE_WORDS;
	uint32_t pages = (memory_end + (1u << LARGE_SHIFT) - 1) >> LARGE_SHIFT;

	clear(LAYOUT_PAGE_TABLES, (2 + GIB_MAX) * PAGE_BYTES);
	table[0] = (uint32_t)pointers | ENTRY_TABLE;
	for (unsigned i = 0; i < GIB_MAX; i++)
		pointers[i] = (uint32_t)(entries + i * TABLE_WORDS) | ENTRY_TABLE;
	for (uint32_t i = 0; i < pages; i++)
		entries[i] = i << LARGE_SHIFT | ENTRY_PAGE;
}

static uint32_t find_memory_end(const struct multiboot_info *info)
{
	const uint32_t end_kib_max = GIB_MAX << 20;
	uint32_t end_kib = info->upper_kib + (LOW_BYTES >> 10);

	if (end_kib > end_kib_max)
		end_kib = end_kib_max;
	return (end_kib << 10) & ~(PAGE_BYTES - 1);
}

static const char *skip(const char *text, const char *word)
{
	for (; *text; text++) {
		unsigned i = 0;

		while (word[i] && text[i] == word[i])
			i++;
		if (!word[i])
			return text + i;
	}
	fail("stub: the command line has no tsc_khz=");
}

/* Takes the leading tsc_khz=N from the command line; what follows are the payload's arguments. */
static uint32_t put_arguments(const char *line)
{
	char *arguments = at(LAYOUT_ARGUMENTS);
	uint32_t khz = 0;
	unsigned length = 0;

	for (line = skip(line, "tsc_khz="); *line >= '0' && *line <= '9'; line++)
		khz = khz * 10 + (uint32_t)(*line - '0');
	while (*line && length < ARGUMENT_MAX)
		arguments[length++] = *line++;
	arguments[length] = '\0';
	return khz;
}

static void put_start_info(uint32_t khz, uint32_t memory_end)
{
	struct start_info *start = at(LAYOUT_START_INFO);

	start->magic = CONTRACT_MAGIC;
	start->version = CONTRACT_VERSION;
	start->vcpus = 1;
	start->free_gpa = LAYOUT_FREE;
	start->tsc_khz = khz;
	start->args_gpa = LAYOUT_ARGUMENTS;
	start->region_count = 1;
	start->regions[0].size = memory_end;
}

/* Returns the payload's entry point. The firmware has used low memory, so it is cleared first; the
 * loader's information lies behind the modules. */
uint32_t stub_prepare(const struct multiboot_info *info)
{
	uint32_t memory_end = find_memory_end(info);
	uint32_t entry;

	clear(0, LAYOUT_MAILBOX + sizeof(struct mailbox));
	if (!(info->flags & MODULES_BIT) || info->module_count == 0)
		fail("stub: there is no payload; give it as the first module (-initrd)");
	entry = load_payload(at(info->modules));
	put_descriptors();
	put_page_tables(memory_end);
	put_start_info(put_arguments(at(info->command_line)), memory_end);
	return entry;
}
