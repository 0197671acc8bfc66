// SPDX-License-Identifier: Apache-2.0
/*
 * The golden streams under the C decoders, as the table in tests/golden/README.md says: good ones
 * are read, bad ones are refused by whoever is named there.
 */
#include <string.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/proto/walk.h"
#include "tests/test.h"

#define STREAM_MAX (1u << 20)

/* Splits "| a | b | c | d |" in place. Returns whether it is a row about a stream. */
static bool read_row(char *line, char **ret_file, char **ret_found_by)
{
	char *cells[6], *save = NULL;
	int count = 0;

	for (char *cell = strtok_r(line, "|", &save); cell && count < 6;
	     cell = strtok_r(NULL, "|", &save)) {
		cell += strspn(cell, " ");
		cell[strcspn(cell, " ")] = '\0';
		cells[count++] = cell;
	}
	if (count < 4 || !strstr(cells[0], ".xms"))
		return false;
	*ret_file = cells[0];
	*ret_found_by = cells[2];
	return true;
}

static void check_stream(const char *file, bool refused)
{
	cleanup_free char *path = xm_format("%s/%s", GOLDEN_DIR, file);
	cleanup_free char *stream = NULL;
	struct xm_error err = XM_ERROR_INIT;
	size_t size;
	int rc;

	assert_non_null(path);
	assert_ok(xm_file_read(path, STREAM_MAX, &stream, &size, &err), &err);
	rc = walk_stream((uint8_t *)stream, size, false, &err);
	if (refused && (rc == 0 || err.kind != XM_KIND_DATA))
		fail_msg("%s was not refused", file);
	if (!refused && rc != 0)
		fail_msg("%s: %s", file, err.text);
}

static void each_golden_stream(void **state)
{
	cleanup_free char *table = NULL;
	struct xm_error err = XM_ERROR_INIT;
	char *save = NULL;
	int streams = 0;
	size_t size;

	(void)state;
	assert_ok(xm_file_read(GOLDEN_DIR "/README.md", STREAM_MAX, &table, &size, &err), &err);
	for (char *line = strtok_r(table, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *file, *found_by;

		if (!read_row(line, &file, &found_by))
			continue;
		check_stream(file, strcmp(found_by, "decoders") == 0);
		streams++;
	}
	assert_in_range(streams, 50, 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(each_golden_stream)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
