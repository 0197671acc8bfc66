/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a payload found wrong. Each fault is counted; the first ones are said on the console,
 * precisely. A payload goes on afterwards and answers with errors > 0.
 */
#ifndef XM_TESTS_GUESTS_FAULTS_H
#define XM_TESTS_GUESTS_FAULTS_H

#include "text.h"

#include <stdbool.h>
#include <stdint.h>

#define FAULTS_TOLD_MAX 32u

/* Shared by all vCPUs; atomics. */
struct faults {
	uint64_t count;
	uint64_t registers; /* of which: a register did not hold its value */
	const char *payload;
};

/* Counts one fault and starts its console line; fault_tell() writes that line, unless there were
 * too many. */
void fault_start(struct faults *faults, struct text *line, const char *what);
void fault_tell(struct faults *faults, struct text *line);

/* The usual end of a line, and the telling: "... expected 0x.. found 0x..". */
void fault_values(struct faults *faults, struct text *line, uint64_t expected, uint64_t found);

void fault_count_register(struct faults *faults);
uint64_t faults_count(const struct faults *faults);
bool faults_registers_ok(const struct faults *faults);

#endif
