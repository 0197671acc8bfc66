/* SPDX-License-Identifier: Apache-2.0 */
/* domain.json in a claim's folder: for the registry only. */
#ifndef XM_TOOLS_DOMAIN_RECORD_H
#define XM_TOOLS_DOMAIN_RECORD_H

#include "tools/lib/registry.h"

/* Replaces FOLDER/domain.json in one step. */
int xt_domain_record_write(const char *folder, const struct xt_domain_record *record,
			   struct xm_error *err);

/* What can be read is filled in, all else is zero; the name is the folder's. */
void xt_domain_record_read(const char *folder, const char *name,
			   struct xt_domain_record *ret_record);

#endif
