/* SPDX-License-Identifier: Apache-2.0 */
/* crash: comes to a bad end, in the way and at the time that it is told (docs/guest-payloads.md). */
#include "runtime/args.h"
#include "runtime/hypercall.h"
#include "runtime/payload.h"
#include "runtime/tsc.h"

#include <stddef.h>

#define UNUSED_PORT   0x600u
#define HOLE	      0xc0000000ull /* from here to 4 GiB there is never RAM */
#define UNMAPPED      0x7fff00000000ull
#define PAGE_TABLES   0x10000ull
#define LARGE_PAGE    (2ull << 20)
#define ENTRY_ADDRESS 0x000ffffffffff000ull
#define ENTRY_LARGE   0xe7ull /* present, writable, user, accessed, dirty, 2 MiB */

enum how { TRIPLE_FAULT, BAD_PORT, MMIO, WILD_CALL };

static const char *const how_names[] = {"triple-fault", "bad-port", "mmio", "wild-call", NULL};

static uint64_t *table_of(uint64_t entry)
{
	return (uint64_t *)(entry & ENTRY_ADDRESS);
}

/* The last large page of region 0, which nothing here has used, shows the hole instead of its memory. */
static volatile uint32_t *map_hole(const struct start_info *start)
{
	uint64_t at = (start->regions[0].gpa + start->regions[0].size - 1) & ~(LARGE_PAGE - 1);
	uint64_t *directories = table_of(*(volatile uint64_t *)PAGE_TABLES);
	uint64_t *directory = table_of(directories[at >> 30]);

	directory[at >> 21 & 511] = HOLE | ENTRY_LARGE;
	return (volatile uint32_t *)at;
}

static void crash(enum how how, const struct start_info *start)
{
	switch (how) {
	case TRIPLE_FAULT:
		__asm__ volatile("ud2");
		break;
	case BAD_PORT:
		__asm__ volatile("outl %0, %1" ::"a"(0), "d"((uint16_t)UNUSED_PORT));
		break;
	case MMIO:
		(void)*map_hole(start);
		break;
	case WILD_CALL:
		((void (*)(void))UNMAPPED)();
		break;
	}
}

static void live_for(const struct start_info *start, uint64_t ms, const char *how)
{
	uint64_t until = tsc_read() + ms * start->tsc_khz;
	struct text line;

	text_start(&line);
	text_word(&line, "payload", "crash");
	text_word(&line, "cmd", "ready");
	text_word(&line, "how", how);
	publish(&line);
	while (tsc_read() < until)
		wait_until(until);
}

_Noreturn void payload_main(const struct start_info *start, unsigned vcpu)
{
	uint64_t how = TRIPLE_FAULT;
	uint64_t after_ms = 0;
	const struct arg args[] = {
		{.name = "how", .value = &how, .choices = how_names},
		{.name = "after", .value = &after_ms, .max = 3600 * 1000},
	};

	if (vcpu > 0)
		payload_park(start);
	args_parse(start, args, sizeof(args) / sizeof(args[0]));
	if (after_ms)
		live_for(start, after_ms, how_names[how]);
	crash((enum how)how, start);
	/* Still here: that is for the host to notice. */
	payload_exit(1);
}
