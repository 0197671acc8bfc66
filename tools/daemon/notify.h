/* SPDX-License-Identifier: Apache-2.0 */
/* Telling who started the daemon that it is ready. */
#ifndef XM_TOOLS_DAEMON_NOTIFY_H
#define XM_TOOLS_DAEMON_NOTIFY_H

/*
 * Says "ready\n" to `ready_fd` (-1: nobody) and closes it, and READY=1 to the socket that
 * $NOTIFY_SOCKET names, if it does. Nobody listening is not a failure.
 */
void xd_notify_ready(int ready_fd);
void xd_notify_stopping(void);

#endif
