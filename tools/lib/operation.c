/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/lib/operation.h"

#include <errno.h>

#include "common/clock.h"
#include "tools/lib/control.h"

const char *xt_operation_kind_name(enum xt_operation_kind kind)
{
	static const char *const names[] = {"migrate", "save", "restore", "incoming"};

	return (unsigned)kind < sizeof(names) / sizeof(*names) ? names[kind] : "migrate";
}

static double ms(uint64_t ns)
{
	return (double)ns / (double)XM_NS_PER_MS;
}

static json_t *progress_to_json(const struct mig_progress *progress)
{
	return json_pack(
		"{sI sI sI sI sI sI sI sI sI sf sf sf}", "round", (json_int_t)progress->round,
		"memory_bytes", (json_int_t)progress->memory_bytes, "sent_pages",
		(json_int_t)progress->sent_pages, "zero_pages", (json_int_t)progress->zero_pages,
		"skipped_pages", (json_int_t)progress->skipped_pages, "wire_bytes",
		(json_int_t)progress->wire_bytes, "remaining_bytes",
		(json_int_t)progress->remaining_bytes, "dirty_rate",
		(json_int_t)progress->dirty_rate, "bandwidth", (json_int_t)progress->bandwidth,
		"predicted_pause_ms", ms(progress->predicted_pause_ns), "eta_ms",
		ms(progress->eta_ns), "elapsed_ms", ms(progress->elapsed_ns));
}

static json_t *pause_to_json(const struct mig_pause *pause)
{
	return json_pack("{sf sf sf sf sf sf sf sf sf sf sf}", "total_ms", ms(pause->total_ns),
			 "engine_ms", ms(pause->engine_ns), "kick_ms", ms(pause->kick_ns),
			 "quiesce_ms", ms(pause->quiesce_ns), "state_ms", ms(pause->state_ns),
			 "pages_ms", ms(pause->pages_ns), "transfer_ms", ms(pause->transfer_ns),
			 "load_ms", ms(pause->load_ns), "commit_ms", ms(pause->commit_ns),
			 "resume_ms", ms(pause->resume_ns), "probe_ms", ms(pause->probe_ns));
}

static void digest_format(pf_digest digest, char ret_text[XT_HEX_SIZE])
{
	uint8_t bytes[XT_ID_BYTES];

	/* As one number, so the most significant byte comes first. */
	for (int i = XT_ID_BYTES - 1; i >= 0; i--) {
		bytes[i] = (uint8_t)digest;
		digest >>= 8;
	}
	xt_hex_format(bytes, ret_text);
}

static json_t *result_to_json(const struct xt_operation *operation)
{
	const struct mig_result *result = &operation->result;
	char digest[XT_HEX_SIZE];

	if (!operation->has_result)
		return json_null();
	digest_format(result->digest, digest);
	return json_pack("{sf ss sf sf sI so so}", "total_ms", ms(result->total_ns), "digest",
			 digest, "source_cpu_ms", ms(result->source_cpu_ns), "target_cpu_ms",
			 ms(result->target_cpu_ns), "engine_memory_bytes",
			 (json_int_t)result->engine_memory_bytes, "audit_pages",
			 operation->audited ? json_integer((json_int_t)operation->audit_pages)
					    : json_null(),
			 "pause", pause_to_json(&result->pause));
}

json_t *xt_operation_to_json(const struct xt_operation *operation)
{
	bool failed = operation->error.kind != XM_KIND_NONE;
	json_t *json;

	json = json_pack("{ss ss ss ss sI ss sb so so so}", "id", operation->id, "kind",
			 xt_operation_kind_name(operation->kind), "domain", operation->domain,
			 "peer", operation->peer, "sequence", (json_int_t)operation->sequence,
			 "state", mig_state_name(operation->state), "finished", operation->finished,
			 "error", failed ? xt_error_to_json(&operation->error) : json_null(),
			 "progress", progress_to_json(&operation->progress), "result",
			 result_to_json(operation));
	if (json && operation->last)
		json_object_set_new(json, "last", json_true());
	return json;
}

/* Takes `key` out of the object if it is there: a whole number from 0 to `max`. */
static int take_number(json_t *object, const char *key, uint64_t max, uint64_t *value,
		       struct xm_error *err)
{
	json_t *json = json_object_get(object, key);

	if (!json)
		return 0;
	if (!json_is_integer(json) || json_integer_value(json) < 0 ||
	    (uint64_t)json_integer_value(json) > max)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "%s must be a whole number from 0 to %llu", key,
			       (unsigned long long)max);
	*value = (uint64_t)json_integer_value(json);
	json_object_del(object, key);
	return 0;
}

/* Milliseconds may have a fraction. */
static int take_downtime(json_t *object, uint64_t *ns, struct xm_error *err)
{
	json_t *json = json_object_get(object, "max_downtime_ms");
	double value = json_number_value(json);

	if (!json)
		return 0;
	if (!json_is_number(json) || !(value >= 0 && value <= 3600e3))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "max_downtime_ms must be a number from 0 to 3600000");
	*ns = (uint64_t)(value * (double)XM_NS_PER_MS);
	json_object_del(object, "max_downtime_ms");
	return 0;
}

int xt_limits_from_json(json_t *object, struct mig_limits *limits, struct xm_error *err)
{
	struct mig_limits wanted = *limits;
	uint64_t rounds = wanted.rounds;
	int rc;

	rc = take_downtime(object, &wanted.downtime_ns, err);
	if (!rc)
		rc = take_number(object, "bandwidth", INT64_MAX, &wanted.bandwidth, err);
	if (!rc)
		rc = take_number(object, "max_rounds", UINT32_MAX, &rounds, err);
	if (!rc)
		rc = take_number(object, "max_bytes", INT64_MAX, &wanted.bytes, err);
	if (rc)
		return rc;
	wanted.rounds = (uint32_t)rounds;
	*limits = wanted;
	return 0;
}
