/* SPDX-License-Identifier: Apache-2.0 */
/* The list of sections that a state or a platform is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "hypervisor/hypervisor.h"

void hv_state_init(struct hv_state *state)
{
	*state = (struct hv_state){0};
}

void hv_state_finish(struct hv_state *state)
{
	for (uint32_t i = 0; i < state->count; i++)
		free(state->sections[i].data);
	free(state->sections);
	hv_state_init(state);
}

static int grow(struct hv_state *state, struct xm_error *err)
{
	uint32_t capacity = state->capacity ? state->capacity * 2 : 32;
	struct hv_section *sections;

	if (state->count < state->capacity)
		return 0;
	sections = reallocarray(state->sections, capacity, sizeof(*sections));
	if (!sections)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory for %u sections",
			       capacity);
	state->sections = sections;
	state->capacity = capacity;
	return 0;
}

int hv_state_add(struct hv_state *state, const char *name, uint32_t instance, uint32_t version,
		 const void *data, size_t size, struct xm_error *err)
{
	struct hv_section section = {.instance = instance, .version = version};
	size_t length = strnlen(name, sizeof(section.name));
	int rc;

	if (length == 0 || length == sizeof(section.name))
		return xm_fail(err, XM_KIND_DATA, -EINVAL,
			       "a state section's name must have 1 to %zu characters",
			       sizeof(section.name) - 1);
	if (state->count >= HV_SECTIONS_MAX)
		return xm_fail(err, XM_KIND_DATA, -E2BIG, "more than %d state sections",
			       HV_SECTIONS_MAX);
	if (size > HV_STATE_BYTES_MAX || state->bytes + size > HV_STATE_BYTES_MAX)
		return xm_fail(err, XM_KIND_DATA, -E2BIG,
			       "the state with section %s %u exceeds %u bytes", name, instance,
			       HV_STATE_BYTES_MAX);
	rc = grow(state, err);
	if (rc)
		return rc;
	if (size) {
		section.data = malloc(size);
		if (!section.data)
			return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM,
				       "out of memory for state section %s %u", name, instance);
		memcpy(section.data, data, size);
	}
	memcpy(section.name, name, length);
	section.size = (uint32_t)size;
	state->sections[state->count++] = section;
	state->bytes += size;
	return 0;
}

const struct hv_section *hv_state_find(const struct hv_state *state, const char *name,
				       uint32_t instance)
{
	for (uint32_t i = 0; i < state->count; i++) {
		const struct hv_section *section = &state->sections[i];

		if (section->instance == instance && strcmp(section->name, name) == 0)
			return section;
	}
	return NULL;
}
