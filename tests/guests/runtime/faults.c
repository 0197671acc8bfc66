/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include "hypercall.h"

void fault_start(struct faults *faults, struct text *line, const char *what)
{
	__atomic_add_fetch(&faults->count, 1, __ATOMIC_RELAXED);
	text_start(line);
	text_add(line, faults->payload);
	text_add(line, ": error: ");
	text_add(line, what);
}

void fault_tell(struct faults *faults, struct text *line)
{
	uint64_t count = faults_count(faults);

	if (count == FAULTS_TOLD_MAX)
		text_add(line, "; further errors are only counted");
	if (count <= FAULTS_TOLD_MAX)
		console_line(line);
}

void fault_values(struct faults *faults, struct text *line, uint64_t expected, uint64_t found)
{
	text_add(line, " expected ");
	text_hex(line, expected);
	text_add(line, " found ");
	text_hex(line, found);
	fault_tell(faults, line);
}

void fault_count_register(struct faults *faults)
{
	__atomic_add_fetch(&faults->registers, 1, __ATOMIC_RELAXED);
}

uint64_t faults_count(const struct faults *faults)
{
	return __atomic_load_n(&faults->count, __ATOMIC_RELAXED);
}

bool faults_registers_ok(const struct faults *faults)
{
	return __atomic_load_n(&faults->registers, __ATOMIC_RELAXED) == 0;
}
