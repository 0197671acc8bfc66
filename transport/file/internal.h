/* SPDX-License-Identifier: Apache-2.0 */
/* What the writing and the reading session on a file share. */
#ifndef XM_TRANSPORT_FILE_INTERNAL_H
#define XM_TRANSPORT_FILE_INTERNAL_H

#include "transport/backend.h"

/* "file /var/lib/web1.save": the name the descriptor was opened by, as far as the kernel tells. */
void tp_file_describe(int fd, char ret_text[TP_DESCRIPTION_MAX]);

/* A file is there from the start: nothing to open. */
int tp_file_open_channels(struct tp_session *session, unsigned count, struct xm_error *err);

/* For the direction that a file does not have. */
int tp_file_one_way(struct tp_session *session, struct xm_error *err);

#endif
