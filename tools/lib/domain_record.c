/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/lib/domain_record.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"

#define RECORD_JSON_MAX (64u << 10)

int xt_domain_record_write(const char *folder, const struct xt_domain_record *record,
			   struct xm_error *err)
{
	cleanup_free char *path = xm_format("%s/domain.json", folder);
	cleanup_free char *text = NULL;
	char uuid[XT_UUID_SIZE];
	json_t *json;

	xt_uuid_format(record->uuid, uuid);
	json = json_pack("{ss ss sI sI si sI ss si ss}", "name", record->name, "uuid", uuid,
			 "memory_bytes", (json_int_t)record->memory_bytes, "huge_page_bytes",
			 (json_int_t)record->huge_page_bytes, "vcpus", (int)record->vcpus, "epoch",
			 (json_int_t)record->epoch, "session", record->session, "pid",
			 (int)record->pid, "created_at", record->created_at);
	text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
	json_decref(json);
	if (!path || !text)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	return xm_file_replace(path, text, strlen(text), 0600, false, err);
}

static void copy_string(const json_t *object, const char *key, char *buffer, size_t size)
{
	const char *value = json_string_value(json_object_get(object, key));

	snprintf(buffer, size, "%s", value ? value : "");
}

static uint64_t number(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));

	return value > 0 ? (uint64_t)value : 0;
}

void xt_domain_record_read(const char *folder, const char *name,
			   struct xt_domain_record *ret_record)
{
	cleanup_free char *path = xm_format("%s/domain.json", folder);
	cleanup_free char *text = NULL;
	const char *uuid;
	json_t *json = NULL;

	*ret_record = (struct xt_domain_record){0};
	snprintf(ret_record->name, sizeof(ret_record->name), "%s", name);
	if (path && xm_file_read(path, RECORD_JSON_MAX, &text, NULL, NULL) == 0)
		json = json_loads(text, 0, NULL);
	if (!json)
		return;
	uuid = json_string_value(json_object_get(json, "uuid"));
	if (uuid)
		xt_uuid_parse(uuid, ret_record->uuid);
	ret_record->memory_bytes = number(json, "memory_bytes");
	ret_record->huge_page_bytes = number(json, "huge_page_bytes");
	ret_record->vcpus = (unsigned)number(json, "vcpus");
	ret_record->epoch = number(json, "epoch");
	ret_record->pid = (pid_t)number(json, "pid");
	copy_string(json, "session", ret_record->session, sizeof(ret_record->session));
	copy_string(json, "created_at", ret_record->created_at, sizeof(ret_record->created_at));
	json_decref(json);
}
