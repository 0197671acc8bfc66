/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session inside one process: two ends joined by bounded queues, for tests of everything above
 * the transport. It behaves as TCP does: a sender waits when the queue is full, what was sent
 * before an end closed can still be received, and the fault points of docs/faults.md work.
 *
 * The first end is the initiator: the source of a migration. Each end is destroyed by itself, in
 * any order.
 */
#ifndef XM_TRANSPORT_MEMORY_MEMORY_H
#define XM_TRANSPORT_MEMORY_MEMORY_H

struct tp_session;
struct xm_error;

int tp_memory_pair(struct tp_session **ret_a, struct tp_session **ret_b, struct xm_error *err);

#endif
