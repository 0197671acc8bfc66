/* SPDX-License-Identifier: Apache-2.0 */
#include "memory.h"

/* CMakeLists.txt keeps the compiler from turning these loops into calls of themselves. */

void *memcpy(void *to, const void *from, size_t size)
{
	void *result = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
	return result;
}

void *memmove(void *to, const void *from, size_t size)
{
	uint8_t *target = to;
	const uint8_t *source = from;

	if (target <= source || target >= source + size)
		return memcpy(to, from, size);
	while (size-- > 0)
		target[size] = source[size];
	return to;
}

void *memset(void *to, int byte, size_t size)
{
	void *result = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
	return result;
}

int memcmp(const void *left, const void *right, size_t size)
{
	const uint8_t *a = left;
	const uint8_t *b = right;

	for (size_t i = 0; i < size; i++)
		if (a[i] != b[i])
			return a[i] - b[i];
	return 0;
}

size_t strlen(const char *text)
{
	size_t length = 0;

	while (text[length])
		length++;
	return length;
}

bool text_equal(const char *left, const char *right)
{
	while (*left && *left == *right) {
		left++;
		right++;
	}
	return *left == *right;
}

void memory_init(struct memory *memory, const struct start_info *start)
{
	uint64_t free_gfn = (start->free_gpa + 4095) >> 12;

	memory->count = 0;
	for (unsigned i = 0; i < start->region_count && i < CONTRACT_REGIONS_MAX; i++) {
		uint64_t first = start->regions[i].gpa >> 12;
		uint64_t end = first + (start->regions[i].size >> 12);

		if (first < free_gfn)
			first = free_gfn;
		if (first >= end)
			continue;
		memory->runs[memory->count].gfn = first;
		memory->runs[memory->count].pages = end - first;
		memory->count++;
	}
}

void *memory_take(struct memory *memory, uint64_t bytes)
{
	uint64_t pages = (bytes + 4095) >> 12;
	void *taken;

	if (memory->count == 0 || memory->runs[0].pages < pages)
		return NULL;
	taken = memory_page(memory->runs[0].gfn);
	memory->runs[0].gfn += pages;
	memory->runs[0].pages -= pages;
	/* Memory that the payload gets from the hypervisor reads as zeros. */
	return taken;
}

void memory_reverse(struct memory *memory)
{
	for (unsigned i = 0, j = memory->count; i + 1 < j; i++) {
		j--;
		struct memory_run run = memory->runs[i];

		memory->runs[i] = memory->runs[j];
		memory->runs[j] = run;
	}
}

uint64_t memory_pages(const struct memory *memory)
{
	uint64_t pages = 0;

	for (unsigned i = 0; i < memory->count; i++)
		pages += memory->runs[i].pages;
	return pages;
}

uint64_t memory_gfn(const struct memory *memory, uint64_t index)
{
	unsigned i = 0;

	while (index >= memory->runs[i].pages)
		index -= memory->runs[i++].pages;
	return memory->runs[i].gfn + index;
}
