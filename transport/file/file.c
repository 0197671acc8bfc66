/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/error.h"
#include "transport/file/internal.h"

void tp_file_describe(int fd, char ret_text[TP_DESCRIPTION_MAX])
{
	char name[TP_DESCRIPTION_MAX - sizeof("file ")];
	char link[64];
	ssize_t size;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	size = readlink(link, name, sizeof(name) - 1);
	if (size <= 0)
		size = snprintf(name, sizeof(name), "descriptor %d", fd);
	name[size] = '\0';
	snprintf(ret_text, TP_DESCRIPTION_MAX, "file %s", name);
}

int tp_file_open_channels(struct tp_session *session, unsigned count, struct xm_error *err)
{
	(void)session;
	(void)count;
	(void)err;
	return 0;
}

int tp_file_one_way(struct tp_session *session, struct xm_error *err)
{
	return xm_fail(err, XM_KIND_INTERNAL, -EOPNOTSUPP, "%s is %s, not %s", session->description,
		       session->initiator ? "written" : "read",
		       session->initiator ? "read" : "written");
}
