/* SPDX-License-Identifier: Apache-2.0 */
/* What concerns the host: version and events. */
#include <errno.h>
#include <unistd.h>

#include "common/clock.h"
#include "tools/daemon/daemon.h"
#include "tools/daemon/events.h"
#include "tools/daemon/handlers.h"
#include "tools/daemon/incoming.h"

#define HOST_NAME_SIZE 256

int xd_get_version(const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	struct xt_host_memory memory;
	char name[HOST_NAME_SIZE] = "";
	int rc = xt_registry_memory(&request->daemon->registry, &memory, err);

	if (rc)
		return rc;
	gethostname(name, sizeof(name) - 1);
	*ret_body = json_pack("{s:s, s:i, s:s, s:{s:s, s:I, s:I, s:I, s:I}, s:o}", "version",
			      XM_VERSION, "api", 1, "stream", "1.0", "host", "name", name, "cpus",
			      (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "memory_bytes",
			      (json_int_t)memory.total_bytes, "memory_free_bytes",
			      (json_int_t)memory.available_bytes, "memory_reserved_bytes",
			      (json_int_t)memory.reserved_bytes, "listen",
			      xd_incoming_addresses(request->daemon->incoming));
	if (!*ret_body)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	return 0;
}

int xd_get_events(const struct xd_request *request, json_t **ret_body, struct xm_error *err)
{
	json_t *body = xd_events_read(request->daemon->events, request->after,
				      xm_now_ns() + request->wait_ms * XM_NS_PER_MS);

	if (!body)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	*ret_body = body;
	return 0;
}
