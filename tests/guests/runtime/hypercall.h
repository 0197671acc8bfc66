/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of docs/guest-payloads.md. Call blocks live on the caller's stack, so any vCPU may
 * call. */
#ifndef XM_TESTS_GUESTS_HYPERCALL_H
#define XM_TESTS_GUESTS_HYPERCALL_H

#include "contract.h"
#include "text.h"

/* Writes the text and a newline to the console, as one write. */
void console_line(struct text *text);

/* Returns how many bytes of input were read into buffer; 0 if there are none. */
uint32_t console_read(char *buffer, uint32_t size);

void publish(struct text *text);

/* Returns when the TSC has reached `tsc`, or at once when console input is pending. */
void wait_until(uint64_t tsc);

_Noreturn void payload_exit(uint32_t code);

/* For parameters that cannot be used: says which and why on the console, and ends with code 2. */
_Noreturn void payload_refuse(const char *parameter, const char *value, const char *reason);

#endif
