/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads a payload: checks the ELF file, which is hostile, and lays out memory as
 * docs/guest-payloads.md says.
 */
#include "hypervisor/payload.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "hypervisor/backend.h"

#define FILE_BYTES_MAX	 (64u << 20) /* with symbols and debug information */
#define HEADERS_MAX	 (sizeof(((struct hv_payload *)0)->headers) / sizeof(Elf64_Phdr))
#define SEGMENTS_FIRST	 0x200000ull
#define SEGMENTS_END	 0x800000ull
#define NOTE_OWNER	 "xmigrate"
#define NOTE_TYPE	 1
#define CONTRACT_VERSION 1

static int not_a_payload(const char *path, struct xm_error *err, const char *reason)
{
	return xm_fail(err, XM_KIND_CONFIG, -ENOEXEC, "%s is not a payload: %s", path, reason);
}

static int check_header(const char *path, const Elf64_Ehdr *header, size_t size,
			struct xm_error *err)
{
	if (size < sizeof(*header) || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
		return not_a_payload(path, err, "it is not an ELF file");
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
	    header->e_machine != EM_X86_64)
		return not_a_payload(path, err, "it is not for 64-bit x86");
	if (header->e_type != ET_EXEC)
		return not_a_payload(path, err,
				     "it is not a static executable at a fixed address (ET_EXEC)");
	if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum == 0 ||
	    header->e_phnum > HEADERS_MAX)
		return not_a_payload(path, err, "its program headers have a wrong size or number");
	if (header->e_phoff > size || header->e_phnum * sizeof(Elf64_Phdr) > size - header->e_phoff)
		return not_a_payload(path, err, "its program headers are outside of the file");
	return 0;
}

static int check_segment(const char *path, const Elf64_Phdr *segment, size_t size,
			 struct xm_error *err)
{
	if (segment->p_type == PT_DYNAMIC || segment->p_type == PT_INTERP)
		return not_a_payload(path, err, "it needs a dynamic loader; link it -static");
	if (segment->p_type != PT_LOAD && segment->p_type != PT_NOTE)
		return 0;
	if (segment->p_offset > size || segment->p_filesz > size - segment->p_offset)
		return not_a_payload(path, err, "a segment is outside of the file");
	if (segment->p_type == PT_NOTE)
		return 0;
	if (segment->p_filesz > segment->p_memsz)
		return not_a_payload(path, err, "a segment is larger in the file than in memory");
	if (segment->p_paddr != segment->p_vaddr)
		return not_a_payload(path, err, "a segment's virtual and physical address differ");
	if (segment->p_vaddr < SEGMENTS_FIRST || segment->p_vaddr > SEGMENTS_END ||
	    segment->p_memsz > SEGMENTS_END - segment->p_vaddr)
		return not_a_payload(path, err, "a segment is outside of [0x200000, 0x800000)");
	return 0;
}

/* Notes are a row of (header, owner, bytes), the latter two padded to 4. */
static bool has_note(const uint8_t *at, size_t size, uint32_t *ret_version)
{
	while (size >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		uint64_t owner, bytes;

		memcpy(&note, at, sizeof(note));
		at += sizeof(note);
		size -= sizeof(note);
		owner = ((uint64_t)note.n_namesz + 3) & ~3ull;
		bytes = ((uint64_t)note.n_descsz + 3) & ~3ull;
		if (owner > size || bytes > size - owner)
			return false;
		if (note.n_type == NOTE_TYPE && note.n_namesz == sizeof(NOTE_OWNER) &&
		    memcmp(at, NOTE_OWNER, sizeof(NOTE_OWNER)) == 0 && note.n_descsz == 4) {
			memcpy(ret_version, at + owner, sizeof(*ret_version));
			return true;
		}
		at += owner + bytes;
		size -= owner + bytes;
	}
	return false;
}

static int check_note(const char *path, const struct hv_payload *payload, struct xm_error *err)
{
	for (unsigned i = 0; i < payload->header_count; i++) {
		const Elf64_Phdr *header = &payload->headers[i];
		uint32_t version;

		if (header->p_type != PT_NOTE ||
		    !has_note(payload->file + header->p_offset, header->p_filesz, &version))
			continue;
		if (version == CONTRACT_VERSION)
			return 0;
		return xm_fail(err, XM_KIND_CONFIG, -ENOEXEC,
			       "%s follows version %" PRIu32 " of the payloads' contract, not %d",
			       path, version, CONTRACT_VERSION);
	}
	return not_a_payload(path, err, "it has no ELF note of owner xmigrate, type 1");
}

int hv_payload_parse(const char *path, const void *file, size_t size,
		     struct hv_payload *ret_payload, struct xm_error *err)
{
	struct hv_payload payload = {.file = file};
	bool entry_found = false;
	Elf64_Ehdr header = {0};
	int rc;

	memcpy(&header, file, size < sizeof(header) ? size : sizeof(header));
	rc = check_header(path, &header, size, err);
	if (rc)
		return rc;
	payload.entry = header.e_entry;
	payload.header_count = header.e_phnum;
	memcpy(payload.headers, payload.file + header.e_phoff, header.e_phnum * sizeof(Elf64_Phdr));
	for (unsigned i = 0; i < payload.header_count; i++) {
		const Elf64_Phdr *segment = &payload.headers[i];

		rc = check_segment(path, segment, size, err);
		if (rc)
			return rc;
		if (segment->p_type == PT_LOAD && payload.entry >= segment->p_vaddr &&
		    payload.entry - segment->p_vaddr < segment->p_memsz)
			entry_found = true;
	}
	if (!entry_found)
		return not_a_payload(path, err, "its entry point is in none of its segments");
	rc = check_note(path, &payload, err);
	if (rc)
		return rc;
	*ret_payload = payload;
	return 0;
}

/* ------------------------------------------------------------------------- memory layout */

#define GDT_GPA		0x1000ull
#define TSS_GPA		0x2000ull
#define START_INFO_GPA	0x5000ull
#define ARGUMENTS_GPA	0x6000ull
#define LOW_TABLES_GPA	0x10000ull
#define HIGH_TABLES_GPA 0x800000ull

#define ENTRIES	      512 /* of a page table */
#define GIB_SHIFT     30
#define ENTRY_TABLE   0x27ull /* present, writable, user, accessed */
#define ENTRY_PAGE    0xe7ull /* and dirty, large: the CPU never has to write to tables */
#define TSS_BYTES     0x68
#define PORT_BYTES    (65536 / 8)
#define START_MAGIC   0x0054524154534d58ull
#define GDT_BYTES     0x48
#define START_REGIONS 8

struct start_info {
	uint64_t magic;
	uint32_t version;
	uint32_t vcpus;
	uint64_t free_gpa;
	uint64_t tsc_khz;
	uint64_t arguments_gpa;
	uint32_t region_count;
	uint32_t zero;
	struct {
		uint64_t gpa;
		uint64_t size;
	} regions[START_REGIONS];
};

_Static_assert(sizeof(struct start_info) == 48 + 16 * START_REGIONS, "docs/guest-payloads.md");

static int put(struct hv_domain *domain, uint64_t gpa, const void *data, uint64_t size,
	       struct xm_error *err)
{
	void *host;
	int rc = hv_dma_begin(domain, gpa, size, &host, err);

	if (rc)
		return rc;
	if (data)
		memcpy(host, data, size);
	else
		memset(host, 0, size);
	hv_dma_end(domain, gpa, size, true);
	return 0;
}

static int put_u64(struct hv_domain *domain, uint64_t gpa, uint64_t value, struct xm_error *err)
{
	return put(domain, gpa, &value, sizeof(value), err);
}

static int put_segments(struct hv_domain *domain, const struct hv_payload *payload,
			struct xm_error *err)
{
	for (unsigned i = 0; i < payload->header_count; i++) {
		const Elf64_Phdr *segment = &payload->headers[i];
		int rc;

		if (segment->p_type != PT_LOAD)
			continue;
		rc = put(domain, segment->p_vaddr, payload->file + segment->p_offset,
			 segment->p_filesz, err);
		if (!rc)
			rc = put(domain, segment->p_vaddr + segment->p_filesz, NULL,
				 segment->p_memsz - segment->p_filesz, err);
		if (rc)
			return rc;
	}
	return 0;
}

/* Page directories needed: one for each GiB of address space that holds memory. */
static uint64_t directories(const struct hv_domain *domain)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < domain->region_count; i++)
		count += (domain->regions[i].size + (1ull << GIB_SHIFT) - 1) >> GIB_SHIFT;
	return count;
}

static uint64_t pointer_tables(const struct hv_domain *domain)
{
	const struct hv_region *last = &domain->regions[domain->region_count - 1];
	uint64_t gib = (last->gpa + last->size + (1ull << GIB_SHIFT) - 1) >> GIB_SHIFT;

	return (gib + ENTRIES - 1) / ENTRIES;
}

static int put_directory(struct hv_domain *domain, uint64_t table, uint64_t first_gpa, uint64_t end,
			 struct xm_error *err)
{
	uint64_t entries[ENTRIES] = {0};

	for (unsigned i = 0; i < ENTRIES && first_gpa + ((uint64_t)i << 21) < end; i++)
		entries[i] = (first_gpa + ((uint64_t)i << 21)) | ENTRY_PAGE;
	return put(domain, table, entries, sizeof(entries), err);
}

/* One PML4, then the PDPTs in a row, so that entry n of the row is GiB n; then directories. */
static int put_page_tables(struct hv_domain *domain, uint64_t base, struct xm_error *err)
{
	uint64_t pointers = base + HV_PAGE_SIZE;
	uint64_t next = pointers + pointer_tables(domain) * HV_PAGE_SIZE;
	int rc = put(domain, base, NULL, next - base, err);

	for (uint64_t i = 0; i < pointer_tables(domain) && !rc; i++)
		rc = put_u64(domain, base + i * 8, (pointers + i * HV_PAGE_SIZE) | ENTRY_TABLE,
			     err);
	for (unsigned i = 0; i < domain->region_count && !rc; i++) {
		uint64_t gpa = domain->regions[i].gpa;
		uint64_t end = gpa + domain->regions[i].size;

		for (; gpa < end && !rc; gpa += 1ull << GIB_SHIFT) {
			rc = put_u64(domain, pointers + (gpa >> GIB_SHIFT) * 8, next | ENTRY_TABLE,
				     err);
			if (!rc)
				rc = put_directory(domain, next, gpa, end, err);
			next += HV_PAGE_SIZE;
		}
	}
	return rc;
}

/* 0x28: data, DPL 3. 0x30: 64-bit code, DPL 3. 0x38: the TSS, busy. As the registers have them. */
static int put_descriptors(struct hv_domain *domain, struct xm_error *err)
{
	uint64_t limit = TSS_BYTES + PORT_BYTES;
	uint64_t gdt[GDT_BYTES / 8] = {
		[5] = 0x00cff3000000ffff,
		[6] = 0x00affb000000ffff,
		[7] = (limit & 0xffff) | TSS_GPA << 16 | 0x8bull << 40 | (limit >> 16 & 0xf) << 48,
	};
	uint8_t tss[TSS_BYTES + PORT_BYTES + 1] = {0};

	tss[0x66] = TSS_BYTES; /* where the I/O permission bitmap begins */
	tss[TSS_BYTES + PORT_BYTES] = 0xff;
	int rc = put(domain, TSS_GPA, tss, sizeof(tss), err);

	return rc ? rc : put(domain, GDT_GPA, gdt, sizeof(gdt), err);
}

static int put_start_info(struct hv_domain *domain, uint64_t free_gpa, const char *args,
			  struct xm_error *err)
{
	struct start_info info = {
		.magic = START_MAGIC,
		.version = CONTRACT_VERSION,
		.vcpus = domain->config.vcpus,
		.free_gpa = free_gpa,
		.tsc_khz = domain->ops->tsc_khz(domain),
		.arguments_gpa = ARGUMENTS_GPA,
		.region_count = domain->region_count,
	};
	int rc;

	for (unsigned i = 0; i < domain->region_count; i++) {
		info.regions[i].gpa = domain->regions[i].gpa;
		info.regions[i].size = domain->regions[i].size;
	}
	rc = put(domain, START_INFO_GPA, &info, sizeof(info), err);
	return rc ? rc : put(domain, ARGUMENTS_GPA, args, strlen(args) + 1, err);
}

static int place(struct hv_domain *domain, const struct hv_payload *payload, const char *args,
		 struct xm_error *err)
{
	uint64_t tables = LOW_TABLES_GPA;
	uint64_t stacks = HIGH_TABLES_GPA;
	uint64_t table_bytes = (1 + pointer_tables(domain) + directories(domain)) * HV_PAGE_SIZE;
	int rc;

	if (table_bytes > SEGMENTS_FIRST - LOW_TABLES_GPA) {
		tables = HIGH_TABLES_GPA;
		stacks = HIGH_TABLES_GPA + table_bytes;
	}
	rc = put_segments(domain, payload, err);
	if (!rc)
		rc = put_page_tables(domain, tables, err);
	if (!rc)
		rc = put_descriptors(domain, err);
	if (!rc)
		rc = put_start_info(domain, stacks + domain->config.vcpus * HV_STACK_BYTES, args,
				    err);
	if (rc)
		return rc;
	return domain->ops->enter(domain,
				  &(struct hv_entry){.entry = payload->entry,
						     .start_info = START_INFO_GPA,
						     .page_tables = tables,
						     .gdt = GDT_GPA,
						     .gdt_limit = GDT_BYTES - 1,
						     .tss = TSS_GPA,
						     .tss_limit = TSS_BYTES + PORT_BYTES,
						     .stacks = stacks},
				  err);
}

int hv_payload_load(struct hv_domain *domain, const char *path, const char *args,
		    struct xm_error *err)
{
	cleanup_free char *file = NULL;
	struct hv_payload payload;
	size_t size;
	int rc;

	if (!domain->ops->enter)
		return xm_fail(err, XM_KIND_CONFLICT, -EOPNOTSUPP, "this domain runs no payloads");
	if (strlen(args) >= HV_PAYLOAD_ARGS_MAX)
		return xm_fail(err, XM_KIND_CONFIG, -E2BIG,
			       "a payload's arguments have at most %d characters, not %zu",
			       HV_PAYLOAD_ARGS_MAX - 1, strlen(args));
	if (!hv_paused(domain))
		return xm_fail(err, XM_KIND_CONFLICT, -EBUSY,
			       "a payload cannot be loaded into a running domain");
	rc = xm_file_read(path, FILE_BYTES_MAX, &file, &size, err);
	if (rc)
		return rc;
	rc = hv_payload_parse(path, file, size, &payload, err);
	return rc ? rc : place(domain, &payload, args, err);
}
