/* SPDX-License-Identifier: Apache-2.0 */
/* What each payload defines, and what the runtime gives all of them around it. */
#ifndef XM_TESTS_GUESTS_PAYLOAD_H
#define XM_TESTS_GUESTS_PAYLOAD_H

#include "contract.h"

#include <stdint.h>

/* A payload. Called on each vCPU, in parallel; ends by payload_exit() only. */
_Noreturn void payload_main(const struct start_info *start, unsigned vcpu);

/* For vCPUs that a payload has no work for: sleeps for ever. */
_Noreturn void payload_park(const struct start_info *start);

/* Where start.S goes: checks the start information, then calls payload_main(). */
_Noreturn void payload_enter(const struct start_info *start, unsigned vcpu);

#endif
