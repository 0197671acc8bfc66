/* SPDX-License-Identifier: Apache-2.0 */
/* Text that comes from a VMM or a peer, made fit for JSON and for a log. */
#ifndef XM_TOOLS_DAEMON_TEXT_H
#define XM_TOOLS_DAEMON_TEXT_H

/* Replaces line ends and tabs by a space, other control characters and what is not UTF-8 by '?'. */
void xd_text_clean(char *text);

#endif
