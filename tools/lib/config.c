/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/lib/config.h"

#include <errno.h>
#include <libxlutil.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "tools/lib/config_scan.h"

/* One reading of one text. libxlutil writes its complaints to a stream, which is a buffer here. */
struct reader {
	const char *text;
	const char *path;
	XLU_Config *xlu;
	FILE *report;
	char *complaint;
	size_t complaint_size;
};

static const char *const known_settings[] = {
	"name",		"uuid",	     "memory",	     "vcpus",	   "payload",
	"payload_args", "log_dirty", "ring_entries", "huge_pages", "prefault",
};

/* "FILE:LINE: why" for a setting, or "FILE: why" when it is not there. */
static int fail_at(const struct reader *reader, const char *key, struct xm_error *err,
		   const char *why)
{
	struct xt_statement statement;

	if (xt_scan_find(reader->text, key, &statement))
		return xm_fail(err, XM_KIND_CONFIG, -EINVAL, "%s:%u: %s", reader->path,
			       statement.line, why);
	return xm_fail(err, XM_KIND_CONFIG, -EINVAL, "%s: %s", reader->path, why);
}

static int reader_open(struct reader *reader, const char *text, const char *path,
		       struct xm_error *err)
{
	*reader = (struct reader){.text = text, .path = path};
	reader->report = open_memstream(&reader->complaint, &reader->complaint_size);
	if (reader->report)
		reader->xlu = xlu_cfg_init(reader->report, path);
	if (!reader->xlu)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory reading %s", path);
	return 0;
}

static void reader_close(struct reader *reader)
{
	if (reader->xlu)
		xlu_cfg_destroy(reader->xlu);
	if (reader->report)
		fclose(reader->report);
	free(reader->complaint);
}

/* libxlutil's first complaint, which begins with "FILE:LINE: ". */
static int fail_as_reported(struct reader *reader, struct xm_error *err)
{
	fflush(reader->report);
	if (reader->complaint_size == 0)
		return xm_fail(err, XM_KIND_CONFIG, -EINVAL, "%s: not a configuration file",
			       reader->path);
	return xm_fail(err, XM_KIND_CONFIG, -EINVAL, "%.*s", (int)strcspn(reader->complaint, "\n"),
		       reader->complaint);
}

static int reject_unknown(const struct reader *reader, struct xm_error *err)
{
	struct xt_scan scan = xt_scan_begin(reader->text);
	struct xt_statement statement;

	while (xt_scan_next(&scan, &statement)) {
		bool known = false;

		for (size_t i = 0; i < sizeof(known_settings) / sizeof(*known_settings); i++)
			known = known || xt_statement_is(&statement, known_settings[i]);
		if (!known)
			return xm_fail(err, XM_KIND_CONFIG, -EINVAL,
				       "%s:%u: unknown setting '%.*s'", reader->path,
				       statement.line,
				       (int)(statement.key_length < 64 ? statement.key_length : 64),
				       statement.key);
	}
	return 0;
}

/* Leaves *ret_value alone when the setting is absent. */
static int get_string(struct reader *reader, const char *key, const char **ret_value,
		      struct xm_error *err)
{
	int rc = xlu_cfg_get_string(reader->xlu, key, ret_value, 0);

	return rc == 0 || rc == ESRCH ? 0 : fail_as_reported(reader, err);
}

static int get_number(struct reader *reader, const char *key, long min, long max, long *ret_value,
		      struct xm_error *err)
{
	char why[160];
	long value;
	int rc = xlu_cfg_get_long(reader->xlu, key, &value, 0);

	if (rc == ESRCH)
		return 0;
	if (rc != 0 && rc != ERANGE)
		return fail_as_reported(reader, err);
	if (rc == ERANGE || value < min || value > max) {
		snprintf(why, sizeof(why), "%s must be a number from %ld to %ld", key, min, max);
		return fail_at(reader, key, err, why);
	}
	*ret_value = value;
	return 0;
}

static int read_identity(struct reader *reader, struct xt_config *config, struct xm_error *err)
{
	const char *name = NULL;
	const char *uuid = NULL;
	struct xm_error reason;

	if (get_string(reader, "name", &name, err) || get_string(reader, "uuid", &uuid, err))
		return err->code;
	if (!name)
		return fail_at(reader, "name", err, "'name' is missing: add name = \"...\"");
	if (xt_name_check(name, &reason))
		return fail_at(reader, "name", err, reason.text);
	strcpy(config->name, name);
	config->has_uuid = uuid != NULL;
	if (uuid && !xt_uuid_parse(uuid, config->uuid))
		return fail_at(reader, "uuid", err,
			       "uuid must have the form 01234567-89ab-cdef-0123-456789abcdef");
	return 0;
}

static int read_shape(struct reader *reader, struct xt_config *config, struct xm_error *err)
{
	long memory = 0;
	long vcpus = 1;
	long prefault = 0;
	long ring_entries = 0;

	if (get_number(reader, "memory", HV_MEMORY_BYTES_MIN >> 20, HV_MEMORY_BYTES_MAX >> 20,
		       &memory, err) ||
	    get_number(reader, "vcpus", 1, HV_VCPUS_MAX, &vcpus, err) ||
	    get_number(reader, "prefault", 0, 1, &prefault, err) ||
	    get_number(reader, "ring_entries", 0, 65536, &ring_entries, err))
		return err->code;
	if (memory == 0)
		return fail_at(reader, "memory", err, "'memory' is missing: add memory = MIB");
	if (memory % 2)
		return fail_at(reader, "memory", err, "memory must be an even number of MiB");
	if (ring_entries & (ring_entries - 1))
		return fail_at(reader, "ring_entries", err, "ring_entries must be a power of two");
	config->memory_bytes = (uint64_t)memory << 20;
	config->vcpus = (unsigned)vcpus;
	config->prefault = prefault;
	config->ring_entries = (uint32_t)ring_entries;
	return 0;
}

static int read_backing(struct reader *reader, struct xt_config *config, struct xm_error *err)
{
	const char *log_dirty = "default";
	const char *huge_pages = "none";

	if (get_string(reader, "log_dirty", &log_dirty, err) ||
	    get_string(reader, "huge_pages", &huge_pages, err))
		return err->code;
	if (strcmp(log_dirty, "default") == 0)
		config->log_kind = HV_LOG_DEFAULT;
	else if (strcmp(log_dirty, "bitmap") == 0)
		config->log_kind = HV_LOG_BITMAP;
	else if (strcmp(log_dirty, "ring") == 0)
		config->log_kind = HV_LOG_RING;
	else
		return fail_at(reader, "log_dirty", err,
			       "log_dirty must be \"default\", \"bitmap\" or \"ring\"");
	if (strcmp(huge_pages, "none") == 0)
		config->huge_page_bytes = 0;
	else if (strcmp(huge_pages, "2M") == 0)
		config->huge_page_bytes = 2ull << 20;
	else if (strcmp(huge_pages, "1G") == 0)
		config->huge_page_bytes = 1ull << 30;
	else
		return fail_at(reader, "huge_pages", err,
			       "huge_pages must be \"none\", \"2M\" or \"1G\"");
	if (config->huge_page_bytes && config->memory_bytes % config->huge_page_bytes)
		return fail_at(reader, "huge_pages", err,
			       "memory must be a multiple of the huge pages' size");
	return 0;
}

/* A relative payload lies beside the file that names it, wherever that file is read from. */
static char *payload_path(const char *config_path, const char *payload)
{
	const char *slash = strrchr(config_path, '/');

	if (payload[0] == '/' || !slash)
		return strdup(payload);
	return xm_format("%.*s/%s", (int)(slash - config_path), config_path, payload);
}

static char *join_list(XLU_ConfigList *list, int count)
{
	cleanup_free char *joined = strdup("");

	for (int i = 0; joined && i < count; i++) {
		const char *item = xlu_cfg_get_listitem(list, i);
		char *longer = xm_format("%s%s%s", joined, i ? " " : "", item ? item : "");

		free(joined);
		joined = longer;
	}
	return xm_steal(&joined);
}

static int read_payload(struct reader *reader, struct xt_config *config, struct xm_error *err)
{
	const char *payload = NULL;
	const char *args = "";
	XLU_ConfigList *list;
	int count;

	if (get_string(reader, "payload", &payload, err))
		return err->code;
	if (xlu_cfg_get_list(reader->xlu, "payload_args", &list, &count, 1) == 0)
		config->payload_args = join_list(list, count);
	else if (get_string(reader, "payload_args", &args, err))
		return err->code;
	else
		config->payload_args = strdup(args);
	if (payload)
		config->payload = payload_path(reader->path, payload);
	if (!config->payload_args || (payload && !config->payload))
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory reading %s",
			       reader->path);
	if (strlen(config->payload_args) >= HV_PAYLOAD_ARGS_MAX)
		return fail_at(reader, "payload_args", err,
			       "payload_args is longer than 2047 bytes");
	return 0;
}

int xt_config_parse(const char *text, const char *path, struct xt_config *ret_config,
		    struct xm_error *err)
{
	struct xm_error local = XM_ERROR_INIT;
	struct xt_config config = {0};
	struct reader reader;
	int rc;

	/* The readers tell failure by err->code, so they always have one. */
	err = err ? err : &local;
	rc = reader_open(&reader, text, path, err);
	if (!rc && strlen(text) > XT_CONFIG_TEXT_MAX)
		rc = xm_fail(err, XM_KIND_CONFIG, -EFBIG, "%s: longer than %u bytes", path,
			     XT_CONFIG_TEXT_MAX);
	if (!rc && xlu_cfg_readdata(reader.xlu, text, (int)strlen(text)) != 0)
		rc = fail_as_reported(&reader, err);
	if (!rc)
		rc = reject_unknown(&reader, err);
	if (!rc)
		rc = read_identity(&reader, &config, err);
	if (!rc)
		rc = read_shape(&reader, &config, err);
	if (!rc)
		rc = read_backing(&reader, &config, err);
	if (!rc)
		rc = read_payload(&reader, &config, err);
	reader_close(&reader);
	if (rc) {
		xt_config_finish(&config);
		return rc;
	}
	*ret_config = config;
	return 0;
}

int xt_config_read(const char *path, struct xt_config *ret_config, char **ret_text,
		   struct xm_error *err)
{
	cleanup_free char *text = NULL;
	size_t size;
	int rc;

	rc = xm_file_read(path, XT_CONFIG_TEXT_MAX, &text, &size, err);
	if (!rc && strlen(text) != size)
		rc = xm_fail(err, XM_KIND_CONFIG, -EINVAL, "%s: not a text file", path);
	if (!rc)
		rc = xt_config_parse(text, path, ret_config, err);
	if (!rc && ret_text)
		*ret_text = xm_steal(&text);
	return rc;
}

void xt_config_finish(struct xt_config *config)
{
	free(config->payload);
	free(config->payload_args);
	config->payload = NULL;
	config->payload_args = NULL;
}

/* The text with the statement that sets `key` replaced, or a new one put before everything. */
static char *set_string(const char *text, const char *key, const char *value)
{
	struct xt_statement statement;

	if (!xt_scan_find(text, key, &statement))
		return xm_format("%s = \"%s\"\n%s", key, value, text);
	return xm_format("%.*s%s = \"%s\"%s", (int)(statement.key - text), text, key, value,
			 statement.end);
}

char *xt_config_rename(const char *text, const char *name, const uint8_t uuid[XT_ID_BYTES])
{
	char uuid_text[XT_UUID_SIZE];
	cleanup_free char *renamed = set_string(text, "name", name);

	xt_uuid_format(uuid, uuid_text);
	return renamed ? set_string(renamed, "uuid", uuid_text) : NULL;
}
