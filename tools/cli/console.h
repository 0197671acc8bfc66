/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A terminal joined to a domain's console socket, which carries bytes both ways.
 *
 * The terminal is raw while it is joined, and put back on every way out: Ctrl-], the domain's
 * end, an error, or a signal (SIGINT, SIGQUIT, SIGTERM, SIGHUP), which is then raised again
 * so that the shell sees it. Without a terminal, input is copied until it ends, and output
 * until the domain does.
 */
#ifndef XM_TOOLS_CLI_CONSOLE_H
#define XM_TOOLS_CLI_CONSOLE_H

struct console;
struct xm_error;

int console_open(const char *socket_path, const char *domain, struct console **ret_console,
		 struct xm_error *err);

/* Copies both ways until somebody leaves. */
int console_run(struct console *console, struct xm_error *err);

/* Takes NULL. */
void console_close(struct console *console);

#endif
