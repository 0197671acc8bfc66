/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A domain's configuration: a file in the syntax of xl.cfg(5), read by Xen's own parser (libxlutil).
 *
 *	name = "web1"                  # required
 *	uuid = "..."                   # made up at creation when absent
 *	memory = 1024                  # MiB, required, even, at least 16
 *	vcpus = 1                      # 1..64
 *	payload = "dirty.elf"          # required to create; relative to this file's folder
 *	payload_args = "rate=200"      # a string, or a list whose items are joined by spaces
 *	log_dirty = "default"          # or "bitmap", "ring"
 *	ring_entries = 4096            # of each dirty ring, a power of two
 *	huge_pages = "none"            # or "2M", "1G"
 *	prefault = 0                   # 1: populate all memory at creation
 *
 * The text itself travels with the domain in streams and files, so that another host can read it again; the
 * payload's file is needed at creation only. Where a name or UUID that came beside the
 * text (in HELLO, or from `restore --name`) differs from it, the text is edited by xt_config_rename().
 *
 * A setting that is not in this list is an error: nothing that somebody wrote is silently ignored.
 * Errors have kind CONFIG and begin with "FILE:LINE: " wherever there is a line to name.
 */
#ifndef XM_TOOLS_CONFIG_H
#define XM_TOOLS_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "hypervisor/hypervisor.h"
#include "tools/lib/ident.h"

#define XT_CONFIG_TEXT_MAX (64u << 10)

struct xt_config {
	char name[XT_NAME_SIZE];
	bool has_uuid;
	uint8_t uuid[XT_ID_BYTES]; /* valid if has_uuid */
	uint64_t memory_bytes;
	unsigned vcpus;
	char *payload; /* path, already relative to nothing but the working folder; NULL if not given */
	char *payload_args; /* never NULL */
	enum hv_log_kind log_kind;
	uint32_t ring_entries; /* 0: default */
	uint64_t huge_page_bytes;
	bool prefault;
};

/*
 * `path` names the file in messages and gives the folder for relative paths; the file itself is not
 * read. On success the caller calls xt_config_finish().
 */
int xt_config_parse(const char *text, const char *path, struct xt_config *ret_config,
		    struct xm_error *err);

/* Reads the file and parses it; *ret_text, if asked for, is the caller's to free. */
int xt_config_read(const char *path, struct xt_config *ret_config, char **ret_text,
		   struct xm_error *err);

void xt_config_finish(struct xt_config *config);

/*
 * The same text with `name` and `uuid` set to these; comments and everything else stay. `text` must have
 * been accepted by xt_config_parse(). NULL when memory is exhausted; the caller frees.
 */
char *xt_config_rename(const char *text, const char *name, const uint8_t uuid[XT_ID_BYTES]);

#endif
