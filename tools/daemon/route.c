/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/daemon/route.h"

#include <errno.h>
#include <string.h>

#include "tools/daemon/handlers.h"

#define KEYS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const struct xd_route routes[] = {
	{"GET", "/v1/version", xd_get_version, 200, false, NULL},
	{"GET", "/v1/events", xd_get_events, 200, true, NULL},
	{"GET", "/v1/domains", xd_get_domains, 200, false, NULL},
	{"POST", "/v1/domains", xd_post_domains, 201, false,
	 KEYS("config", "config_path", "paused")},
	{"GET", "/v1/domains/*", xd_get_domain, 200, false, NULL},
	{"DELETE", "/v1/domains/*", xd_delete_domain, 204, false, NULL},
	{"POST", "/v1/domains/*/pause", xd_pause_domain, 204, false, KEYS(NULL)},
	{"POST", "/v1/domains/*/unpause", xd_unpause_domain, 204, false, KEYS(NULL)},
	{"POST", "/v1/domains/*/shutdown", xd_shutdown_domain, 204, false, KEYS("wait_ms")},
	{"POST", "/v1/domains/*/input", xd_domain_input, 204, false, KEYS("text")},
	{"GET", "/v1/domains/*/report", xd_domain_report, 200, true, NULL},
	{"POST", "/v1/domains/*/save", xd_save_domain, 202, false,
	 KEYS("path", "leave", "zstd_level")},
	{"POST", "/v1/restore", xd_restore_domain, 202, false, KEYS("path", "paused", "name")},
	{"POST", "/v1/domains/*/migrate", xd_migrate_domain, 202, false,
	 KEYS("to", "live", "channels", "max_downtime_ms", "bandwidth", "max_rounds", "max_bytes",
	      "zstd_level", "congestion")},
	{"POST", "/v1/domains/*/resolve", xd_resolve_domain, 200, false, KEYS("action")},
	{"GET", "/v1/operations", xd_get_operations, 200, false, NULL},
	{"GET", "/v1/operations/*", xd_get_operation, 200, true, NULL},
	{"PATCH", "/v1/operations/*", xd_limit_operation, 200, false,
	 KEYS("max_downtime_ms", "bandwidth", "max_rounds", "max_bytes")},
	{"DELETE", "/v1/operations/*", xd_cancel_operation, 204, false, NULL},
};

/* Compares by segments; what stands for '*' goes to `name`. */
static bool path_matches(const char *pattern, const char *path, char name[XD_ROUTE_NAME_MAX])
{
	name[0] = '\0';
	while (*pattern && *path) {
		if (*pattern == '*') {
			size_t length = strcspn(path, "/");

			if (length == 0 || length >= XD_ROUTE_NAME_MAX)
				return false;
			memcpy(name, path, length);
			name[length] = '\0';
			path += length;
			pattern++;
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	return !*pattern && !*path;
}

int xd_route_find(const char *method, const char *path, const struct xd_route **ret_route,
		  char ret_name[XD_ROUTE_NAME_MAX], struct xm_error *err)
{
	char name[XD_ROUTE_NAME_MAX];
	bool path_known = false;

	for (size_t n = 0; n < sizeof(routes) / sizeof(routes[0]); n++) {
		if (!path_matches(routes[n].path, path, name))
			continue;
		path_known = true;
		if (strcmp(routes[n].method, method) != 0)
			continue;
		memcpy(ret_name, name, sizeof(name));
		*ret_route = &routes[n];
		return 0;
	}
	if (path_known)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "%s is not a method of %.200s", method,
			       path);
	return xm_fail(err, XM_KIND_NOT_FOUND, -ENOENT, "there is no %.200s in this API", path);
}

static int check_keys(const struct xd_route *route, json_t *body, struct xm_error *err)
{
	const char *key;
	json_t *value;

	json_object_foreach(body, key, value)
	{
		const char *const *known = route->keys;

		while (known && *known && strcmp(*known, key) != 0)
			known++;
		if (!known || !*known)
			return xm_fail(err, XM_KIND_USAGE, -EINVAL,
				       "%s %s does not know the key \"%.64s\"", route->method,
				       route->path, key);
	}
	return 0;
}

int xd_route_body(const struct xd_route *route, const char *data, size_t size, json_t **ret_body,
		  struct xm_error *err)
{
	json_error_t error;
	json_t *body;
	int rc;

	if (size == 0)
		body = json_object();
	else
		body = json_loadb(data, size, JSON_REJECT_DUPLICATES, &error);
	if (!body && size == 0)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	if (!body)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "the body of the request is not JSON: line %d: %s", error.line,
			       error.text);
	if (!json_is_object(body))
		rc = xm_fail(err, XM_KIND_USAGE, -EINVAL,
			     "the body of the request is not a JSON object");
	else
		rc = check_keys(route, body, err);
	if (rc) {
		json_decref(body);
		return rc;
	}
	*ret_body = body;
	return 0;
}
