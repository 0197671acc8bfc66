/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's console on a stream socket: several readers, each given the last VMM_CONSOLE_KEPT bytes when it
 * connects; input from any of them. A guest is never held up by its console: a reader that has
 * fallen behind by more than what is kept is disconnected, and input that does not fit into the guest's buffer is
 * dropped, as by a serial line.
 */
#ifndef XM_TOOLS_VMM_CONSOLE_H
#define XM_TOOLS_VMM_CONSOLE_H

#include <stddef.h>

struct hv_domain;
struct vmm_console;
struct xm_error;

#define VMM_CONSOLE_KEPT    (64u << 10)
#define VMM_CONSOLE_CLIENTS 16

/* Listens; output can come from now on. */
int vmm_console_create(const char *path, struct vmm_console **ret_console, struct xm_error *err);

/* From now on input goes to this domain, until vmm_console_stop(). */
void vmm_console_attach(struct vmm_console *console, struct hv_domain *domain);

/* Any thread; never waits. */
void vmm_console_output(struct vmm_console *console, const void *data, size_t size);

/* The last line that the guest has said, cut to fit; "" if it has said none. Any thread. */
void vmm_console_last_line(struct vmm_console *console, char *buffer, size_t size);

/*
 * Gives readers what the guest has said last, as far as they take it at once, and touches neither them nor the domain any
 * more. Output may still come; nobody sees it. NULL is fine, twice as well.
 */
void vmm_console_stop(struct vmm_console *console);

/* After the domain, since that may call vmm_console_output(). NULL is fine. */
void vmm_console_destroy(struct vmm_console *console);

#endif
