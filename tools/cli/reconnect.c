/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/cli/reconnect.h"

#include "common/clock.h"

#define LOST_NS_MAX (30 * XM_NS_PER_S)
#define REST_MS_MIN 50
#define REST_MS_MAX 1000

void reconnect_found(struct reconnect *reconnect)
{
	*reconnect = (struct reconnect){0};
}

bool reconnect_lost(struct reconnect *reconnect)
{
	uint64_t now = xm_now_ns();

	if (!reconnect->lost_at_ns) {
		reconnect->lost_at_ns = now;
		reconnect->rest_ms = REST_MS_MIN;
		return true;
	}
	reconnect->rest_ms *= 2;
	if (reconnect->rest_ms > REST_MS_MAX)
		reconnect->rest_ms = REST_MS_MAX;
	return now - reconnect->lost_at_ns < LOST_NS_MAX;
}
