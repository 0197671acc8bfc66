/* SPDX-License-Identifier: Apache-2.0 */
#include "hypercall.h"

_Noreturn void payload_refuse(const char *parameter, const char *value, const char *reason)
{
	struct text line;

	text_start(&line);
	text_add(&line, "bad parameter");
	text_word(&line, parameter, value);
	text_add(&line, ": ");
	text_add(&line, reason);
	console_line(&line);
	payload_exit(2);
}
