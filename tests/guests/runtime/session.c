/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "hypercall.h"
#include "memory.h"
#include "tests/guests/pattern.h"

#define POLL_MS	   2u
#define ID_MAX	   32u
#define CHUNK_SIZE 64u

struct command {
	const char *verb;
	const char *value; /* of `rate` */
	const char *id;	   /* NULL: none was given */
};

/* Set by the linker script. */
extern const uint64_t payload_image_start[];
extern const uint64_t payload_image_end[];

static uint64_t image_sum(void)
{
	uint64_t sum = 0;

	for (const uint64_t *word = payload_image_start; word + 1 <= payload_image_end; word++)
		sum = pattern_mix(sum + *word);
	return sum;
}

/* Time went backwards on some vCPU: an error, told when it is next answered. */
static uint64_t count_backwards(struct session *session)
{
	uint64_t backwards = 0;
	struct text line;

	for (unsigned i = 0; i < session->gap_count; i++)
		backwards += gap_load(&session->gaps[i]->backwards);
	for (; session->backwards_told < backwards; session->backwards_told++) {
		fault_start(session->faults, &line, "the TSC went backwards");
		fault_tell(session->faults, &line);
	}
	return backwards;
}

static void add_gaps(struct session *session, struct text *answer)
{
	uint64_t max = 0;
	uint64_t late_max = 0;
	uint64_t long_count = 0;

	for (unsigned i = 0; i < session->gap_count; i++) {
		uint64_t one = gap_load(&session->gaps[i]->max);
		uint64_t late = gap_load(&session->gaps[i]->late_max);

		max = one > max ? one : max;
		late_max = late > late_max ? late : late_max;
		long_count += gap_load(&session->gaps[i]->long_count);
	}
	text_number(answer, "gap_max_ns", tsc_to_ns(max, session->khz));
	text_number(answer, "late_max_ns", tsc_to_ns(late_max, session->khz));
	text_number(answer, "gaps_over_1ms", long_count);
}

/* The rate of writing since the last answer. */
static void add_rate(struct session *session, struct text *answer)
{
	uint64_t steps = session->ops->steps(session->payload);
	uint64_t now = tsc_read();
	uint64_t ns = tsc_to_ns(now - session->answered_at, session->khz);
	uint64_t bytes = (steps - session->answered_steps) * PATTERN_PAGE_SIZE;

	text_number(answer, "steps", steps);
	text_number(answer, "rate_mbs", ns ? (bytes * 1000 + ns / 2) / ns : 0);
	session->answered_at = now;
	session->answered_steps = steps;
}

static void answer_start(struct session *session, struct text *answer,
			 const struct command *command)
{
	text_start(answer);
	text_number(answer, "seq", ++session->seq);
	text_word(answer, "payload", session->faults->payload);
	text_word(answer, "cmd", command->verb);
	if (command->id)
		text_word(answer, "id", command->id);
}

static void answer_finish(struct session *session, struct text *answer)
{
	uint64_t backwards = count_backwards(session);

	add_rate(session, answer);
	session->ops->describe(session->payload, answer);
	add_gaps(session, answer);
	text_number(answer, "tsc_backwards", backwards);
	text_word(answer, "registers", faults_registers_ok(session->faults) ? "ok" : "bad");
	text_number(answer, "errors", faults_count(session->faults));
	publish(answer);
}

static void verify(struct session *session, struct text *answer)
{
	uint64_t sum = image_sum();
	struct text line;

	if (sum != session->image_sum) {
		fault_start(session->faults, &line, "the payload's own code or constants changed:");
		fault_values(session->faults, &line, session->image_sum, sum);
	}
	text_number(answer, "checked", session->ops->verify(session->payload));
}

static void reset_gaps(struct session *session)
{
	for (unsigned i = 0; i < session->gap_count; i++)
		gap_reset(session->gaps[i]);
}

static const char *set_rate(struct session *session, const char *value)
{
	uint64_t mbs;

	if (!session->ops->set_rate)
		return "no-rate-here";
	if (!value || !text_parse(value, &mbs) || mbs > SESSION_RATE_MBS_MAX)
		return "bad-rate";
	session->ops->set_rate(session->payload, mbs);
	return NULL;
}

static void execute(struct session *session, const struct command *command)
{
	bool stop = text_equal(command->verb, "stop");
	const char *error = NULL;
	struct text answer;

	answer_start(session, &answer, command);
	if (stop || text_equal(command->verb, "verify"))
		verify(session, &answer);
	else if (text_equal(command->verb, "rate"))
		error = set_rate(session, command->value);
	else if (!text_equal(command->verb, "gap") && !text_equal(command->verb, "status"))
		error = "unknown-command";
	if (error)
		text_word(&answer, "error", error);
	answer_finish(session, &answer);
	if (stop)
		payload_exit(faults_count(session->faults) ? 1 : 0);
	if (text_equal(command->verb, "gap"))
		reset_gaps(session);
}

/* The next word of a line, ended in place; NULL at the line's end. */
static char *next_word(char **cursor)
{
	char *word = *cursor;
	char *end;

	while (*word == ' ')
		word++;
	for (end = word; *end && *end != ' '; end++)
		;
	*cursor = *end ? end + 1 : end;
	*end = '\0';
	return end == word ? NULL : word;
}

static void handle_line(struct session *session)
{
	struct command command = {.value = NULL};
	char *cursor = session->line;
	char *word;

	command.verb = next_word(&cursor);
	if (!command.verb)
		return;
	while ((word = next_word(&cursor)) != NULL) {
		bool is_id = word[0] == 'i' && word[1] == 'd' && word[2] == '=';

		if (is_id && strlen(word + 3) <= ID_MAX)
			command.id = word + 3;
		else
			command.value = word;
	}
	execute(session, &command);
}

static void end_line(struct session *session)
{
	struct text line;

	session->line[session->line_used] = '\0';
	session->line_used = 0;
	if (!session->line_too_long) {
		handle_line(session);
		return;
	}
	session->line_too_long = false;
	text_start(&line);
	text_add(&line, session->faults->payload);
	text_add(&line, ": a command was too long and is ignored");
	console_line(&line);
}

static void take_byte(struct session *session, char byte)
{
	if (byte == '\n' || byte == '\r') {
		end_line(session);
		return;
	}
	if (session->line_used == SESSION_LINE_MAX) {
		session->line_too_long = true;
		return;
	}
	/* What is not printable would end up in an answer; it separates words instead. */
	session->line[session->line_used++] = byte > ' ' && byte <= '~' ? byte : ' ';
}

void session_poll(struct session *session, uint64_t now)
{
	char chunk[CHUNK_SIZE];
	uint32_t size;

	if (now < session->poll_at && session->poll_at - now <= POLL_MS * session->khz)
		return;
	size = console_read(chunk, sizeof(chunk));
	for (uint32_t i = 0; i < size; i++)
		take_byte(session, chunk[i]);
	session->poll_at = now + POLL_MS * session->khz;
}

void session_start(struct session *session)
{
	const struct command ready = {.verb = "ready"};
	struct text answer;

	session->image_sum = image_sum();
	session->answered_at = tsc_read();
	session->poll_at = session->answered_at;
	answer_start(session, &answer, &ready);
	answer_finish(session, &answer);
	reset_gaps(session);
}
