/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/daemon/operations.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tools/lib/control.h"
#include "tools/lib/ident.h"

struct xd_operations {
	char *folder;
	pthread_mutex_t lock; /* guards: */
	json_t *list;	      /* the oldest first */
};

bool xd_operation_is(const json_t *operation, const char *id)
{
	const char *said = json_string_value(json_object_get(operation, "id"));
	uint8_t bytes[XT_ID_BYTES];

	return said && xt_hex_parse(said, bytes) && (!id || !strcmp(said, id)) &&
	       json_is_string(json_object_get(operation, "state")) &&
	       json_is_boolean(json_object_get(operation, "finished"));
}

bool xd_operation_finished(const json_t *operation)
{
	return json_is_true(json_object_get(operation, "finished"));
}

bool xd_operation_ends_domain(const json_t *operation)
{
	return xd_operation_finished(operation) && json_is_true(json_object_get(operation, "last"));
}

void xd_operation_hold_back(json_t *operation)
{
	if (xd_operation_ends_domain(operation))
		json_object_set_new(operation, "finished", json_false());
	json_object_del(operation, "last");
}

static const char *id_of(const json_t *operation)
{
	return json_string_value(json_object_get(operation, "id"));
}

static char *path_of(const struct xd_operations *operations, const char *id)
{
	return xm_format("%s/%s.json", operations->folder, id);
}

/* What lies in the folder under that id, or NULL. */
static json_t *load(const struct xd_operations *operations, const char *id)
{
	cleanup_free char *path = path_of(operations, id);
	cleanup_free char *text = NULL;
	json_t *operation;

	if (!path || xm_file_read(path, XT_PACKET_MAX, &text, NULL, NULL) < 0)
		return NULL;
	operation = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	if (xd_operation_is(operation, id) && xd_operation_finished(operation))
		return operation;
	json_decref(operation);
	return NULL;
}

/* The rest is called with the lock held. */

static size_t index_of(const struct xd_operations *operations, const char *id)
{
	size_t n = 0;

	while (n < json_array_size(operations->list) &&
	       strcmp(id_of(json_array_get(operations->list, n)), id) != 0)
		n++;
	return n;
}

static void drop_oldest(struct xd_operations *operations)
{
	cleanup_free char *path = path_of(operations, id_of(json_array_get(operations->list, 0)));

	if (path)
		unlink(path);
	json_array_remove(operations->list, 0);
}

static void add(struct xd_operations *operations, json_t *operation)
{
	size_t n = index_of(operations, id_of(operation));

	json_object_del(operation, "last"); /* what is kept is of the past */
	if (n < json_array_size(operations->list)) {
		json_array_set_new(operations->list, n, operation);
		return;
	}
	json_array_append_new(operations->list, operation);
	while (json_array_size(operations->list) > XD_OPERATIONS_KEPT)
		drop_oldest(operations);
}

/* ------------------------------------------------------------------ the folder */

struct found {
	char id[XT_HEX_SIZE];
	struct timespec at;
};

static int by_time(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->at.tv_sec != y->at.tv_sec)
		return x->at.tv_sec < y->at.tv_sec ? -1 : 1;
	return x->at.tv_nsec < y->at.tv_nsec ? -1 : x->at.tv_nsec > y->at.tv_nsec;
}

static bool is_operation_file(int folder, const char *name, struct found *ret_found)
{
	uint8_t bytes[XT_ID_BYTES];
	struct stat st;

	if (strlen(name) != XT_HEX_SIZE - 1 + strlen(".json") ||
	    strcmp(name + XT_HEX_SIZE - 1, ".json") != 0)
		return false;
	memcpy(ret_found->id, name, XT_HEX_SIZE - 1);
	ret_found->id[XT_HEX_SIZE - 1] = '\0';
	if (!xt_hex_parse(ret_found->id, bytes) || fstatat(folder, name, &st, 0) < 0)
		return false;
	ret_found->at = st.st_mtim;
	return true;
}

static void load_all(struct xd_operations *operations, DIR *folder)
{
	struct found *found = NULL;
	size_t count = 0;
	struct dirent *entry;

	while ((entry = readdir(folder)) != NULL) {
		struct found *grown = realloc(found, (count + 1) * sizeof(*found));

		if (!grown)
			break;
		found = grown;
		if (is_operation_file(dirfd(folder), entry->d_name, &found[count]))
			count++;
	}
	if (count > 0)
		qsort(found, count, sizeof(*found), by_time);
	for (size_t n = 0; n < count; n++) {
		json_t *operation = load(operations, found[n].id);

		if (operation)
			add(operations, operation);
	}
	free(found);
}

int xd_operations_create(const char *run_dir, struct xd_operations **ret_operations,
			 struct xm_error *err)
{
	struct xd_operations *operations = calloc(1, sizeof(*operations));
	DIR *folder = NULL;
	int rc;

	if (!operations)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	pthread_mutex_init(&operations->lock, NULL);
	operations->folder = xm_format("%s/finished", run_dir);
	operations->list = json_array();
	rc = operations->folder && operations->list
		     ? xt_make_folders(operations->folder, 0700, err)
		     : xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	if (rc)
		goto out;
	folder = opendir(operations->folder);
	if (!folder) {
		rc = xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot read %s", operations->folder);
		goto out;
	}
	load_all(operations, folder);
	closedir(folder);
	*ret_operations = operations;
	return 0;
out:
	xd_operations_destroy(operations);
	return rc;
}

/* ---------------------------------------------------------------- for everybody */

void xd_operations_keep(struct xd_operations *operations, const json_t *operation)
{
	cleanup_free char *path = path_of(operations, id_of(operation));
	cleanup_free char *text = json_dumps(operation, JSON_COMPACT);
	json_t *copy = json_deep_copy(operation);

	if (!copy)
		return;
	XM_LOCK_GUARD(&operations->lock);
	add(operations, copy);
	if (path && text) /* what cannot be written is lost with this daemon, and nothing else */
		xm_file_replace(path, text, strlen(text), 0600, false, NULL);
}

json_t *xd_operations_find(struct xd_operations *operations, const char *id)
{
	XM_LOCK_GUARD(&operations->lock);
	size_t n = index_of(operations, id);
	json_t *operation;

	if (n == json_array_size(operations->list)) {
		operation = load(operations, id);
		if (operation)
			add(operations, operation);
		return json_deep_copy(operation);
	}
	return json_deep_copy(json_array_get(operations->list, n));
}

json_t *xd_operations_list(struct xd_operations *operations)
{
	XM_LOCK_GUARD(&operations->lock);
	return json_deep_copy(operations->list);
}

void xd_operations_destroy(struct xd_operations *operations)
{
	if (!operations)
		return;
	json_decref(operations->list);
	free(operations->folder);
	pthread_mutex_destroy(&operations->lock);
	free(operations);
}
