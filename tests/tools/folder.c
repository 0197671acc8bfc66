/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/tools/folder.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/file.h"

char *test_folder_make(void)
{
	const char *base = getenv("TMPDIR");
	char *path = xm_format("%s/xmigrate-test-XXXXXX", base ? base : "/tmp");

	if (!path || !mkdtemp(path))
		abort();
	return path;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

void test_folder_remove(char *path)
{
	nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(path);
}
