// SPDX-License-Identifier: Apache-2.0
/* The messages that describe a domain: HELLO, STATIC, STATE. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "proto/body.h"
#include "xmigrate.pb-c.h"

#define GPA_END_MAX (1ull << 52) /* x86's physical addresses */
#define VCPUS_MAX   4096u

/* Any valid STATIC or STATE as protobuf-c unpacks it, with room for fields of later versions. */
#define SETUP_ARENA (1u << 20)

static_assert((int)PF_PURPOSE_MIGRATE == XMIGRATE__PURPOSE__PURPOSE_MIGRATE, "wire number");
static_assert((int)PF_PURPOSE_SAVE == XMIGRATE__PURPOSE__PURPOSE_SAVE, "wire number");
static_assert((int)PF_STATE_TRIAL == XMIGRATE__STATE_PURPOSE__STATE_PURPOSE_TRIAL, "wire number");
static_assert((int)PF_STATE_FINAL == XMIGRATE__STATE_PURPOSE__STATE_PURPOSE_FINAL, "wire number");

/* ----------------------------------------------------------------------- HELLO */

int pf_hello_encode(const struct pf_hello *hello, struct pf_buffer *body, struct xm_error *err)
{
	Xmigrate__Hello wire = XMIGRATE__HELLO__INIT;

	wire.session = pf_from_bytes(hello->session, PF_SESSION_SIZE);
	wire.name = pf_from_text(hello->name);
	wire.uuid = pf_from_bytes(hello->uuid, sizeof(hello->uuid));
	wire.purpose = (Xmigrate__Purpose)hello->purpose;
	wire.live = hello->live;
	wire.channels = hello->channels;
	wire.memory_bytes = hello->memory_bytes;
	wire.vcpus = hello->vcpus;
	wire.epoch = hello->epoch;
	wire.producer = pf_from_text(hello->producer);
	return pf_pack(PF_TYPE_HELLO, &wire.base, body, err);
}

static int hello_numbers(const Xmigrate__Hello *wire, struct pf_hello *hello, struct xm_error *err)
{
	if ((int)wire->purpose != PF_PURPOSE_MIGRATE && (int)wire->purpose != PF_PURPOSE_SAVE)
		return pf_bad(err, PF_TYPE_HELLO, "its purpose is %d, which is not known",
			      (int)wire->purpose);
	if (wire->channels == 0 || wire->channels > PF_CHANNELS_MAX)
		return pf_bad(err, PF_TYPE_HELLO, "it has %u channels instead of 1 to %u",
			      wire->channels, PF_CHANNELS_MAX);
	if (wire->memory_bytes == 0 || wire->memory_bytes % PF_PAGE_SIZE != 0 ||
	    wire->memory_bytes > GPA_END_MAX)
		return pf_bad(err, PF_TYPE_HELLO,
			      "its memory is no whole number of pages, or too much");
	if (wire->vcpus == 0 || wire->vcpus > VCPUS_MAX)
		return pf_bad(err, PF_TYPE_HELLO, "it has %u vCPUs instead of 1 to %u", wire->vcpus,
			      VCPUS_MAX);
	hello->purpose = (enum pf_purpose)wire->purpose;
	hello->live = wire->live;
	hello->channels = wire->channels;
	hello->memory_bytes = wire->memory_bytes;
	hello->vcpus = wire->vcpus;
	hello->epoch = wire->epoch;
	return 0;
}

int pf_hello_decode(const void *body, size_t size, struct pf_hello *ret_hello, struct xm_error *err)
{
	PF_STACK_ARENA(arena, PF_SMALL_ARENA);
	struct pf_hello hello = {0};
	Xmigrate__Hello *wire;
	int rc;

	rc = pf_unpack(PF_TYPE_HELLO, &xmigrate__hello__descriptor, body, size, &arena, &wire, err);
	if (rc == 0)
		rc = pf_to_bytes(PF_TYPE_HELLO, "session", &wire->session, hello.session,
				 sizeof(hello.session), err);
	if (rc == 0)
		rc = pf_to_name(PF_TYPE_HELLO, "name", &wire->name, hello.name, sizeof(hello.name),
				err);
	if (rc == 0)
		rc = pf_to_bytes(PF_TYPE_HELLO, "uuid", &wire->uuid, hello.uuid, sizeof(hello.uuid),
				 err);
	if (rc == 0)
		rc = hello_numbers(wire, &hello, err);
	if (rc == 0)
		rc = pf_to_text(PF_TYPE_HELLO, "producer", &wire->producer, false, hello.producer,
				sizeof(hello.producer), err);
	if (rc == 0)
		*ret_hello = hello;
	return rc;
}

/* -------------------------------------------------------------------- sections */

/* The sections as protobuf-c packs them: an array of structs and one of pointers to these. */
struct packable_sections {
	Xmigrate__Section *wire;
	Xmigrate__Section **pointers;
};

static void packable_finish(struct packable_sections *packable)
{
	free(packable->wire);
	free(packable->pointers);
}

static int packable_init(struct packable_sections *ret_packable, unsigned type,
			 const struct pf_section *sections, uint32_t count, struct xm_error *err)
{
	struct packable_sections packable;

	if (count > PF_SECTIONS_MAX)
		return xm_fail(
			err, XM_KIND_INTERNAL, -EMSGSIZE,
			"A %s message would have %u sections, more than the %u that the stream "
			"allows.",
			pf_type_name(type), count, PF_SECTIONS_MAX);
	packable.wire = calloc(count + 1, sizeof(*packable.wire));
	packable.pointers = calloc(count + 1, sizeof(*packable.pointers));
	if (!packable.wire || !packable.pointers) {
		packable_finish(&packable);
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "Out of memory for %u sections.",
			       count);
	}
	for (uint32_t i = 0; i < count; i++) {
		Xmigrate__Section *wire = &packable.wire[i];

		xmigrate__section__init(wire);
		wire->name = pf_from_text(sections[i].name);
		wire->instance = sections[i].instance;
		wire->version = sections[i].version;
		wire->size = sections[i].size;
		packable.pointers[i] = wire;
	}
	*ret_packable = packable;
	return 0;
}

static int sections_decode(unsigned type, Xmigrate__Section **wire, size_t count,
			   struct pf_section **ret_sections, struct xm_error *err)
{
	cleanup_free struct pf_section *sections = NULL;
	uint32_t left = PF_PAYLOAD_MAX;

	if (count > PF_SECTIONS_MAX)
		return pf_bad(err, type, "it has %zu sections, more than %u", count,
			      PF_SECTIONS_MAX);
	sections = calloc(count + 1, sizeof(*sections));
	if (!sections)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "Out of memory for %zu sections.",
			       count);
	for (size_t i = 0; i < count; i++) {
		int rc = pf_to_name(type, "section's name", &wire[i]->name, sections[i].name,
				    sizeof(sections[i].name), err);

		if (rc != 0)
			return rc;
		if (wire[i]->size > left)
			return pf_bad(err, type, "its sections have more than %u bytes",
				      PF_PAYLOAD_MAX);
		left -= wire[i]->size;
		sections[i].instance = wire[i]->instance;
		sections[i].version = wire[i]->version;
		sections[i].size = wire[i]->size;
	}
	*ret_sections = xm_steal(&sections);
	return 0;
}

/* ---------------------------------------------------------------------- STATIC */

static void extents_pack(const struct pf_static *message, uint32_t *objects, uint64_t *firsts,
			 uint64_t *counts, Xmigrate__Static *wire)
{
	for (uint32_t i = 0; i < message->extent_count; i++) {
		objects[i] = message->extents[i].object;
		firsts[i] = message->extents[i].first;
		counts[i] = message->extents[i].count;
	}
	wire->n_extent_objects = wire->n_extent_firsts = message->extent_count;
	wire->n_extent_counts = message->extent_count;
	wire->extent_objects = objects;
	wire->extent_firsts = firsts;
	wire->extent_counts = counts;
}

int pf_static_encode(const struct pf_static *message, struct pf_buffer *body, struct xm_error *err)
{
	Xmigrate__Region regions[PF_REGIONS_MAX], *region_pointers[PF_REGIONS_MAX];
	uint64_t firsts[PF_EXTENTS_MAX], counts[PF_EXTENTS_MAX];
	uint32_t objects[PF_EXTENTS_MAX];
	Xmigrate__Static wire = XMIGRATE__STATIC__INIT;
	struct packable_sections sections;
	int rc;

	if (strlen(message->config) >= PF_CONFIG_MAX || message->region_count > PF_REGIONS_MAX ||
	    message->extent_count > PF_EXTENTS_MAX)
		return xm_fail(err, XM_KIND_INTERNAL, -EMSGSIZE,
			       "The domain's configuration, or its memory map, is larger than the "
			       "stream allows.");
	rc = packable_init(&sections, PF_TYPE_STATIC, message->sections, message->section_count,
			   err);
	if (rc != 0)
		return rc;
	for (uint32_t i = 0; i < message->region_count; i++) {
		xmigrate__region__init(&regions[i]);
		regions[i].gpa = message->regions[i].gpa;
		regions[i].size = message->regions[i].size;
		regions[i].page_shift = message->regions[i].page_shift;
		region_pointers[i] = &regions[i];
	}
	wire.config = pf_from_text(message->config);
	wire.n_regions = message->region_count;
	wire.regions = region_pointers;
	extents_pack(message, objects, firsts, counts, &wire);
	wire.n_sections = message->section_count;
	wire.sections = sections.pointers;
	rc = pf_pack(PF_TYPE_STATIC, &wire.base, body, err);
	packable_finish(&sections);
	return rc;
}

static bool region_valid(const Xmigrate__Region *region, uint64_t end_before)
{
	if (region->gpa % PF_PAGE_SIZE != 0 || region->size % PF_PAGE_SIZE != 0)
		return false;
	if (region->size == 0 || region->gpa < end_before)
		return false;
	if (region->gpa > GPA_END_MAX || region->size > GPA_END_MAX - region->gpa)
		return false;
	return region->page_shift == 12 || region->page_shift == 21 || region->page_shift == 30;
}

static int regions_decode(const Xmigrate__Static *wire, struct pf_static *message,
			  struct xm_error *err)
{
	uint64_t end = 0;

	if (wire->n_regions == 0 || wire->n_regions > PF_REGIONS_MAX)
		return pf_bad(err, PF_TYPE_STATIC, "it has %zu memory regions instead of 1 to %u",
			      wire->n_regions, PF_REGIONS_MAX);
	for (size_t i = 0; i < wire->n_regions; i++) {
		const Xmigrate__Region *region = wire->regions[i];

		if (!region_valid(region, end))
			return pf_bad(
				err, PF_TYPE_STATIC,
				"memory region %zu is misaligned, out of range or out of order", i);
		end = region->gpa + region->size;
		message->regions[i] = (struct pf_region){
			.gpa = region->gpa,
			.size = region->size,
			.page_shift = region->page_shift,
		};
	}
	message->region_count = (uint32_t)wire->n_regions;
	return 0;
}

/* Whether an extent lies in its region and behind the one before; NULL for the first. */
static bool extent_valid(const struct pf_static *message, const struct pf_extent *extent,
			 const struct pf_extent *before)
{
	uint64_t pages;

	if (extent->object >= message->region_count || extent->count == 0)
		return false;
	pages = message->regions[extent->object].size / PF_PAGE_SIZE;
	if (extent->first >= pages || extent->count > pages - extent->first)
		return false;
	if (!before || before->object < extent->object)
		return true;
	return before->object == extent->object && extent->first >= before->first + before->count;
}

static int extents_decode(const Xmigrate__Static *wire, struct pf_static *message,
			  struct xm_error *err)
{
	size_t count = wire->n_extent_objects;

	if (count > PF_EXTENTS_MAX || wire->n_extent_firsts != count ||
	    wire->n_extent_counts != count)
		return pf_bad(err, PF_TYPE_STATIC,
			      "its extents are more than %u, or their arrays differ in length",
			      PF_EXTENTS_MAX);
	message->extents = calloc(count + 1, sizeof(*message->extents));
	if (!message->extents)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "Out of memory for %zu extents.",
			       count);
	for (size_t i = 0; i < count; i++) {
		struct pf_extent *extent = &message->extents[i];

		extent->object = wire->extent_objects[i];
		extent->first = wire->extent_firsts[i];
		extent->count = wire->extent_counts[i];
		if (!extent_valid(message, extent, i > 0 ? extent - 1 : NULL))
			return pf_bad(err, PF_TYPE_STATIC,
				      "extent %zu is out of range or out of order", i);
	}
	message->extent_count = (uint32_t)count;
	return 0;
}

static int config_decode(const Xmigrate__Static *wire, struct pf_static *message,
			 struct xm_error *err)
{
	size_t capacity = wire->config.len + 1;

	if (wire->config.len >= PF_CONFIG_MAX)
		return pf_bad(err, PF_TYPE_STATIC, "its config has %zu bytes, more than %u",
			      wire->config.len, PF_CONFIG_MAX - 1);
	message->config = malloc(capacity);
	if (!message->config)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM,
			       "Out of memory for a configuration of %zu bytes.", capacity);
	return pf_to_text(PF_TYPE_STATIC, "config", &wire->config, true, message->config, capacity,
			  err);
}

int pf_static_decode(const void *body, size_t size, struct pf_static *ret_static,
		     struct xm_error *err)
{
	cleanup_free void *space = malloc(SETUP_ARENA);
	struct pf_static message = {0};
	Xmigrate__Static *wire;
	struct pf_arena arena;
	int rc;

	if (!space)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "Out of memory for a message.");
	pf_arena_init(&arena, space, SETUP_ARENA);
	rc = pf_unpack(PF_TYPE_STATIC, &xmigrate__static__descriptor, body, size, &arena, &wire,
		       err);
	if (rc == 0)
		rc = config_decode(wire, &message, err);
	if (rc == 0)
		rc = regions_decode(wire, &message, err);
	if (rc == 0)
		rc = extents_decode(wire, &message, err);
	if (rc == 0)
		rc = sections_decode(PF_TYPE_STATIC, wire->sections, wire->n_sections,
				     &message.sections, err);
	if (rc != 0) {
		pf_static_finish(&message);
		return rc;
	}
	message.section_count = (uint32_t)wire->n_sections;
	*ret_static = message;
	return 0;
}

void pf_static_finish(struct pf_static *message)
{
	free(message->config);
	free(message->extents);
	free(message->sections);
	*message = (struct pf_static){0};
}

/* ----------------------------------------------------------------------- STATE */

int pf_state_encode(const struct pf_state *state, struct pf_buffer *body, struct xm_error *err)
{
	Xmigrate__State wire = XMIGRATE__STATE__INIT;
	struct packable_sections sections;
	int rc;

	rc = packable_init(&sections, PF_TYPE_STATE, state->sections, state->section_count, err);
	if (rc != 0)
		return rc;
	wire.purpose = (Xmigrate__StatePurpose)state->purpose;
	wire.n_sections = state->section_count;
	wire.sections = sections.pointers;
	rc = pf_pack(PF_TYPE_STATE, &wire.base, body, err);
	packable_finish(&sections);
	return rc;
}

int pf_state_decode(const void *body, size_t size, struct pf_state *ret_state, struct xm_error *err)
{
	cleanup_free void *space = malloc(SETUP_ARENA);
	struct pf_state state = {0};
	Xmigrate__State *wire;
	struct pf_arena arena;
	int rc;

	if (!space)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "Out of memory for a message.");
	pf_arena_init(&arena, space, SETUP_ARENA);
	rc = pf_unpack(PF_TYPE_STATE, &xmigrate__state__descriptor, body, size, &arena, &wire, err);
	if (rc != 0)
		return rc;
	if ((int)wire->purpose != PF_STATE_TRIAL && (int)wire->purpose != PF_STATE_FINAL)
		return pf_bad(err, PF_TYPE_STATE, "its purpose is %d, which is not known",
			      (int)wire->purpose);
	rc = sections_decode(PF_TYPE_STATE, wire->sections, wire->n_sections, &state.sections, err);
	if (rc != 0)
		return rc;
	state.purpose = (enum pf_state_purpose)wire->purpose;
	state.section_count = (uint32_t)wire->n_sections;
	*ret_state = state;
	return 0;
}

void pf_state_finish(struct pf_state *state)
{
	free(state->sections);
	*state = (struct pf_state){0};
}
