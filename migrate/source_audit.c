// SPDX-License-Identifier: Apache-2.0
/* Did log-dirty miss a write? The frozen memory against what was entered when it was sent. */
#include "migrate/source.h"

#include <errno.h>

#include "common/bitmap.h"

/* Pages of a block that differ from the table. Those that are holes count as zero, unread. */
static int audit_block(struct mig_source *source, uint64_t block, uint64_t *ret_wrong,
		       struct xm_error *err)
{
	uint64_t row_first = block * MIG_BLOCK_PAGES;
	unsigned region = mig_layout_region(&source->layout, row_first);
	const struct mig_span *span = &source->layout.spans[region];
	uint64_t first = row_first - span->first;
	uint64_t present[MIG_BLOCK_WORDS];
	uint64_t wrong = 0;
	int rc;

	rc = hv_memory_present(source->domain, region, first, MIG_BLOCK_PAGES, present, err);
	if (rc)
		return rc;
	for (unsigned i = 0; i < MIG_BLOCK_PAGES; i++) {
		const uint8_t *page = span->host + (first + i) * HV_PAGE_SIZE;
		uint64_t hash = xm_bitmap_test(present, i) ? pf_page_hash(page) : 0;

		wrong += hash != source->table.hashes[row_first + i];
	}
	*ret_wrong += wrong;
	return 0;
}

int mig_source_audit(struct mig_source *source, uint64_t *ret_pages, struct xm_error *err)
{
	struct xm_pace pace;
	uint64_t wrong = 0;
	int rc = 0;
	bool frozen = source->state == MIG_COMMITTED || source->state == MIG_UNRESOLVED;

	if (!frozen || source->config.keep_running)
		return xm_fail(err, XM_KIND_CONFLICT, -EINVAL,
			       "only a domain that has moved away holds still for an audit");
	xm_pace_start(&pace);
	for (uint64_t block = 0; block < mig_layout_blocks(&source->layout) && rc == 0; block++) {
		rc = audit_block(source, block, &wrong, err);
		xm_pace(&pace);
	}
	xm_pace_finish(&pace);
	if (rc)
		return rc;
	*ret_pages = wrong;
	if (wrong)
		return xm_fail(
			err, XM_KIND_DATA, -EBADMSG,
			"%llu pages of '%s' were written without the dirty log saying so: its "
			"copy at the target is wrong. Stop the copy, and report this with the "
			"kernel's version and the log-dirty kind",
			(unsigned long long)wrong, source->config.name);
	return 0;
}
