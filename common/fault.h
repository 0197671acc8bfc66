/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault injection at named points.
 *
 * Code that a test must be able to break says `xm_fault("migrate.seal.send")` at the
 * point where the breakage would happen, and acts on the answer. Nothing is ever
 * injected unless the environment asks for it:
 *
 *	XMIGRATE_FAULT=POINT:ACTION[:NTH][,POINT:ACTION[:NTH]]...
 *
 * ACTION is `error` (xm_fault() returns -EIO), `die` (the process is killed at once, as by
 * SIGKILL), `skip` (returns 1: the caller leaves out what follows), `stop` (the
 * process stops itself with SIGSTOP, and goes on after SIGCONT), or `delay=MS`. NTH
 * counts from 1 and means "only the NTH time the point is reached"; without it, every
 * time. docs/faults.md lists the points.
 *
 * Threads: any. The environment is read at the first call of xm_fault_init().
 */
#ifndef XM_COMMON_FAULT_H
#define XM_COMMON_FAULT_H

#include <stdbool.h>

struct xm_error;

/* Reads XMIGRATE_FAULT. Every program calls it first. Fails (-EINVAL, USAGE) on bad syntax. */
int xm_fault_init(struct xm_error *err);

/* For unit tests: replaces what the environment said. NULL or "" disarms everything. */
int xm_fault_arm(const char *spec, struct xm_error *err);

extern bool xm_fault_armed; /* written before threads start, or by a test between runs */

int xm_fault_reached(const char *point);

/* 0: go on; 1: skip what follows; negative errno: fail with it. */
static inline int xm_fault(const char *point)
{
	return __builtin_expect(xm_fault_armed, false) ? xm_fault_reached(point) : 0;
}

#endif
