/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/lib/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fault.h"
#include "tools/lib/ident.h"

static void to_stderr(void *opaque, enum xm_log_level level, const char *line)
{
	char now[XT_TIME_SIZE];

	(void)opaque;
	xt_time_now(now);
	fprintf(stderr, "%s %s: %s\n", now, xm_log_level_name(level), line);
}

int xt_program_start(enum xm_log_level threshold, struct xm_error *err)
{
	xm_log_set_sink(to_stderr, NULL, threshold);
	signal(SIGPIPE, SIG_IGN);
	return xm_fault_init(err);
}

int xt_program_log_to(const char *path, struct xm_error *err)
{
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	/* Descriptor 2 itself stays open across exec, as it always does. */
	if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot open the log %s", path);
	return 0;
}
