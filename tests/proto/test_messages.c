// SPDX-License-Identifier: Apache-2.0
/* All messages but PAGES: round trips at the limits, and the rules that a receiver checks. */
#include <errno.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/messages.h"
#include "tests/test.h"

/* Encodes *sent to `body` and decodes it to *received; both must work. */
#define ROUND_TRIP(message, sent, received, body)                                                  \
	do {                                                                                       \
		struct xm_error err_ = XM_ERROR_INIT;                                              \
		assert_ok(pf_##message##_encode(sent, body, &err_), &err_);                        \
		assert_ok(pf_##message##_decode((body)->data, (body)->size, received, &err_),      \
			  &err_);                                                                  \
	} while (0)

/* Encodes *sent, and expects that a receiver refuses it with that reason. */
#define REFUSED(message, sent, reason)                                                             \
	do {                                                                                       \
		__typeof__(*(sent)) received_;                                                     \
		struct xm_error err_ = XM_ERROR_INIT;                                              \
		struct pf_buffer body_ = {0};                                                      \
		assert_ok(pf_##message##_encode(sent, &body_, &err_), &err_);                      \
		assert_int_equal(pf_##message##_decode(body_.data, body_.size, &received_, &err_), \
				 -EBADMSG);                                                        \
		assert_int_equal(err_.kind, XM_KIND_DATA);                                         \
		if (!strstr(err_.text, reason))                                                    \
			fail_msg("'%s' is not in: %s", reason, err_.text);                         \
		pf_buffer_finish(&body_);                                                          \
	} while (0)

static struct pf_hello good_hello(void)
{
	struct pf_hello hello = {
		.name = "web-1.example_org",
		.purpose = PF_PURPOSE_MIGRATE,
		.live = true,
		.channels = 4,
		.memory_bytes = 1ull << 30,
		.vcpus = 2,
		.epoch = UINT64_MAX,
		.producer = "xmigrate 0.1.0",
	};

	memset(hello.session, 0xa5, sizeof(hello.session));
	memset(hello.uuid, 0x5a, sizeof(hello.uuid));
	return hello;
}

static void hello(void **state)
{
	struct pf_hello sent = good_hello(), received;
	struct pf_buffer body = {0};

	(void)state;
	ROUND_TRIP(hello, &sent, &received, &body);
	assert_memory_equal(received.session, sent.session, sizeof(sent.session));
	assert_memory_equal(received.uuid, sent.uuid, sizeof(sent.uuid));
	assert_string_equal(received.name, sent.name);
	assert_string_equal(received.producer, sent.producer);
	assert_int_equal(received.purpose, sent.purpose);
	assert_true(received.live);
	assert_int_equal(received.channels, 4);
	assert_true(received.memory_bytes == sent.memory_bytes);
	assert_int_equal(received.vcpus, 2);
	assert_true(received.epoch == UINT64_MAX);
	memset(sent.name, 'n', PF_NAME_MAX - 1);
	memset(sent.producer, 'p', sizeof(sent.producer) - 1);
	ROUND_TRIP(hello, &sent, &received, &body);
	assert_string_equal(received.name, sent.name);
	pf_buffer_finish(&body);
}

static void hello_rules(void **state)
{
	static const char *const bad_names[] = {"", "a b", "../etc", "n\xc3\xa4me", "a\n"};
	struct pf_hello sent;

	(void)state;
	for (size_t i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++) {
		sent = good_hello();
		snprintf(sent.name, sizeof(sent.name), "%s", bad_names[i]);
		REFUSED(hello, &sent, "name");
	}
	sent = good_hello();
	sent.purpose = 0;
	REFUSED(hello, &sent, "purpose is 0");
	sent.purpose = 3;
	REFUSED(hello, &sent, "purpose is 3");
	sent = good_hello();
	sent.channels = 0;
	REFUSED(hello, &sent, "0 channels");
	sent.channels = PF_CHANNELS_MAX + 1;
	REFUSED(hello, &sent, "17 channels");
	sent = good_hello();
	sent.memory_bytes = 4097;
	REFUSED(hello, &sent, "memory");
	sent.memory_bytes = (1ull << 52) + 4096;
	REFUSED(hello, &sent, "memory");
	sent = good_hello();
	sent.vcpus = 0;
	REFUSED(hello, &sent, "vCPUs");
	sent = good_hello();
	memcpy(sent.producer, "\x1b[2J", 5);
	REFUSED(hello, &sent, "producer");
}

/* A field's length is the wire's, not a C string's: a NUL does not hide what follows. */
static void hello_embedded_nul(void **state)
{
	struct pf_hello sent = good_hello(), received;
	struct xm_error err = XM_ERROR_INIT;
	struct pf_buffer body = {0};
	uint8_t *name;

	(void)state;
	assert_ok(pf_hello_encode(&sent, &body, &err), &err);
	name = memmem(body.data, body.size, "web-1", 5);
	assert_non_null(name);
	name[3] = '\0';
	assert_int_equal(pf_hello_decode(body.data, body.size, &received, &err), -EBADMSG);
	pf_buffer_finish(&body);
}

static const struct pf_section two_sections[] = {
	{.name = "vcpu", .instance = 63, .version = 2, .size = 12345},
	{.name = "a-name-of-23-characters", .version = UINT32_MAX},
};

static struct pf_static small_static(char *config)
{
	return (struct pf_static){
		.config = config,
		.region_count = 2,
		.regions = {{.gpa = 0, .size = 3ull << 30, .page_shift = 12},
			    {.gpa = 4ull << 30,
			     .size = (1ull << 52) - (4ull << 30),
			     .page_shift = 30}},
		.section_count = 2,
		.sections = (struct pf_section *)two_sections,
	};
}

static void static_data(void **state)
{
	struct pf_extent extents[] = {
		{0, 0, 5}, {0, 5, 1}, {1, 0, ((1ull << 52) - (4ull << 30)) >> 12}};
	char config[] = "name = \"w\xc3\xb6rter\"\n\tmemory = 64\r\n";
	struct pf_static sent = small_static(config), received;
	struct pf_buffer body = {0};

	(void)state;
	sent.extents = extents;
	sent.extent_count = 3;
	ROUND_TRIP(static, &sent, &received, &body);
	assert_string_equal(received.config, config);
	assert_int_equal(received.region_count, 2);
	assert_true(received.regions[1].gpa == sent.regions[1].gpa);
	assert_true(received.regions[1].size == sent.regions[1].size);
	assert_int_equal(received.regions[1].page_shift, 30);
	assert_int_equal(received.extent_count, 3);
	assert_int_equal(received.extents[2].object, 1);
	assert_true(received.extents[2].count == extents[2].count);
	assert_int_equal(received.section_count, 2);
	assert_string_equal(received.sections[0].name, "vcpu");
	assert_int_equal(received.sections[0].instance, 63);
	assert_int_equal(received.sections[0].version, 2);
	assert_int_equal(received.sections[0].size, 12345);
	assert_string_equal(received.sections[1].name, two_sections[1].name);
	pf_static_finish(&received);
	pf_static_finish(&received);
	pf_buffer_finish(&body);
}

/* Everything at its limit at once fits the body's cap and the decoder's arena. */
static void static_largest(void **state)
{
	static struct pf_section sections[PF_SECTIONS_MAX];
	static struct pf_extent extents[PF_EXTENTS_MAX];
	static char config[PF_CONFIG_MAX];
	struct pf_static sent = {.config = config, .region_count = PF_REGIONS_MAX}, received;
	struct pf_buffer body = {0};

	(void)state;
	memset(config, '#', sizeof(config) - 1);
	for (uint64_t i = 0; i < PF_REGIONS_MAX; i++)
		sent.regions[i] = (struct pf_region){i << 49, 1ull << 49, 21};
	for (uint64_t i = 0; i < PF_EXTENTS_MAX; i++)
		extents[i] = (struct pf_extent){7, i << 25, 1 << 25};
	for (unsigned i = 0; i < PF_SECTIONS_MAX; i++) {
		snprintf(sections[i].name, sizeof(sections[i].name), "section-%015u", i);
		sections[i].instance = sections[i].version = UINT32_MAX;
		sections[i].size = PF_PAYLOAD_MAX / PF_SECTIONS_MAX;
	}
	sent.extents = extents;
	sent.extent_count = PF_EXTENTS_MAX;
	sent.sections = sections;
	sent.section_count = PF_SECTIONS_MAX;
	ROUND_TRIP(static, &sent, &received, &body);
	assert_int_equal(strlen(received.config), PF_CONFIG_MAX - 1);
	assert_memory_equal(received.extents, extents, sizeof(extents[0]));
	assert_string_equal(received.sections[1023].name, "section-000000000001023");
	pf_static_finish(&received);
	sections[0].size++;
	REFUSED(static, &sent, "more than 16777216 bytes");
	pf_buffer_finish(&body);
}

static void static_rules(void **state)
{
	char config[] = "x", bad_config[] = "x\x01";
	struct pf_section unnamed = {.size = 1};
	struct pf_static sent;
	struct pf_extent extents[2];

	(void)state;
	sent = small_static(bad_config);
	REFUSED(static, &sent, "config");
	sent = small_static(config);
	sent.region_count = 0;
	REFUSED(static, &sent, "0 memory regions");
	sent = small_static(config);
	sent.regions[1].gpa = 1ull << 30;
	REFUSED(static, &sent, "region 1");
	sent = small_static(config);
	sent.regions[1].size += 4096;
	REFUSED(static, &sent, "region 1");
	sent = small_static(config);
	sent.regions[0].size = 100;
	REFUSED(static, &sent, "region 0");
	sent = small_static(config);
	sent.regions[0].page_shift = 13;
	REFUSED(static, &sent, "region 0");
	sent = small_static(config);
	sent.section_count = 1;
	sent.sections = &unnamed;
	REFUSED(static, &sent, "section's name");
	sent = small_static(config);
	sent.extents = extents;
	sent.extent_count = 2;
	memcpy(extents, (struct pf_extent[]){{0, 0, 2}, {0, 1, 2}}, sizeof(extents));
	REFUSED(static, &sent, "extent 1");
	memcpy(extents, (struct pf_extent[]){{1, 0, 2}, {0, 1, 2}}, sizeof(extents));
	REFUSED(static, &sent, "extent 1");
	memcpy(extents, (struct pf_extent[]){{0, 0, 0}, {0, 1, 2}}, sizeof(extents));
	REFUSED(static, &sent, "extent 0");
	memcpy(extents, (struct pf_extent[]){{0, 786431, 2}, {1, 1, 2}}, sizeof(extents));
	REFUSED(static, &sent, "extent 0");
	memcpy(extents, (struct pf_extent[]){{0, 1, UINT64_MAX}, {1, 1, 2}}, sizeof(extents));
	REFUSED(static, &sent, "extent 0");
	memcpy(extents, (struct pf_extent[]){{0, 1, 2}, {2, 1, 2}}, sizeof(extents));
	REFUSED(static, &sent, "extent 1");
}

/* Two bytes make a section; half a million of them are stopped before they take memory. */
static void static_bomb(void **state)
{
	struct xm_error err = XM_ERROR_INIT;
	uint8_t *body = malloc(PF_BODY_MAX);
	struct pf_static received;

	(void)state;
	assert_non_null(body);
	for (size_t i = 0; i < PF_BODY_MAX; i += 2)
		memcpy(body + i, "\x32\x00", 2);
	assert_int_equal(pf_static_decode(body, PF_BODY_MAX, &received, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "more than its limits"));
	free(body);
}

static void state_sections(void **state)
{
	struct pf_state sent = {PF_STATE_FINAL, 2, (struct pf_section *)two_sections}, received;
	struct pf_buffer body = {0};

	(void)state;
	ROUND_TRIP(state, &sent, &received, &body);
	assert_int_equal(received.purpose, PF_STATE_FINAL);
	assert_int_equal(received.section_count, 2);
	assert_int_equal(received.sections[0].size, 12345);
	pf_state_finish(&received);
	sent.section_count = 0;
	ROUND_TRIP(state, &sent, &received, &body);
	assert_int_equal(received.section_count, 0);
	pf_state_finish(&received);
	sent.purpose = 0;
	REFUSED(state, &sent, "purpose is 0");
	pf_buffer_finish(&body);
}

static void refuse(void **state)
{
	struct pf_refuse sent = {.kind = XM_KIND_UNRESOLVED}, received;
	struct pf_buffer body = {0};
	struct xm_error err = XM_ERROR_INIT;

	(void)state;
	memset(sent.text, 'x', sizeof(sent.text) - 1);
	ROUND_TRIP(refuse, &sent, &received, &body);
	assert_int_equal(received.kind, XM_KIND_UNRESOLVED);
	assert_string_equal(received.text, sent.text);
	/* Bytes that are no text do not cost the sentence. */
	strcpy(sent.text, "disk\x01 \xff\xfe /v\xc3\xa4r \xed\xa0\x80 \xc3");
	ROUND_TRIP(refuse, &sent, &received, &body);
	assert_string_equal(received.text, "disk? ?? /v\xc3\xa4r ??? ?");
	/* A kind of some later version: 08 63. */
	assert_ok(pf_refuse_decode("\x08\x63\x12\x02hi", 6, &received, &err), &err);
	assert_int_equal(received.kind, XM_KIND_INTERNAL);
	assert_string_equal(received.text, "hi");
	assert_int_equal(pf_refuse_decode("\x12\x02hi", 4, &received, &err), -EBADMSG);
	assert_int_equal(pf_refuse_decode("\x08\x01\x12\x02\xc0\x80", 6, &received, &err),
			 -EBADMSG);
	pf_buffer_finish(&body);
}

static void rounds(void **state)
{
	const pf_digest digest = (pf_digest)0x0123456789abcdef << 64 | 0xfedcba9876543210;
	struct pf_seal seal = {.round = 9,
			       .final = true,
			       .pages = UINT64_MAX,
			       .payload_bytes = UINT64_MAX - 1,
			       .digest = digest,
			       .channel_count = PF_CHANNELS_MAX};
	struct pf_end end = {.rounds = 9, .digest = digest, .paused = true}, end_received;
	struct pf_sealed sealed = {.round = UINT32_MAX}, sealed_received;
	struct pf_buffer body = {0};
	struct pf_seal received;

	(void)state;
	for (int i = 0; i < PF_CHANNELS_MAX; i++)
		seal.last_seq[i] = UINT64_MAX - i;
	ROUND_TRIP(seal, &seal, &received, &body);
	assert_int_equal(received.round, 9);
	assert_true(received.final && received.digest == digest);
	assert_true(received.pages == UINT64_MAX && received.payload_bytes == UINT64_MAX - 1);
	assert_int_equal(received.channel_count, PF_CHANNELS_MAX);
	assert_memory_equal(received.last_seq, seal.last_seq, sizeof(seal.last_seq));
	ROUND_TRIP(end, &end, &end_received, &body);
	assert_true(end_received.rounds == 9 && end_received.digest == digest &&
		    end_received.paused);
	ROUND_TRIP(sealed, &sealed, &sealed_received, &body);
	assert_int_equal(sealed_received.round, UINT32_MAX);
	seal.channel_count = 0;
	REFUSED(seal, &seal, "0 channels");
	seal = (struct pf_seal){.channel_count = 1};
	REFUSED(seal, &seal, "round is 0");
	REFUSED(sealed, &(struct pf_sealed){0}, "round is 0");
	REFUSED(end, &(struct pf_end){0}, "no rounds");
	pf_buffer_finish(&body);
}

static void handover(void **state)
{
	struct pf_prepared prepared = {.digest = (pf_digest)-3, .load_ns = 123456789},
			   prepared_back;
	struct pf_committed committed = {UINT64_MAX, 5, UINT64_MAX - 7}, committed_back;
	struct pf_commit commit = {.epoch = 0}, commit_back = {.epoch = 1};
	struct pf_query query = {"0123456789abcde"}, query_back;
	struct pf_outcome outcome = {PF_OUTCOME_UNKNOWN, "the host was restarted"}, outcome_back;
	struct xm_error err = XM_ERROR_INIT;
	struct pf_buffer body = {0};

	(void)state;
	ROUND_TRIP(prepared, &prepared, &prepared_back, &body);
	assert_true(prepared_back.digest == prepared.digest);
	assert_true(prepared_back.load_ns == 123456789);
	ROUND_TRIP(commit, &commit, &commit_back, &body);
	assert_int_equal(body.size, 0);
	assert_true(commit_back.epoch == 0);
	ROUND_TRIP(committed, &committed, &committed_back, &body);
	assert_memory_equal(&committed_back, &committed, sizeof(committed));
	ROUND_TRIP(query, &query, &query_back, &body);
	assert_memory_equal(&query_back, &query, sizeof(query));
	ROUND_TRIP(outcome, &outcome, &outcome_back, &body);
	assert_int_equal(outcome_back.outcome, PF_OUTCOME_UNKNOWN);
	assert_string_equal(outcome_back.text, outcome.text);
	outcome.outcome = 0;
	REFUSED(outcome, &outcome, "outcome is 0");
	outcome.outcome = 4;
	REFUSED(outcome, &outcome, "outcome is 4");
	assert_int_equal(pf_query_decode("\x0a\x0fxxxxxxxxxxxxxxx", 17, &query_back, &err),
			 -EBADMSG);
	pf_buffer_finish(&body);
}

/* What a later minor version adds is skipped. */
static void unknown_fields(void **state)
{
	struct xm_error err = XM_ERROR_INIT;
	struct pf_commit commit;

	(void)state;
	/* 08 05: epoch; a2 06 03 "new": field 100; 98 06 01: field 99. */
	assert_ok(pf_commit_decode("\x08\x05\xa2\x06\x03new\x98\x06\x01", 11, &commit, &err), &err);
	assert_true(commit.epoch == 5);
}

/* Every cut and every flipped bit of a body is either read or refused; sanitizers watch. */
static void damaged_static(void **state)
{
	struct pf_extent extents[] = {{0, 0, 5}, {1, 5, 1}};
	char config[] = "name = \"x\"\n";
	struct pf_static sent = small_static(config), received;
	struct xm_error err = XM_ERROR_INIT;
	struct pf_buffer body = {0};
	unsigned refusals = 0;

	(void)state;
	sent.extents = extents;
	sent.extent_count = 2;
	assert_ok(pf_static_encode(&sent, &body, &err), &err);
	for (size_t bit = 0; bit < body.size * 8; bit++) {
		body.data[bit / 8] ^= 1 << bit % 8;
		if (pf_static_decode(body.data, body.size, &received, &err) == 0)
			pf_static_finish(&received);
		else
			refusals++;
		body.data[bit / 8] ^= 1 << bit % 8;
	}
	for (size_t size = 0; size < body.size; size++) {
		if (pf_static_decode(body.data, size, &received, &err) == 0)
			pf_static_finish(&received);
		else
			refusals++;
	}
	assert_in_range(refusals, body.size, body.size * 9);
	pf_buffer_finish(&body);
}

static void too_large_to_send(void **state)
{
	struct pf_static message = {.config = malloc(PF_CONFIG_MAX + 1), .region_count = 1};
	struct xm_error err = XM_ERROR_INIT;
	struct pf_buffer body = {0};

	(void)state;
	assert_non_null(message.config);
	memset(message.config, 'c', PF_CONFIG_MAX);
	message.config[PF_CONFIG_MAX] = '\0';
	assert_int_equal(pf_static_encode(&message, &body, &err), -EMSGSIZE);
	assert_int_equal(err.kind, XM_KIND_INTERNAL);
	free(message.config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hello),
		cmocka_unit_test(hello_rules),
		cmocka_unit_test(hello_embedded_nul),
		cmocka_unit_test(static_data),
		cmocka_unit_test(static_largest),
		cmocka_unit_test(static_rules),
		cmocka_unit_test(static_bomb),
		cmocka_unit_test(state_sections),
		cmocka_unit_test(refuse),
		cmocka_unit_test(rounds),
		cmocka_unit_test(handover),
		cmocka_unit_test(unknown_fields),
		cmocka_unit_test(damaged_static),
		cmocka_unit_test(too_large_to_send),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
