/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/daemon/ids.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/file.h"

#define FILE_MAX (1u << 20)

static int parse(struct xd_ids *ids, const char *text, struct xm_error *err)
{
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	json_t *by_name;
	json_int_t next;

	if (json_unpack(root, "{s:I, s:o}", "next", &next, "ids", &by_name) < 0 || next < 1 ||
	    !json_is_object(by_name)) {
		json_decref(root);
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "%s is damaged; remove it when no domain runs", ids->path);
	}
	ids->next = (uint64_t)next;
	ids->by_name = json_incref(by_name);
	json_decref(root);
	return 0;
}

int xd_ids_init(struct xd_ids *ids, const char *run_dir, struct xm_error *err)
{
	cleanup_free char *text = NULL;
	int rc;

	*ids = (struct xd_ids){.path = xm_format("%s/ids.json", run_dir), .next = 1};
	if (!ids->path)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	rc = xm_file_read(ids->path, FILE_MAX, &text, NULL, err);
	if (rc == 0)
		return parse(ids, text, err);
	if (rc != -ENOENT)
		return rc;
	ids->by_name = json_object();
	return ids->by_name ? 0 : xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
}

void xd_ids_finish(struct xd_ids *ids)
{
	json_decref(ids->by_name);
	free(ids->path);
}

static int store(const struct xd_ids *ids, struct xm_error *err)
{
	json_t *root = json_pack("{s:I, s:O}", "next", (json_int_t)ids->next, "ids", ids->by_name);
	cleanup_free char *text = json_dumps(root, JSON_COMPACT);

	json_decref(root);
	if (!text)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	return xm_file_replace(ids->path, text, strlen(text), 0600, false, err);
}

uint64_t xd_ids_take(struct xd_ids *ids, const char *name, struct xm_error *err)
{
	json_int_t id = json_integer_value(json_object_get(ids->by_name, name));

	if (id > 0)
		return (uint64_t)id;
	id = (json_int_t)ids->next++;
	json_object_set_new(ids->by_name, name, json_integer(id));
	store(ids, err);
	return (uint64_t)id;
}

void xd_ids_drop(struct xd_ids *ids, const char *name)
{
	if (json_object_del(ids->by_name, name) == 0)
		store(ids, NULL);
}

void xd_ids_keep_only(struct xd_ids *ids, const struct xt_domain_record *records, size_t count)
{
	const char *name;
	json_t *id;
	void *next;

	json_object_foreach_safe(ids->by_name, next, name, id)
	{
		size_t n = 0;

		while (n < count && strcmp(records[n].name, name) != 0)
			n++;
		if (n == count)
			json_object_del(ids->by_name, name);
	}
	store(ids, NULL);
}
