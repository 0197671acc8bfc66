// SPDX-License-Identifier: Apache-2.0
/*
 * A main() for fuzz targets where there is no libFuzzer: replays each file of a folder, then so
 * many mutations of them. The mutations come from a fixed seed, so that a failure can be repeated.
 *
 *	fuzz_... FOLDER MUTATIONS
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "tests/fuzz/fuzz.h"

enum { SEEDS_MAX = 1024, SEED_SIZE_MAX = 64 << 10, EDITS_MAX = 6 };

struct seed {
	char *data;
	size_t size;
};

struct corpus {
	struct seed seeds[SEEDS_MAX];
	size_t count;
};

/* Steele and Vigna's splitmix64: any state will do. */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_seed(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int corpus_read(struct corpus *corpus, const char *folder)
{
	struct dirent **entries;
	int count = scandir(folder, &entries, is_seed, by_name);
	int rc = count < 0 ? -1 : 0;

	for (int i = 0; i < count; i++) {
		cleanup_free char *path = xm_format("%s/%s", folder, entries[i]->d_name);
		struct seed *seed = &corpus->seeds[corpus->count];
		struct xm_error err = XM_ERROR_INIT;

		free(entries[i]);
		if (rc != 0 || !path || corpus->count == SEEDS_MAX)
			continue;
		rc = xm_file_read(path, SEED_SIZE_MAX, &seed->data, &seed->size, &err);
		if (rc == 0)
			corpus->count++;
		else
			fprintf(stderr, "%s\n", err.text);
	}
	if (count >= 0)
		free(entries);
	return rc;
}

/* One change: a bit, a byte, a cut, a piece left out or said twice, a piece of another seed. */
static size_t edit(const struct corpus *corpus, uint8_t *data, size_t size, uint64_t *random)
{
	static const uint8_t telling[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	size_t at = draw(random) % size;
	size_t length = 1 + draw(random) % (size - at);
	const struct seed *other = &corpus->seeds[draw(random) % corpus->count];

	switch (draw(random) % 6) {
	case 0:
		data[at] ^= (uint8_t)(1 << draw(random) % 8);
		return size;
	case 1:
		data[at] = telling[draw(random) % sizeof(telling)];
		return size;
	case 2:
		return at + 1;
	case 3:
		memmove(data + at, data + at + length, size - at - length);
		return size > length ? size - length : 1;
	case 4:
		if (size + length > SEED_SIZE_MAX)
			return size;
		memmove(data + at + length, data + at, size - at);
		return size + length;
	default:
		if (other->size < length)
			return size;
		memcpy(data + at, other->data + draw(random) % (other->size - length + 1), length);
		return size;
	}
}

static void mutate(const struct corpus *corpus, uint64_t *random)
{
	const struct seed *seed = &corpus->seeds[draw(random) % corpus->count];
	/* Of its exact size at last, so that a read behind its end is seen. */
	cleanup_free uint8_t *room = malloc(SEED_SIZE_MAX);
	cleanup_free uint8_t *exact = NULL;
	uint64_t edits = 1 + draw(random) % EDITS_MAX;
	size_t size = seed->size;

	if (!room || size == 0)
		return;
	memcpy(room, seed->data, size);
	for (uint64_t i = 0; i < edits; i++)
		size = edit(corpus, room, size, random);
	exact = malloc(size);
	if (!exact)
		return;
	memcpy(exact, room, size);
	LLVMFuzzerTestOneInput(exact, size);
}

int main(int argc, char **argv)
{
	static struct corpus corpus;
	uint64_t random = 20260101;
	long mutations;

	if (argc != 3) {
		fprintf(stderr, "usage: %s FOLDER MUTATIONS\n", argv[0]);
		return 2;
	}
	if (corpus_read(&corpus, argv[1]) != 0 || corpus.count == 0) {
		fprintf(stderr, "%s: no corpus in %s\n", argv[0], argv[1]);
		return EXIT_FAILURE;
	}
	for (size_t i = 0; i < corpus.count; i++)
		LLVMFuzzerTestOneInput((uint8_t *)corpus.seeds[i].data, corpus.seeds[i].size);
	mutations = strtol(argv[2], NULL, 10);
	for (long i = 0; i < mutations; i++)
		mutate(&corpus, &random);
	printf("%zu seeds, %ld mutations\n", corpus.count, mutations);
	for (size_t i = 0; i < corpus.count; i++)
		free(corpus.seeds[i].data);
	return EXIT_SUCCESS;
}
