/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an operation looks while it runs: on a terminal one block that is redrawn in place,
 * otherwise a line at each change of state, at each round, and each second. It goes to stderr, so
 * that stdout holds the result alone.
 */
#ifndef XM_TOOLS_CLI_PROGRESS_H
#define XM_TOOLS_CLI_PROGRESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool silent;
	bool terminal;
	int lines;	/* of the block that is on the screen */
	char state[32]; /* of the last plain line */
	uint64_t round;
	uint64_t printed_at_ns;
};

void progress_init(struct progress *progress, bool silent);
void progress_show(struct progress *progress, const json_t *operation);

/* One sentence that stays, before what is drawn next. */
void progress_say(struct progress *progress, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Takes the block off the screen. */
void progress_end(struct progress *progress);

#endif
