// SPDX-License-Identifier: Apache-2.0
/*
 * Writes the seeds of fuzz_message: one valid message of each type.
 *
 *	make_corpus FOLDER
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "proto/frame.h"
#include "proto/messages.h"

static struct pf_section sections[] = {
	{.name = "vcpu", .instance = 1, .version = 2, .size = 3000},
	{.name = "clock", .version = 1, .size = 64},
};

static char config[] = "name = \"web1\"\nmemory = 64\n";

static struct pf_extent extents[] = {{0, 0, 9}, {0, 10, 1}, {1, 0, 512}};

static struct pf_run runs[] = {
	{.first = 0, .count = 1, .encoding = PF_ENCODING_RAW, .bytes = 4096},
	{.first = 1, .count = 4000, .encoding = PF_ENCODING_ZERO},
	{.first = 70000, .count = 16, .encoding = PF_ENCODING_ZSTD, .bytes = 900},
};

static const struct pf_hello hello = {
	.session = "fifteen letters",
	.name = "web1",
	.uuid = "fifteen letters",
	.purpose = PF_PURPOSE_MIGRATE,
	.live = true,
	.channels = 4,
	.memory_bytes = 64 << 20,
	.vcpus = 2,
	.epoch = 3,
	.producer = "make_corpus",
};

static const struct pf_static announced = {
	.config = config,
	.region_count = 2,
	.regions = {{0, 62 << 20, 12}, {1ull << 32, 2 << 20, 21}},
	.extent_count = 3,
	.extents = extents,
	.section_count = 2,
	.sections = sections,
};

static const struct pf_state state = {PF_STATE_FINAL, 2, sections};
static const struct pf_refuse refuse = {XM_KIND_HOST, "Too little memory.\nFree some."};
static const struct pf_pages pages = {.round = 2, .object = 1, .run_count = 3, .runs = runs};
static const struct pf_seal seal = {
	.round = 2,
	.final = true,
	.pages = 4017,
	.payload_bytes = 4996,
	.digest = (pf_digest)12345 << 64 | 6789,
	.channel_count = 4,
	.last_seq = {3, 0, 2, 1},
};
static const struct pf_sealed sealed = {.round = 2};
static const struct pf_end end = {.rounds = 2, .digest = 99};
static const struct pf_prepared prepared = {.digest = 99, .load_ns = 1000000};
static const struct pf_commit commit = {.epoch = 3};
static const struct pf_committed committed = {3, 50000, 900000000};
static const struct pf_query query = {"fifteen letters"};
static const struct pf_outcome outcome = {PF_OUTCOME_ABORTED, "It was given up."};

/* The seed's form is described in fuzz_message.c. */
static int write_seed(const char *folder, unsigned type, const struct pf_buffer *body,
		      uint32_t payload_size)
{
	const uint8_t prefix[5] = {(uint8_t)type, (uint8_t)payload_size,
				   (uint8_t)(payload_size >> 8), (uint8_t)(payload_size >> 16),
				   (uint8_t)(payload_size >> 24)};
	cleanup_free char *path = xm_format("%s/%s", folder, pf_type_name(type));
	cleanup_fclose FILE *file = NULL;

	if (!path)
		return -1;
	for (char *c = path + strlen(folder); *c; c++)
		*c = (char)tolower(*c);
	file = fopen(path, "wb");
	if (!file)
		return -1;
	fwrite(prefix, sizeof(prefix), 1, file);
	fwrite(body->data, 1, body->size, file);
	return fflush(file);
}

#define SEED(type, name, message, payload_size)                                                    \
	do {                                                                                       \
		struct xm_error err = XM_ERROR_INIT;                                               \
		struct pf_buffer body = {0};                                                       \
		if (pf_##name##_encode(&message, &body, &err) != 0 ||                              \
		    write_seed(argv[1], type, &body, payload_size) != 0) {                         \
			fprintf(stderr, "make_corpus: %s: %s\n", #name, err.text);                 \
			return EXIT_FAILURE;                                                       \
		}                                                                                  \
		pf_buffer_finish(&body);                                                           \
	} while (0)

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: make_corpus FOLDER\n");
		return 2;
	}
	SEED(PF_TYPE_HELLO, hello, hello, 0);
	SEED(PF_TYPE_STATIC, static, announced, 0);
	SEED(PF_TYPE_STATE, state, state, 0);
	SEED(PF_TYPE_REFUSE, refuse, refuse, 0);
	SEED(PF_TYPE_PAGES, pages, pages, 4996);
	SEED(PF_TYPE_SEAL, seal, seal, 0);
	SEED(PF_TYPE_SEALED, sealed, sealed, 0);
	SEED(PF_TYPE_END, end, end, 0);
	SEED(PF_TYPE_PREPARED, prepared, prepared, 0);
	SEED(PF_TYPE_COMMIT, commit, commit, 0);
	SEED(PF_TYPE_COMMITTED, committed, committed, 0);
	SEED(PF_TYPE_QUERY, query, query, 0);
	SEED(PF_TYPE_OUTCOME, outcome, outcome, 0);
	return EXIT_SUCCESS;
}
