// SPDX-License-Identifier: Apache-2.0
/* Who comes, may it, and can its state be loaded here: all before any of its memory moves. */
#include "migrate/target.h"

#include <errno.h>
#include <string.h>

/*
 * For how long a source may take to introduce itself, in idle timeouts of the session: nobody knows yet who it is,
 * and it holds a process.
 */
#define INTRODUCE_TIMEOUTS 2

static int receive_hello(struct mig_target *target, struct xm_error *err)
{
	enum pf_purpose expected = target->answers ? PF_PURPOSE_MIGRATE : PF_PURPOSE_SAVE;
	struct pf_header header;
	const void *body;
	int rc;

	rc = mig_control_expect(&target->control, PF_TYPE_HELLO, &header, &body, NULL, err);
	if (rc == 0)
		rc = pf_hello_decode(body, header.body_size, &target->hello, err);
	if (rc)
		return rc;
	if (target->hello.purpose != expected)
		return xm_fail(err, XM_KIND_DATA, -EPROTO,
			       "this stream is a %s, and cannot be received as a %s",
			       target->answers ? "saved domain" : "migration",
			       target->answers ? "migration" : "saved domain");
	if (target->hello.channels > tp_channels_max(target->session))
		return xm_fail(err, XM_KIND_REFUSED, -EPERM,
			       "the source wants %u page channels; %s has %u at most",
			       target->hello.channels, tp_describe(target->session),
			       tp_channels_max(target->session));
	return 0;
}

/* The domain that admit() created must be the one announced: pages are addressed by its regions. */
static int check_regions(struct mig_target *target, const struct pf_static *announced,
			 struct xm_error *err)
{
	unsigned count = hv_region_count(target->domain);

	if (announced->region_count != count)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "the source announces %u memory regions, a domain of %llu bytes has "
			       "%u",
			       announced->region_count,
			       (unsigned long long)target->hello.memory_bytes, count);
	for (unsigned i = 0; i < count; i++) {
		const struct hv_region *region = hv_region(target->domain, i);

		if (announced->regions[i].gpa != region->gpa ||
		    announced->regions[i].size != region->size)
			return xm_fail(
				err, XM_KIND_DATA, -EBADMSG,
				"memory region %u is announced as %llu bytes at %#llx, and is "
				"%llu bytes at %#llx",
				i, (unsigned long long)announced->regions[i].size,
				(unsigned long long)announced->regions[i].gpa,
				(unsigned long long)region->size, (unsigned long long)region->gpa);
	}
	if (hv_domain_config(target->domain)->vcpus != target->hello.vcpus)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "the source announces %u vCPUs, the domain's configuration says %u",
			       target->hello.vcpus, hv_domain_config(target->domain)->vcpus);
	return 0;
}

static int admit(struct mig_target *target, const struct pf_header *header,
		 struct pf_static *announced, struct xm_error *err)
{
	struct hv_state platform;
	int rc;

	rc = mig_sections_unpack(&target->sections, announced->sections, announced->section_count,
				 target->control.payload, header->payload_size, &platform, err);
	if (rc == 0)
		rc = target->config.admit(target->config.opaque, &target->hello, announced,
					  &platform, &target->domain, err);
	if (rc == 0)
		rc = check_regions(target, announced, err);
	if (rc)
		return rc;
	mig_layout_init(&target->layout, target->domain);
	return mig_table_init(&target->table, &target->layout, err);
}

static int receive_static(struct mig_target *target, struct pf_static *announced,
			  struct xm_error *err)
{
	struct pf_header header;
	const void *body;
	int rc;

	rc = mig_control_expect(&target->control, PF_TYPE_STATIC, &header, &body, NULL, err);
	if (rc == 0)
		rc = pf_static_decode(body, header.body_size, announced, err);
	if (rc == 0)
		rc = mig_control_payload(&target->control, &header, err);
	if (rc == 0)
		rc = admit(target, &header, announced, err);
	return rc;
}

static int load_trial(struct mig_target *target, struct xm_error *err)
{
	struct pf_header header;
	const void *body;
	int rc;

	rc = mig_control_expect(&target->control, PF_TYPE_STATE, &header, &body, NULL, err);
	if (rc == 0)
		rc = mig_target_load(target, PF_STATE_TRIAL, &header, body, err);
	return rc;
}

/* Where the source has hung up meanwhile, its last word says why, if it had time for one. */
static int open_channels(struct mig_target *target, struct xm_error *err)
{
	struct xm_error last_word = XM_ERROR_INIT;
	struct pf_header header;
	const void *body;
	int rc = tp_open_channels(target->session, target->hello.channels, err);

	if (rc != -ECONNRESET ||
	    mig_control_receive(&target->control, &header, &body, NULL, &last_word) == 0 ||
	    last_word.kind == XM_KIND_NETWORK)
		return rc;
	*err = last_word;
	return err->code;
}

int mig_target_negotiate(struct mig_target *target, struct xm_error *err)
{
	struct pf_static announced = {0};
	int rc;

	if (target->answers)
		tp_set_deadline(target->session, INTRODUCE_TIMEOUTS);
	rc = mig_sections_init(&target->sections, err);
	if (rc == 0)
		rc = receive_hello(target, err);
	if (rc == 0)
		rc = receive_static(target, &announced, err);
	if (rc == 0)
		rc = load_trial(target, err);
	if (rc == 0 && target->answers)
		rc = mig_control_send(&target->control, PF_TYPE_READY, false, NULL, 0, err);
	if (rc == 0)
		rc = mig_populate_start(target, &announced, err);
	if (rc == 0)
		rc = open_channels(target, err);
	tp_set_deadline(target->session, 0);
	pf_static_finish(&announced);
	return rc;
}
