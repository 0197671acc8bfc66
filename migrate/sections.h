/* SPDX-License-Identifier: Apache-2.0 */
/* The hypervisor's state sections as a frame carries them: a list in the body, their bytes end to end. */
#ifndef XM_MIGRATE_SECTIONS_H
#define XM_MIGRATE_SECTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "hypervisor/hypervisor.h"
#include "proto/messages.h"

/* Both directions' working memory, reused from frame to frame. Zero-initialise. */
struct mig_sections {
	struct pf_section *wire;   /* PF_SECTIONS_MAX of them */
	struct hv_section *loaded; /* PF_SECTIONS_MAX of them */
	uint8_t *payload;	   /* packed bytes */
	size_t payload_capacity;
	uint32_t payload_size;
	uint32_t count;
};

int mig_sections_init(struct mig_sections *sections, struct xm_error *err);
void mig_sections_finish(struct mig_sections *sections);

/* Fills wire, count and payload from a state. */
int mig_sections_pack(struct mig_sections *sections, const struct hv_state *state,
		      struct xm_error *err);

/*
 * Makes a state of what came from a peer: its sections point into `payload`, and into `sections`,
 * which both outlive it; hv_state_finish() is not for it. Sizes must add up to the payload's.
 */
int mig_sections_unpack(struct mig_sections *sections, const struct pf_section *wire,
			uint32_t count, uint8_t *payload, uint32_t payload_size,
			struct hv_state *ret_state, struct xm_error *err);

#endif
