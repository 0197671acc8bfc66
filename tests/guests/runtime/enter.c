/* SPDX-License-Identifier: Apache-2.0 */
#include "hypercall.h"
#include "payload.h"
#include "tsc.h"

/* Rarely enough to cost nothing, often enough that no WAIT lasts longer than a host's patience
 * with one. */
#define PARK_MS 1000u

_Noreturn void payload_park(const struct start_info *start)
{
	for (;;)
		wait_until(tsc_read() + PARK_MS * start->tsc_khz);
}

_Noreturn void payload_enter(const struct start_info *start, unsigned vcpu)
{
	if (start->magic != CONTRACT_MAGIC || start->version != CONTRACT_VERSION)
		payload_refuse("start", "",
			       "the start information is not of a version that I know");
	if (start->tsc_khz == 0)
		payload_refuse("tsc_khz", "0", "I cannot measure time");
	payload_main(start, vcpu);
}
