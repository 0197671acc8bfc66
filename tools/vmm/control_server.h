/* SPDX-License-Identifier: Apache-2.0 */
/* vmm.sock: docs/vmm-control.md, Control socket. */
#ifndef XM_TOOLS_VMM_CONTROL_SERVER_H
#define XM_TOOLS_VMM_CONTROL_SERVER_H

struct vmm;
struct vmm_server;
struct xm_error;

#define VMM_CONNECTIONS_MAX 64

/* Listens, and serves from vmm_server_start() on. */
int vmm_server_create(struct vmm *vmm, const char *path, struct vmm_server **ret_server,
		      struct xm_error *err);
int vmm_server_start(struct vmm_server *server, struct xm_error *err);

/*
 * Takes no more connections or requests. Answers that are under way are still given, and subscribers get the events up
 * to vmm_events_close(), which must have been called; the threads are workers of the vmm. NULL is fine.
 */
void vmm_server_stop(struct vmm_server *server);

/* Closes the connections; no worker may be left. NULL is fine. */
void vmm_server_destroy(struct vmm_server *server);

#endif
