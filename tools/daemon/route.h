/* SPDX-License-Identifier: Apache-2.0 */
/* Which handler serves which method and path, and what a request to it may say. */
#ifndef XM_TOOLS_DAEMON_ROUTE_H
#define XM_TOOLS_DAEMON_ROUTE_H

#include <stdbool.h>

#include "tools/daemon/api.h"

#define XD_ROUTE_NAME_MAX 64 /* what may stand for the '*' of a path, with its NUL */

struct xd_route {
	const char *method;
	const char *path; /* one segment may be '*' */
	xd_handler *handler;
	unsigned status;	 /* of success */
	bool query;		 /* takes ?after=N&wait_ms=M */
	const char *const *keys; /* of the body, NULL-terminated; NULL: takes no body */
};

/*
 * Finds the route and copies what stands for its '*'. NOT_FOUND for a path that no route has,
 * USAGE for a method that the path does not know.
 */
int xd_route_find(const char *method, const char *path, const struct xd_route **ret_route,
		  char ret_name[XD_ROUTE_NAME_MAX], struct xm_error *err);

/* Parses the body and checks its keys. An empty body is an empty object. */
int xd_route_body(const struct xd_route *route, const char *data, size_t size, json_t **ret_body,
		  struct xm_error *err);

#endif
