/* SPDX-License-Identifier: Apache-2.0 */
/* What needs no /dev/kvm: layout, checks of ranges, the list of sections, the payload's parser. */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "tests/test.h"

#include "hypervisor/backend.h"
#include "hypervisor/payload.h"

static void test_layout(void **state)
{
	struct hv_region regions[HV_REGIONS_MAX];

	(void)state;
	assert_int_equal(hv_memory_layout(16ull << 20, regions), 1);
	assert_int_equal(regions[0].gpa, 0);
	assert_int_equal(regions[0].size, 16ull << 20);
	assert_int_equal(hv_memory_layout(3ull << 30, regions), 1);
	assert_int_equal(hv_memory_layout((3ull << 30) + (2 << 20), regions), 2);
	assert_int_equal(regions[0].size, 3ull << 30);
	assert_int_equal(regions[1].gpa, 4ull << 30);
	assert_int_equal(regions[1].size, 2 << 20);
	assert_int_equal(hv_memory_layout(HV_MEMORY_BYTES_MAX, regions), 2);
	assert_int_equal(regions[0].size + regions[1].size, HV_MEMORY_BYTES_MAX);
}

/* ----------------------------------------------------------------------- device access */

static uint8_t memory[2][4 * HV_PAGE_SIZE];

struct marks {
	struct hv_domain base;
	unsigned calls;
	unsigned region;
	uint64_t first, count;
};

static void record_mark(struct hv_domain *domain, unsigned region, uint64_t first, uint64_t count)
{
	struct marks *marks = (struct marks *)domain;

	marks->calls++;
	marks->region = region;
	marks->first = first;
	marks->count = count;
}

static const struct hv_ops mark_ops = {.mark_dirty = record_mark};

static struct marks marks_init(void)
{
	return (struct marks){
		.base = {.ops = &mark_ops,
			 .region_count = 2,
			 .regions = {{.gpa = 0, .size = sizeof(memory[0]), .host = memory[0]},
				     {.gpa = 1ull << 32,
				      .size = sizeof(memory[1]),
				      .host = memory[1]}}}};
}

static void test_dma_bounds(void **state)
{
	static const struct {
		uint64_t gpa, size;
	} bad[] = {
		{0, sizeof(memory[0]) + 1},
		{sizeof(memory[0]), 0},
		{sizeof(memory[0]), 1},
		{sizeof(memory[0]) - 1, 2},
		{(1ull << 32) - 1, 2},
		{1ull << 32, UINT64_MAX},
		{(1ull << 32) + 1, UINT64_MAX - (1ull << 32)},
		{UINT64_MAX, 1},
		{UINT64_MAX, UINT64_MAX},
		{4096, UINT64_MAX - 4095},
	};
	struct marks marks = marks_init();
	struct xm_error err = XM_ERROR_INIT;
	void *host;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		host = NULL;
		assert_int_equal(hv_dma_begin(&marks.base, bad[i].gpa, bad[i].size, &host, &err),
				 -EFAULT);
		assert_int_equal(err.kind, XM_KIND_DATA);
		assert_null(host);
		hv_dma_end(&marks.base, bad[i].gpa, bad[i].size, true);
	}
	assert_int_equal(marks.calls, 0);
	assert_ok(hv_dma_begin(&marks.base, (1ull << 32) + 4095, 4098, &host, &err), &err);
	assert_ptr_equal(host, memory[1] + 4095);
	hv_dma_end(&marks.base, (1ull << 32) + 4095, 4098, false);
	assert_int_equal(marks.calls, 0);
	hv_dma_end(&marks.base, (1ull << 32) + 4095, 4098, true);
	assert_int_equal(marks.calls, 1);
	assert_int_equal(marks.region, 1);
	assert_int_equal(marks.first, 0);
	assert_int_equal(marks.count, 3);
	assert_ok(hv_dma_begin(&marks.base, sizeof(memory[0]) - 1, 1, &host, &err), &err);
	assert_ok(hv_dma_begin(&marks.base, 0, 0, &host, &err), &err);
}

/* ---------------------------------------------------------------------------- sections */

static void test_state_list(void **state)
{
	static const uint8_t bytes[16] = {1, 2, 3};
	struct xm_error err = XM_ERROR_INIT;
	struct hv_state list;

	(void)state;
	hv_state_init(&list);
	assert_ok(hv_state_add(&list, "regs", 1, 3, bytes, 16, &err), &err);
	assert_ok(hv_state_add(&list, "empty", 0, 1, NULL, 0, &err), &err);
	assert_null(hv_state_find(&list, "regs", 0));
	assert_null(hv_state_find(&list, "empty", 0)->data);
	assert_int_equal(hv_state_find(&list, "regs", 1)->version, 3);
	assert_memory_equal(hv_state_find(&list, "regs", 1)->data, bytes, 16);
	assert_true(hv_state_add(&list, "", 0, 1, NULL, 0, &err) < 0);
	assert_true(hv_state_add(&list, "a-name-of-24-characters-", 0, 1, NULL, 0, &err) < 0);
	assert_ok(hv_state_add(&list, "a-name-of-23-characters", 0, 1, NULL, 0, &err), &err);
	while (list.count < HV_SECTIONS_MAX)
		assert_ok(hv_state_add(&list, "x", list.count, 1, NULL, 0, &err), &err);
	assert_int_equal(hv_state_add(&list, "x", list.count, 1, NULL, 0, &err), -E2BIG);
	hv_state_finish(&list);
	assert_int_equal(list.count, 0);
}

static void test_state_bytes_are_limited(void **state)
{
	uint8_t *bytes = calloc(1, HV_STATE_BYTES_MAX);
	struct xm_error err = XM_ERROR_INIT;
	struct hv_state list;

	(void)state;
	assert_non_null(bytes);
	hv_state_init(&list);
	assert_int_equal(hv_state_add(&list, "x", 0, 1, bytes, SIZE_MAX, &err), -E2BIG);
	assert_ok(hv_state_add(&list, "x", 0, 1, bytes, HV_STATE_BYTES_MAX - 1, &err), &err);
	assert_int_equal(hv_state_add(&list, "x", 1, 1, bytes, 2, &err), -E2BIG);
	assert_ok(hv_state_add(&list, "x", 1, 1, bytes, 1, &err), &err);
	hv_state_finish(&list);
	free(bytes);
}

/* ------------------------------------------------------------------------ the ELF parser */

struct image {
	Elf64_Ehdr header;
	Elf64_Phdr load, note;
	struct {
		uint32_t name_size, desc_size, type;
		char name[12];
		uint32_t version;
	} note_data;
	uint8_t code[68];
};

static struct image good_image(void)
{
	struct image image = {
		.header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
			   .e_type = ET_EXEC,
			   .e_machine = EM_X86_64,
			   .e_entry = 0x200010,
			   .e_phoff = offsetof(struct image, load),
			   .e_phentsize = sizeof(Elf64_Phdr),
			   .e_phnum = 2},
		.load = {.p_type = PT_LOAD,
			 .p_offset = offsetof(struct image, code),
			 .p_vaddr = 0x200000,
			 .p_paddr = 0x200000,
			 .p_filesz = 68,
			 .p_memsz = 4096},
		.note = {.p_type = PT_NOTE,
			 .p_offset = offsetof(struct image, note_data),
			 .p_filesz = sizeof(((struct image *)0)->note_data)},
		.note_data = {9, 4, 1, "xmigrate", 1},
	};

	return image;
}

static void expect_refused(const void *file, size_t size, const char *reason)
{
	struct xm_error err = XM_ERROR_INIT;
	struct hv_payload payload;

	assert_int_equal(hv_payload_parse("f", file, size, &payload, &err), -ENOEXEC);
	assert_int_equal(err.kind, XM_KIND_CONFIG);
	if (!strstr(err.text, reason))
		fail_msg("\"%s\" is not in: %s", reason, err.text);
}

#define EXPECT_REFUSED(reason, change)                                                             \
	do {                                                                                       \
		struct image i = good_image();                                                     \
		change;                                                                            \
		expect_refused(&i, sizeof(i), reason);                                             \
	} while (0)

static void test_good_payload(void **state)
{
	struct image image = good_image();
	struct xm_error err = XM_ERROR_INIT;
	struct hv_payload payload;

	(void)state;
	assert_ok(hv_payload_parse("f", &image, sizeof(image), &payload, &err), &err);
	assert_int_equal(payload.entry, 0x200010);
	assert_int_equal(payload.header_count, 2);
}

static void test_bad_payloads(void **state)
{
	(void)state;
	expect_refused("", 0, "not an ELF");
	expect_refused("#!/bin/sh\n", 10, "not an ELF");
	EXPECT_REFUSED("64-bit x86", i.header.e_machine = EM_AARCH64);
	EXPECT_REFUSED("64-bit x86", i.header.e_ident[EI_CLASS] = ELFCLASS32);
	EXPECT_REFUSED("ET_EXEC", i.header.e_type = ET_DYN);
	EXPECT_REFUSED("wrong size or number", i.header.e_phnum = 0);
	EXPECT_REFUSED("wrong size or number", i.header.e_phnum = 65);
	EXPECT_REFUSED("wrong size or number", i.header.e_phentsize = 1);
	EXPECT_REFUSED("outside of the file", i.header.e_phoff = UINT64_MAX - 8);
	EXPECT_REFUSED("outside of the file", i.header.e_phoff = sizeof(i) - 60);
	EXPECT_REFUSED("segment is outside of the file", i.load.p_offset = UINT64_MAX);
	EXPECT_REFUSED("segment is outside of the file", i.load.p_filesz = 69);
	EXPECT_REFUSED("segment is outside of the file", i.note.p_filesz = UINT64_MAX);
	EXPECT_REFUSED("larger in the file", i.load.p_memsz = 1);
	EXPECT_REFUSED("differ", i.load.p_paddr = 0);
	EXPECT_REFUSED("[0x200000, 0x800000)", i.load.p_vaddr = i.load.p_paddr = 0x1ff000);
	EXPECT_REFUSED("[0x200000, 0x800000)", i.load.p_memsz = UINT64_MAX);
	EXPECT_REFUSED("[0x200000, 0x800000)", i.load.p_memsz = 0x600001);
	EXPECT_REFUSED("dynamic loader", i.note.p_type = PT_INTERP);
	EXPECT_REFUSED("entry point", i.header.e_entry = 0x201000);
	EXPECT_REFUSED("entry point", i.header.e_entry = 0x1fffff);
	EXPECT_REFUSED("note", i.note.p_type = PT_NULL);
	EXPECT_REFUSED("note", i.note_data.type = 2);
	EXPECT_REFUSED("note", i.note_data.name[0] = 'X');
	EXPECT_REFUSED("note", i.note_data.name_size = UINT32_MAX);
	EXPECT_REFUSED("note", i.note_data.desc_size = UINT32_MAX - 2);
	EXPECT_REFUSED("note", i.note.p_filesz = 24);
	EXPECT_REFUSED("version 2", i.note_data.version = 2);
}

/* Any change of any byte, and any length, is either taken or refused with a sentence. */
static void test_damaged_payloads(void **state)
{
	struct image image = good_image();
	struct xm_error err = XM_ERROR_INIT;
	struct hv_payload payload;

	(void)state;
	for (size_t byte = 0; byte < sizeof(image); byte++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			struct image damaged = image;

			((uint8_t *)&damaged)[byte] ^= (uint8_t)(1 << bit);
			err.text[0] = '\0';
			if (hv_payload_parse("f", &damaged, sizeof(damaged), &payload, &err))
				assert_true(err.text[0] != '\0');
		}
	}
	for (size_t size = 0; size < sizeof(image); size++) {
		uint8_t *part = malloc(size + 1); /* its own, so that a sanitizer sees its end */

		assert_non_null(part);
		memcpy(part, &image, size);
		part = realloc(part, size ? size : 1);
		assert_true(hv_payload_parse("f", part, size, &payload, &err) < 0);
		free(part);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_dma_bounds),
		cmocka_unit_test(test_state_list),
		cmocka_unit_test(test_state_bytes_are_limited),
		cmocka_unit_test(test_good_payload),
		cmocka_unit_test(test_bad_payloads),
		cmocka_unit_test(test_damaged_payloads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
