/* SPDX-License-Identifier: Apache-2.0 */
/* An operation on a domain (a migration, save, restore or arrival) as docs/api.md shows it, and its JSON. */
#ifndef XM_TOOLS_OPERATION_H
#define XM_TOOLS_OPERATION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "migrate/migrate.h"
#include "tools/lib/ident.h"

enum xt_operation_kind {
	XT_OPERATION_MIGRATE,
	XT_OPERATION_SAVE,
	XT_OPERATION_RESTORE,
	XT_OPERATION_INCOMING,
};

const char *xt_operation_kind_name(enum xt_operation_kind kind);

struct xt_operation {
	char id[XT_HEX_SIZE];
	enum xt_operation_kind kind;
	char domain[XT_NAME_SIZE];
	char peer[4096]; /* "host:port", or the file */
	uint64_t sequence;
	enum mig_state state;
	bool finished;
	bool last;	       /* finished, and the domain's process ends with it */
	struct xm_error error; /* kind NONE: none */
	struct mig_progress progress;
	bool has_result;
	struct mig_result result; /* valid if has_result */
	bool audited;		  /* the audit is over, */
	uint64_t audit_pages;	  /* and so many pages differed */
};

/* OPERATION of docs/api.md, with "last" between VMM and daemon. NULL when memory is exhausted. */
json_t *xt_operation_to_json(const struct xt_operation *operation);

/*
 * Reads limits out of a PATCH's keys ("max_downtime_ms", "bandwidth", "max_rounds", "max_bytes") into
 * *limits, leaving those that are absent as they are, and removes the keys from `object`. Kind USAGE.
 */
int xt_limits_from_json(json_t *object, struct mig_limits *limits, struct xm_error *err);

#endif
