// SPDX-License-Identifier: Apache-2.0
#include "migrate/sections.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/frame.h"

static_assert(PF_SECTIONS_MAX == HV_SECTIONS_MAX, "a stream carries any state");
static_assert(PF_SECTION_NAME_MAX == sizeof(((struct hv_section *)0)->name), "names fit");
static_assert(HV_STATE_BYTES_MAX <= PF_PAYLOAD_MAX, "a state fits one payload");

int mig_sections_init(struct mig_sections *sections, struct xm_error *err)
{
	sections->wire = calloc(PF_SECTIONS_MAX, sizeof(*sections->wire));
	sections->loaded = calloc(PF_SECTIONS_MAX, sizeof(*sections->loaded));
	if (!sections->wire || !sections->loaded)
		return xm_fail(err, XM_KIND_HOST, -ENOMEM, "no memory for state sections");
	return 0;
}

void mig_sections_finish(struct mig_sections *sections)
{
	free(sections->wire);
	free(sections->loaded);
	free(sections->payload);
	memset(sections, 0, sizeof(*sections));
}

static int reserve(struct mig_sections *sections, size_t size, struct xm_error *err)
{
	uint8_t *grown;

	if (size <= sections->payload_capacity)
		return 0;
	grown = realloc(sections->payload, size);
	if (!grown)
		return xm_fail(err, XM_KIND_HOST, -ENOMEM, "no memory for %zu bytes of state",
			       size);
	sections->payload = grown;
	sections->payload_capacity = size;
	return 0;
}

int mig_sections_pack(struct mig_sections *sections, const struct hv_state *state,
		      struct xm_error *err)
{
	size_t total = 0;
	int rc;

	if (state->count > PF_SECTIONS_MAX)
		return xm_fail(err, XM_KIND_INTERNAL, -E2BIG,
			       "the domain has %u state sections, a stream carries %u",
			       state->count, PF_SECTIONS_MAX);
	for (uint32_t i = 0; i < state->count; i++)
		total += state->sections[i].size;
	if (total > PF_PAYLOAD_MAX)
		return xm_fail(err, XM_KIND_INTERNAL, -E2BIG,
			       "the domain has %zu bytes of state, a stream carries %u", total,
			       PF_PAYLOAD_MAX);
	rc = reserve(sections, total, err);
	if (rc)
		return rc;
	total = 0;
	for (uint32_t i = 0; i < state->count; i++) {
		const struct hv_section *from = &state->sections[i];
		struct pf_section *to = &sections->wire[i];

		memcpy(to->name, from->name, sizeof(to->name));
		to->instance = from->instance;
		to->version = from->version;
		to->size = from->size;
		if (from->size)
			memcpy(sections->payload + total, from->data, from->size);
		total += from->size;
	}
	sections->payload_size = (uint32_t)total;
	sections->count = state->count;
	return 0;
}

int mig_sections_unpack(struct mig_sections *sections, const struct pf_section *wire,
			uint32_t count, uint8_t *payload, uint32_t payload_size,
			struct hv_state *ret_state, struct xm_error *err)
{
	uint32_t used = 0;

	if (count > PF_SECTIONS_MAX)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG, "%u state sections are too many",
			       count);
	for (uint32_t i = 0; i < count; i++) {
		struct hv_section *to = &sections->loaded[i];

		if (wire[i].size > payload_size - used)
			return xm_fail(err, XM_KIND_DATA, -EBADMSG,
				       "the state section %.*s %u says %u bytes, %u are left",
				       (int)sizeof(wire[i].name) - 1, wire[i].name,
				       wire[i].instance, wire[i].size, payload_size - used);
		memcpy(to->name, wire[i].name, sizeof(to->name));
		to->name[sizeof(to->name) - 1] = '\0';
		to->instance = wire[i].instance;
		to->version = wire[i].version;
		to->size = wire[i].size;
		to->data = wire[i].size ? payload + used : NULL;
		used += wire[i].size;
	}
	if (used != payload_size)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "%u bytes of state belong to no section", payload_size - used);
	*ret_state = (struct hv_state){.sections = sections->loaded,
				       .count = count,
				       .capacity = count,
				       .bytes = payload_size};
	return 0;
}
