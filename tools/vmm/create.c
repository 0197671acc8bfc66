/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "tools/lib/config.h"
#include "tools/lib/crash_log.h"
#include "tools/vmm/console.h"
#include "tools/vmm/control_server.h"
#include "tools/vmm/vmm.h"

#define FIRST_MOMENTS_NS (100 * XM_NS_PER_MS)

struct request {
	const char *config;
	const char *config_path;
	int paused;
};

static int read_request(json_t *packet, struct request *ret_request, struct xm_error *err)
{
	struct request request = {.config_path = "config"};
	json_error_t reason;

	if (json_unpack_ex(packet, &reason, JSON_STRICT, "{ss s?s s?b}", "config", &request.config,
			   "config_path", &request.config_path, "paused", &request.paused))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "a bad request to create a domain: %s",
			       reason.text);
	*ret_request = request;
	return 0;
}

static void fill_record(struct xt_domain_record *record, const struct xt_config *config)
{
	memcpy(record->name, config->name, sizeof(record->name));
	memcpy(record->uuid, config->uuid, sizeof(record->uuid));
	if (!config->has_uuid)
		xt_uuid_generate(record->uuid);
	record->memory_bytes = config->memory_bytes;
	record->huge_page_bytes = config->huge_page_bytes;
	record->vcpus = config->vcpus;
	record->epoch = 1;
}

/* The payload is the only thing that a domain needs besides its configuration, and only now. */
static int load_payload(struct vmm *vmm, const struct xt_config *config, const char *path,
			struct xm_error *err)
{
	int rc;

	if (!config->payload)
		return xm_fail(err, XM_KIND_CONFIG, -EINVAL,
			       "%s: 'payload' is missing: add payload = \"FILE\"", path);
	rc = hv_payload_load(vmm->domain, config->payload, config->payload_args, err);
	return rc ? xm_context(err, "%s", path) : 0;
}

static void say_created(struct vmm *vmm, const struct request *request)
{
	char text[XM_ERROR_TEXT_MAX];

	snprintf(text, sizeof(text), "%llu MiB, %u vCPU%s, %s",
		 (unsigned long long)vmm->record.memory_bytes >> 20, vmm->record.vcpus,
		 vmm->record.vcpus == 1 ? "" : "s", request->paused ? "paused" : "running");
	vmm_events_say(vmm->events, "created", text);
}

/* What its creator is told of a guest that has ended already. */
static int fail_ended(struct vmm *vmm, struct xm_error *err)
{
	cleanup_free char *log = NULL;
	char line[256];

	vmm_console_last_line(vmm->console, line, sizeof(line));
	if (vmm->end == VMM_END_CRASH)
		xt_crash_log_keep(vmm->run_dir, vmm->record.name, &log, NULL);
	return xm_fail(
		err, XM_KIND_CONFIG, -ECHILD,
		"domain %s was started and ended at once: %.*s%s%s%s%s%s; look at 'payload' and "
		"'payload_args'",
		vmm->record.name, (int)strcspn(vmm->end_text, "\n"), vmm->end_text,
		line[0] ? "; its last words: \"" : "", line, line[0] ? "\"" : "",
		log ? "; its log is " : "", log ? log : "");
}

/*
 * A guest that cannot use what it was given ends in its first moments, and who creates it shall hear why. The
 * first report, which says that it is at work, ends the wait; so does a time that nobody notices.
 */
static int see_it_live(struct vmm *vmm, struct xm_error *err)
{
	uint64_t deadline_ns = xm_now_ns() + FIRST_MOMENTS_NS;
	bool ended;

	pthread_mutex_lock(&vmm->lock);
	while (vmm->end == VMM_END_NONE && vmm->reports == 0)
		if (!vmm_wait(vmm, deadline_ns))
			break;
	ended = vmm->end != VMM_END_NONE;
	pthread_mutex_unlock(&vmm->lock);
	/* Only the first end counts, so it does not change any more. */
	return ended ? fail_ended(vmm, err) : 0;
}

static int start_domain(struct vmm *vmm, const struct xt_config *config,
			const struct request *request, struct xm_error *err)
{
	struct hv_config hv = {.memory_bytes = config->memory_bytes,
			       .vcpus = config->vcpus,
			       .huge_page_bytes = config->huge_page_bytes,
			       .prefault = config->prefault,
			       .log_kind = config->log_kind,
			       .ring_entries = config->ring_entries};
	int rc;

	fill_record(&vmm->record, config);
	rc = vmm_open(vmm, &hv, err);
	if (!rc)
		rc = load_payload(vmm, config, request->config_path, err);
	if (!rc && !request->paused)
		rc = hv_resume(vmm->domain, err);
	if (rc)
		return rc;
	vmm->present = true;
	say_created(vmm, request);
	if (!request->paused)
		rc = see_it_live(vmm, err);
	return rc ? rc : vmm_server_start(vmm->server, err);
}

int vmm_start_create(struct vmm *vmm, json_t *packet, struct xm_error *err)
{
	struct request request = {0};
	struct xt_config config = {0};
	int rc;

	rc = read_request(packet, &request, err);
	if (!rc)
		rc = xt_config_parse(request.config, request.config_path, &config, err);
	if (rc)
		return rc;
	vmm->config = strdup(request.config);
	rc = vmm->config ? start_domain(vmm, &config, &request, err)
			 : xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	xt_config_finish(&config);
	return rc;
}
