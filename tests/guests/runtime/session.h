/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conversation with the host: commands are lines on the console, answers are reports. Commands
 * and keys are described in docs/guest-payloads.md.
 */
#ifndef XM_TESTS_GUESTS_SESSION_H
#define XM_TESTS_GUESTS_SESSION_H

#include "contract.h"
#include "faults.h"
#include "text.h"
#include "tsc.h"

#include <stdbool.h>
#include <stdint.h>

#define SESSION_GAPS_MAX     64u
#define SESSION_LINE_MAX     128u
#define SESSION_RATE_MBS_MAX 1000000u

/* What differs between payloads; `payload` is the session's. */
struct session_ops {
	uint64_t (*verify)(void *payload); /* checks everything, returns the number of pages */
	uint64_t (*steps)(void *payload);  /* pages written so far */
	void (*describe)(void *payload, struct text *answer);
	void (*set_rate)(void *payload, uint64_t mbs); /* NULL: there is no rate to set */
};

struct session {
	const struct session_ops *ops;
	void *payload;
	struct faults *faults;
	uint64_t khz;
	struct gap *gaps[SESSION_GAPS_MAX]; /* the largest of all is answered */
	unsigned gap_count;
	uint64_t seq;
	uint64_t backwards_told;
	uint64_t image_sum; /* of the payload's own code and constants */
	uint64_t answered_at;
	uint64_t answered_steps;
	uint64_t poll_at;
	char line[SESSION_LINE_MAX + 1];
	unsigned line_used;
	bool line_too_long;
};

/* The caller sets ops, payload, faults, khz, gaps and gap_count; this starts the rest and
 * answers "ready". */
void session_start(struct session *session);

/* Handles console input, if it is time to look for it. Does not return after "stop". */
void session_poll(struct session *session, uint64_t now);

/* When session_poll() looks next: nobody who answers commands sleeps longer. */
static inline uint64_t session_next(const struct session *session)
{
	return session->poll_at;
}

#endif
