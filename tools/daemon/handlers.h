/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers of the API's routes (docs/api.md), one for each row of the table in api_route.c. */
#ifndef XM_TOOLS_DAEMON_HANDLERS_H
#define XM_TOOLS_DAEMON_HANDLERS_H

#include "tools/daemon/api.h"

/* handlers_host.c */
xd_handler xd_get_version, xd_get_events;

/* handlers_domain.c */
xd_handler xd_get_domains, xd_post_domains, xd_get_domain, xd_delete_domain, xd_pause_domain,
	xd_unpause_domain, xd_shutdown_domain, xd_domain_input, xd_domain_report;

/* handlers_operation.c */
xd_handler xd_save_domain, xd_restore_domain, xd_migrate_domain, xd_resolve_domain,
	xd_get_operations, xd_get_operation, xd_limit_operation, xd_cancel_operation;

#endif
