// SPDX-License-Identifier: Apache-2.0
/*
 * Makes the golden streams of tests/golden/: good ones, and for each rule one that breaks it.
 *
 *	make_golden FOLDER	writes those that are not there yet
 *	make_golden --table	prints the table of tests/golden/README.md
 *
 * Run by hand when the format gains something. What is in the folder is never written again: the
 * files are there so that later versions still read, or still refuse, what this one wrote.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/proto/golden.h"

static const struct golden *const tables[] = {
	golden_good,
	golden_frames,
	golden_messages,
	golden_order,
};

enum { TABLES = sizeof(tables) / sizeof(tables[0]) };

static void dashes(const char *name, char *ret_name, size_t size)
{
	snprintf(ret_name, size, "%s", name);
	for (char *c = ret_name; *c; c++)
		if (*c == '_')
			*c = '-';
}

static int write_one(const struct golden *golden, const char *folder)
{
	cleanup_free struct story *story = calloc(1, sizeof(*story));
	cleanup_free char *path = NULL;
	char name[64];
	int rc;

	dashes(golden->name, name, sizeof(name));
	path = xm_format("%s/%s.xms", folder, name);
	if (!story || !path)
		return -ENOMEM;
	golden->make(story);
	rc = story_write(story, path);
	if (rc == -EEXIST)
		return 0;
	if (rc != 0)
		fprintf(stderr, "make_golden: %s: %s\n", path, strerror(-rc));
	return rc;
}

static void print_row(const struct golden *golden)
{
	char name[64];

	dashes(golden->name, name, sizeof(name));
	printf("| %s.xms | %s | %s | %s |\n", name, golden->rule, golden->found_by, golden->what);
}

int main(int argc, char **argv)
{
	bool print;

	if (argc != 2) {
		fprintf(stderr, "usage: make_golden FOLDER | --table\n");
		return 2;
	}
	print = strcmp(argv[1], "--table") == 0;
	for (int i = 0; i < TABLES; i++) {
		for (const struct golden *golden = tables[i]; golden->name; golden++) {
			if (print)
				print_row(golden);
			else if (write_one(golden, argv[1]) != 0)
				return EXIT_FAILURE;
		}
	}
	return 0;
}
