// SPDX-License-Identifier: Apache-2.0
/* Before any memory moves: who comes, what it needs, and whether the target can load it. */
#include "migrate/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bitmap.h"
#include "common/clock.h"

/* ------------------------------------------------------------------- populated memory */

struct extents {
	struct pf_extent *list; /* PF_EXTENTS_MAX */
	uint32_t count;
};

/* Appends pages to the list, to its last extent where they follow it. False: the list is full. */
static bool add_extent(struct extents *extents, uint32_t object, uint64_t first, uint64_t count)
{
	struct pf_extent *last = extents->count ? &extents->list[extents->count - 1] : NULL;

	if (last && last->object == object && last->first + last->count == first) {
		last->count += count;
		return true;
	}
	if (extents->count == PF_EXTENTS_MAX)
		return false;
	extents->list[extents->count++] =
		(struct pf_extent){.object = object, .first = first, .count = count};
	return true;
}

static bool add_block(struct extents *extents, uint32_t object, uint64_t first,
		      const uint64_t *bits)
{
	uint64_t from = 0;

	while (from < MIG_BLOCK_PAGES) {
		uint64_t start = xm_bitmap_next_set(bits, MIG_BLOCK_PAGES, from);

		if (start == MIG_BLOCK_PAGES)
			break;
		from = xm_bitmap_next_clear(bits, MIG_BLOCK_PAGES, start);
		if (!add_extent(extents, object, first + start, from - start))
			return false;
	}
	return true;
}

/* The populated memory of one region. It is a hint: what does not fit the list is left out. */
static int find_extents(struct mig_source *source, unsigned region, struct extents *extents,
			struct xm_error *err)
{
	uint64_t pages = source->layout.spans[region].pages;
	uint64_t bits[MIG_BLOCK_WORDS];
	uint64_t page = 0;

	for (;;) {
		int rc = hv_memory_next_present(source->domain, region, page, &page, err);

		if (rc || page >= pages)
			return rc;
		page -= page % MIG_BLOCK_PAGES;
		rc = hv_memory_present(source->domain, region, page, MIG_BLOCK_PAGES, bits, err);
		if (rc)
			return rc;
		if (!add_block(extents, region, page, bits))
			return 0;
		page += MIG_BLOCK_PAGES;
		if (page >= pages)
			return 0;
	}
}

/* ------------------------------------------------------------------------- messages */

static int send_hello(struct mig_source *source, struct xm_error *err)
{
	const struct hv_config *domain = hv_domain_config(source->domain);
	struct pf_hello hello = {
		.purpose = source->answers ? PF_PURPOSE_MIGRATE : PF_PURPOSE_SAVE,
		.live = source->config.live && !source->was_paused,
		.channels = source->channels,
		.memory_bytes = domain->memory_bytes,
		.vcpus = domain->vcpus,
		.epoch = source->config.epoch,
		.producer = "xmigrate " XM_VERSION,
	};
	int rc;

	memcpy(hello.session, source->config.session_id, sizeof(hello.session));
	memcpy(hello.uuid, source->config.uuid, sizeof(hello.uuid));
	memcpy(hello.name, source->config.name, sizeof(hello.name));
	rc = pf_hello_encode(&hello, &source->control.body, err);
	if (rc)
		return rc;
	return mig_control_send(&source->control, PF_TYPE_HELLO, true, NULL, 0, err);
}

static int send_platform(struct mig_source *source, struct pf_static *announced,
			 struct xm_error *err)
{
	struct mig_sections *sections = &source->sections;
	struct hv_state platform;
	int rc;

	hv_state_init(&platform);
	rc = hv_platform_describe(source->domain, &platform, err);
	if (rc == 0)
		rc = mig_sections_pack(sections, &platform, err);
	hv_state_finish(&platform);
	if (rc)
		return rc;
	announced->section_count = sections->count;
	announced->sections = sections->wire;
	rc = pf_static_encode(announced, &source->control.body, err);
	if (rc)
		return rc;
	return mig_control_send(&source->control, PF_TYPE_STATIC, true, sections->payload,
				sections->payload_size, err);
}

static int send_static(struct mig_source *source, struct xm_error *err)
{
	struct pf_static announced = {.region_count = source->layout.count};
	struct extents extents = {.list = calloc(PF_EXTENTS_MAX, sizeof(*extents.list))};
	char none[] = "";
	int rc = 0;

	if (!extents.list)
		return xm_fail(err, XM_KIND_HOST, -ENOMEM, "no memory to list populated memory");
	for (unsigned i = 0; i < source->layout.count && rc == 0; i++) {
		const struct hv_region *region = hv_region(source->domain, i);

		announced.regions[i] = (struct pf_region){
			.gpa = region->gpa, .size = region->size, .page_shift = region->page_shift};
		rc = find_extents(source, i, &extents, err);
	}
	announced.config = source->config.config ? (char *)source->config.config : none;
	announced.extents = extents.list;
	announced.extent_count = extents.count;
	if (rc == 0)
		rc = send_platform(source, &announced, err);
	free(extents.list);
	return rc;
}

/* The state at some moment, so that the target finds out in time whether it can load it. */
static int send_trial(struct mig_source *source, struct xm_error *err)
{
	struct pf_state message = {.purpose = PF_STATE_TRIAL};
	uint64_t before = xm_now_ns();
	struct hv_state state;
	int rc = 0;

	hv_state_init(&state);
	if (!source->was_paused)
		rc = mig_source_pause(source, err);
	if (rc == 0)
		rc = hv_state_save(source->domain, &state, err);
	if (rc == 0 && source->paused_here) {
		rc = hv_resume(source->domain, err);
		source->paused_here = rc != 0;
	}
	source->measure.probe_ns = xm_now_ns() - before;
	if (rc == 0)
		rc = mig_sections_pack(&source->sections, &state, err);
	hv_state_finish(&state);
	if (rc)
		return rc;
	source->measure.state_bytes = source->sections.payload_size;
	message.section_count = source->sections.count;
	message.sections = source->sections.wire;
	rc = pf_state_encode(&message, &source->control.body, err);
	if (rc)
		return rc;
	return mig_control_send(&source->control, PF_TYPE_STATE, true, source->sections.payload,
				source->sections.payload_size, err);
}

/* ---------------------------------------------------------------------------- story */

int mig_source_prepare(struct mig_source *source, struct xm_error *err)
{
	int rc;

	mig_layout_init(&source->layout, source->domain);
	source->was_paused = hv_paused(source->domain);
	rc = mig_table_init(&source->table, &source->layout, err);
	if (rc == 0)
		rc = mig_bitmap_create(&source->layout, &source->pending, err);
	if (rc == 0)
		rc = mig_bitmap_create(&source->layout, &source->skipped, err);
	if (rc == 0)
		rc = mig_bitmap_create(&source->layout, &source->fetched, err);
	if (rc == 0)
		rc = mig_sections_init(&source->sections, err);
	return rc;
}

int mig_source_negotiate(struct mig_source *source, struct xm_error *err)
{
	struct pf_header header;
	const void *body;
	int rc;

	rc = send_hello(source, err);
	if (rc == 0)
		rc = send_static(source, err);
	if (rc == 0)
		rc = send_trial(source, err);
	if (rc == 0 && source->answers)
		rc = mig_control_expect(&source->control, PF_TYPE_READY, &header, &body, NULL, err);
	if (rc == 0)
		rc = mig_source_check(source, err);
	if (rc == 0 && source->config.record_leaving)
		rc = source->config.record_leaving(source->config.opaque, err);
	if (rc)
		return rc;
	return tp_open_channels(source->session, source->channels, err);
}
