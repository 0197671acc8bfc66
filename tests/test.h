/* SPDX-License-Identifier: Apache-2.0 */
/* What every cmocka program here includes: cmocka's own prerequisites in order, skips and errors. */
#ifndef XM_TESTS_TEST_H
#define XM_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/error.h"

#define TEST_EXIT_SKIPPED 77

/* Ends the whole program as skipped, visibly, when this machine lacks something. */
static inline void test_skip_all(const char *reason)
{
	printf("SKIPPED: %s\n", reason);
	exit(TEST_EXIT_SKIPPED);
}

static inline void test_require_kvm(void)
{
	if (access("/dev/kvm", R_OK | W_OK) != 0)
		test_skip_all("/dev/kvm is missing or may not be opened");
}

static inline void test_require_root(void)
{
	if (geteuid() != 0)
		test_skip_all("needs root (network namespaces)");
}

/* rc must be 0; otherwise the test fails with the recorded sentence. */
#define assert_ok(rc, err)                                                                        \
	do {                                                                                      \
		if ((rc) != 0)                                                                    \
			fail_msg("%s", (err)->text);                                              \
	} while (0)

#endif
