/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a command that waits goes on without its daemon. A daemon that restarts gives no sign
 * that it is back but its answer, so it is tried again, ever more slowly, for a bounded time.
 */
#ifndef XM_TOOLS_CLI_RECONNECT_H
#define XM_TOOLS_CLI_RECONNECT_H

#include <stdbool.h>
#include <stdint.h>

struct reconnect {
	uint64_t lost_at_ns; /* 0: the daemon answers */
	unsigned rest_ms;    /* before the next try */
};

/* The daemon answered. */
void reconnect_found(struct reconnect *reconnect);

/*
 * The daemon did not answer: true, and `rest_ms` says when to try again; false when it has been
 * away for too long.
 */
bool reconnect_lost(struct reconnect *reconnect);

/* Whether this is the first failure since the daemon's last answer. */
static inline bool reconnect_is_news(const struct reconnect *reconnect)
{
	return reconnect->lost_at_ns == 0;
}

#endif
