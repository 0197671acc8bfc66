/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of a stream as plain structs: one encode and one decode function for each. Generated
 * protobuf structs stay in proto/; docs/stream.md is the specification.
 *
 * encode: writes the body to `body`, whose memory is reused from call to call; -EMSGSIZE (INTERNAL)
 * when it would be over the type's cap. The caller puts body->data and ->size into its frame.
 *
 * decode: reads a body whose checksum was verified. Kind DATA for anything that docs/stream.md does
 * not allow: strings are checked to be UTF-8 and within their limits, counts capped before
 * allocation, enums known, runs ordered and without overflow. Decoding uses a capped arena inside
 * the function; what a struct keeps is in the struct itself or in memory that its finish function
 * frees.
 */
#ifndef XM_PROTO_MESSAGES_H
#define XM_PROTO_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "proto/page.h"

#define PF_NAME_MAX	    64 /* a domain's name, with its NUL */
#define PF_SESSION_SIZE	    16 /* random bytes; also the token of its channels */
#define PF_CHANNELS_MAX	    16 /* page channels */
#define PF_REGIONS_MAX	    8
#define PF_SECTIONS_MAX	    1024
#define PF_SECTION_NAME_MAX 24 /* with its NUL */
#define PF_CONFIG_MAX	    (256u << 10)
#define PF_TEXT_MAX	    XM_ERROR_TEXT_MAX
#define PF_RUNS_MAX	    4096  /* runs of one PAGES frame */
#define PF_BATCH_PAGES_MAX  65536 /* pages of one PAGES frame, zero pages included */
#define PF_EXTENTS_MAX	    4096  /* of the populated-memory hint in STATIC */

/* A reusable, growing buffer for bodies. Zero-initialise; pf_buffer_finish() frees. */
struct pf_buffer {
	uint8_t *data;
	size_t size;
	size_t capacity;
};

void pf_buffer_finish(struct pf_buffer *buffer);

enum pf_purpose {
	PF_PURPOSE_MIGRATE = 1, /* a peer answers; ends in COMMIT */
	PF_PURPOSE_SAVE = 2,	/* a file; ends in END */
};

struct pf_hello {
	uint8_t session[PF_SESSION_SIZE];
	char name[PF_NAME_MAX];
	uint8_t uuid[16];
	enum pf_purpose purpose;
	bool live;
	uint32_t channels; /* page channels that will come, 1..PF_CHANNELS_MAX */
	uint64_t memory_bytes;
	uint32_t vcpus;
	uint64_t epoch;	   /* the owner epoch that the target gets if it commits */
	char producer[64]; /* "xmigrate 0.1.0" */
};

struct pf_region {
	uint64_t gpa;
	uint64_t size;
	uint32_t page_shift;
};

struct pf_extent { /* pages [first, first + count) of an object */
	uint32_t object;
	uint64_t first;
	uint64_t count;
};

struct pf_section { /* a state section; its bytes lie in the frame's payload, in this order */
	char name[PF_SECTION_NAME_MAX];
	uint32_t instance;
	uint32_t version;
	uint32_t size;
};

struct pf_static {
	char *config; /* the domain's configuration file, text; NUL-terminated */
	uint32_t region_count;
	struct pf_region regions[PF_REGIONS_MAX];
	/* Memory that is populated at the source: a hint to populate ahead. */
	uint32_t extent_count;
	struct pf_extent *extents;
	/* Platform sections; the frame's payload is their bytes. */
	uint32_t section_count;
	struct pf_section *sections;
};

enum pf_state_purpose {
	PF_STATE_TRIAL = 1, /* load it to see that it can be loaded, before READY */
	PF_STATE_FINAL = 2,
};

struct pf_state {
	enum pf_state_purpose purpose;
	uint32_t section_count;
	struct pf_section *sections;
};

struct pf_refuse { /* REFUSE and ABORT */
	enum xm_kind kind;
	char text[PF_TEXT_MAX];
};

enum pf_encoding {
	PF_ENCODING_RAW = 1,  /* count x 4096 bytes of payload */
	PF_ENCODING_ZERO = 2, /* no payload */
	PF_ENCODING_ZSTD = 3, /* `bytes` of payload: one zstd frame of count x 4096 bytes */
};

struct pf_run {
	uint64_t first;
	uint32_t count;
	enum pf_encoding encoding;
	uint32_t bytes; /* of payload: count x 4096, 0, or the zstd frame's size */
};

struct pf_pages {
	uint32_t round; /* from 1 */
	uint32_t object;
	uint32_t run_count;
	struct pf_run *runs; /* ascending, not overlapping; PF_RUNS_MAX at most */
};

struct pf_seal {
	uint32_t round;
	bool final;
	uint64_t pages; /* of this round, zero pages included */
	uint64_t payload_bytes;
	pf_digest digest; /* of all of memory after this round */
	uint32_t channel_count;
	uint64_t last_seq[PF_CHANNELS_MAX]; /* [c]: of PAGES on channel c + 1, 0: none */
};

struct pf_sealed {
	uint32_t round;
};

struct pf_end {
	uint32_t rounds;
	pf_digest digest;
	bool paused; /* the domain was paused before it left: it stays so */
};

struct pf_prepared {
	pf_digest digest;
	uint64_t load_ns; /* loading the state */
};

struct pf_commit {
	uint64_t epoch;
};

struct pf_committed {
	uint64_t epoch;
	uint64_t resume_ns; /* from COMMIT's arrival until the vCPUs are let go */
	uint64_t cpu_ns;    /* CPU time of the target's engine so far */
};

struct pf_query {
	uint8_t session[PF_SESSION_SIZE];
};

enum pf_outcome_kind {
	PF_OUTCOME_COMMITTED = 1, /* it runs, or ran, here */
	PF_OUTCOME_ABORTED = 2,	  /* recorded durably: it never will, by this session */
	PF_OUTCOME_UNKNOWN = 3,	  /* this host was restarted since; ask a person */
};

struct pf_outcome {
	enum pf_outcome_kind outcome;
	char text[PF_TEXT_MAX];
};

#define PF_DECLARE(name)                                                                           \
	int pf_##name##_encode(const struct pf_##name *message, struct pf_buffer *body,            \
			       struct xm_error *err);                                              \
	int pf_##name##_decode(const void *body, size_t size, struct pf_##name *ret_message,       \
			       struct xm_error *err)

PF_DECLARE(hello);
PF_DECLARE(static);
PF_DECLARE(state);
PF_DECLARE(refuse);
PF_DECLARE(seal);
PF_DECLARE(sealed);
PF_DECLARE(end);
PF_DECLARE(prepared);
PF_DECLARE(commit);
PF_DECLARE(committed);
PF_DECLARE(query);
PF_DECLARE(outcome);

/*
 * READY has an empty body.
 *
 * For the caller to check, because only he knows the frames: that the sections' sizes of STATIC and
 * STATE add up to the payload's size, and that regions add up to HELLO's memory. The encoders of
 * REFUSE and OUTCOME replace bytes that are no text by '?', so that a sentence always arrives; a
 * kind that is not known here is decoded as INTERNAL, for the same reason.
 */

void pf_static_finish(struct pf_static *message);
void pf_state_finish(struct pf_state *message);

/*
 * PAGES is the hot one. `runs` points to caller's memory of PF_RUNS_MAX entries, before decode as
 * well, and nothing is allocated once `body` has grown. decode checks that the runs' bytes add up
 * to `payload_size`, that counts add up to at most PF_BATCH_PAGES_MAX, and each run's bytes against
 * its encoding; that pages exist in the object is for the caller to check.
 */
int pf_pages_encode(const struct pf_pages *pages, struct pf_buffer *body, struct xm_error *err);
int pf_pages_decode(const void *body, size_t size, uint32_t payload_size, struct pf_pages *pages,
		    struct xm_error *err);

#endif
