/* SPDX-License-Identifier: Apache-2.0 */
/* xmigrate-vmm: the process that is a domain. The daemon starts it; see --help for doing so by hand. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/log.h"
#include "tools/lib/config.h"
#include "tools/lib/control.h"
#include "tools/lib/crash_log.h"
#include "tools/lib/program.h"
#include "tools/vmm/operation.h"
#include "tools/vmm/vmm.h"

#define START_FD 3

static const char usage[] = "usage: xmigrate-vmm                  (by xmigrated, with the start "
			    "packet on descriptor 3)\n"
			    "       xmigrate-vmm [OPTION]... --create CONFIG\n"
			    "\n"
			    "Runs one domain. Without --create it expects what docs/vmm-control.md "
			    "says under \"Starting\".\n"
			    "With it, it runs a domain without a daemon, for debugging, until the "
			    "domain ends; the sockets are\n"
			    "in RUN_DIR/domains/NAME.\n"
			    "\n"
			    "  --create CONFIG    the domain's configuration file\n"
			    "  --paused           create it paused\n"
			    "  --run-dir DIR      default " XT_RUN_DIR_DEFAULT "\n"
			    "  --state-dir DIR    default " XT_STATE_DIR_DEFAULT "\n"
			    "  --help, --version\n";

/* How this process was told what to do, and whom it answers. */
struct start {
	json_t *packet;
	int channel;   /* the control channel's connection of an incoming domain; -1: none */
	int answer_fd; /* -1: nobody, since we were started by hand */
};

/* ------------------------------------------------------------------ the start packet */

static int receive_packet(struct start *start, struct xm_error *err)
{
	if (fcntl(START_FD, F_SETFD, FD_CLOEXEC) < 0)
		return xm_fail(err, XM_KIND_USAGE, -EBADF,
			       "descriptor %d is not open: this program is started by xmigrated; "
			       "see --help",
			       START_FD);
	start->answer_fd = START_FD;
	return xt_packet_receive(START_FD, &start->packet, &start->channel, err);
}

static int packet_by_hand(const char *config_path, bool paused, const char *run_dir,
			  const char *state_dir, json_t **ret_packet, struct xm_error *err)
{
	cleanup_free char *text = NULL;
	json_t *packet;
	int rc = xm_file_read(config_path, XT_CONFIG_TEXT_MAX, &text, NULL, err);

	if (rc)
		return rc;
	packet =
		json_pack("{ss ss ss ss ss sb}", "start", "create", "run_dir", run_dir, "state_dir",
			  state_dir, "config", text, "config_path", config_path, "paused", paused);
	if (!packet)
		return xm_fail(err, XM_KIND_CONFIG, -EINVAL, "%s is not UTF-8 text", config_path);
	*ret_packet = packet;
	return 0;
}

enum {
	OPTION_HELP = 256,
	OPTION_VERSION,
	OPTION_CREATE,
	OPTION_PAUSED,
	OPTION_RUN_DIR,
	OPTION_STATE_DIR,
};

static const struct option options[] = {
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{"create", required_argument, NULL, OPTION_CREATE},
	{"paused", no_argument, NULL, OPTION_PAUSED},
	{"run-dir", required_argument, NULL, OPTION_RUN_DIR},
	{"state-dir", required_argument, NULL, OPTION_STATE_DIR},
	{NULL, 0, NULL, 0},
};

/* Sets start->packet, unless all was said and there is nothing to run. */
static int read_start(int argc, char **argv, struct start *start, struct xm_error *err)
{
	const char *run_dir = XT_RUN_DIR_DEFAULT;
	const char *state_dir = XT_STATE_DIR_DEFAULT;
	const char *config = NULL;
	bool paused = false;

	for (;;) {
		switch (getopt_long(argc, argv, "", options, NULL)) {
		case OPTION_HELP:
			fputs(usage, stdout);
			return 0;
		case OPTION_VERSION:
			puts("xmigrate-vmm " XM_VERSION);
			return 0;
		case OPTION_CREATE:
			config = optarg;
			break;
		case OPTION_PAUSED:
			paused = true;
			break;
		case OPTION_RUN_DIR:
			run_dir = optarg;
			break;
		case OPTION_STATE_DIR:
			state_dir = optarg;
			break;
		case -1:
			if (optind < argc)
				return xm_fail(err, XM_KIND_USAGE, -EINVAL,
					       "unexpected argument '%s'; see --help",
					       argv[optind]);
			return config ? packet_by_hand(config, paused, run_dir, state_dir,
						       &start->packet, err)
				      : receive_packet(start, err);
		default:
			return xm_fail(err, XM_KIND_USAGE, -EINVAL, "unknown option; see --help");
		}
	}
}

static void answer(struct start *start, const struct vmm *vmm, const struct xm_error *error)
{
	struct xm_error err = XM_ERROR_INIT;
	char uuid[XT_UUID_SIZE];
	json_t *packet;

	if (start->answer_fd < 0)
		return;
	if (error->kind == XM_KIND_NONE) {
		xt_uuid_format(vmm->record.uuid, uuid);
		packet = json_pack("{s{ss ss}}", "result", "name", vmm->record.name, "uuid", uuid);
	} else {
		packet = json_pack("{so}", "error", xt_error_to_json(error));
	}
	if (!packet || xt_packet_send(start->answer_fd, packet, -1, &err))
		xm_log(XM_LOG_WARNING, "nobody hears that the domain was started: %s", err.text);
	json_decref(packet);
	close(start->answer_fd);
	start->answer_fd = -1;
}

/* ------------------------------------------------------------------------ the domain */

static int take_string(json_t *packet, const char *key, char **ret_value, struct xm_error *err)
{
	const char *value = json_string_value(json_object_get(packet, key));

	if (!value)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "the start packet has no '%s'", key);
	*ret_value = strdup(value);
	json_object_del(packet, key);
	return *ret_value ? 0 : xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
}

static int start_domain(struct vmm *vmm, struct start *start, const char *how, struct xm_error *err)
{
	if (strcmp(how, "create") == 0)
		return vmm_start_create(vmm, start->packet, err);
	if (strcmp(how, "restore") == 0)
		return vmm_start_restore(vmm, start->packet, err);
	if (strcmp(how, "incoming") == 0)
		return vmm_start_incoming(vmm, start->packet, &start->channel, err);
	return xm_fail(err, XM_KIND_USAGE, -EINVAL,
		       "'start' must be \"create\", \"restore\" or \"incoming\", not \"%.32s\"",
		       how);
}

/* The reason, where the log is that tells the rest, and the registers, which are long: in this order. */
static void say_crash(struct vmm *vmm)
{
	struct xm_error err = XM_ERROR_INIT;
	const char *registers = strchr(vmm->end_text, '\n');
	int reason = (int)strcspn(vmm->end_text, "\n");
	cleanup_free char *path = NULL;
	cleanup_free char *text = NULL;

	if (xt_crash_log_keep(vmm->run_dir, vmm->record.name, &path, &err))
		xm_log(XM_LOG_WARNING, "%s", err.text);
	text = xm_format("%.*s; %s%s%s", reason, vmm->end_text,
			 path ? "its log is " : "its log is lost", path ? path : "",
			 registers ? registers : "");
	vmm_events_say(vmm->events, "crashed", text ? text : vmm->end_text);
}

/* The daemon's and the operator's last words about it. */
static void say_end(struct vmm *vmm, enum vmm_end end)
{
	switch (end) {
	case VMM_END_SHUTDOWN:
		vmm_events_say(vmm->events, "shutdown", vmm->end_text);
		break;
	case VMM_END_CRASH:
		say_crash(vmm);
		break;
	case VMM_END_DESTROYED:
		vmm_events_say(vmm->events, "destroyed", vmm->end_text);
		break;
	default:
		break; /* the operation has said it */
	}
	vmm_operation_say_last(vmm);
}

static int run_domain(struct start *start, struct vmm *vmm, const char *how, struct xm_error *err)
{
	enum vmm_end end;
	int rc = start_domain(vmm, start, how, err);

	if (rc)
		return rc;
	/* Who is told of the end must know the beginning: the answer goes first. */
	answer(start, vmm, err);
	end = vmm_wait_end(vmm);
	vmm_operation_conclude(vmm);
	say_end(vmm, end);
	return 0;
}

static int run(struct start *start, struct xm_error *err)
{
	cleanup_free char *how = NULL;
	cleanup_free char *run_dir = NULL;
	cleanup_free char *state_dir = NULL;
	struct vmm *vmm = NULL;
	int rc;

	rc = take_string(start->packet, "start", &how, err);
	if (!rc)
		rc = take_string(start->packet, "run_dir", &run_dir, err);
	if (!rc)
		rc = take_string(start->packet, "state_dir", &state_dir, err);
	if (!rc)
		rc = vmm_create(run_dir, state_dir, &vmm, err);
	if (!rc)
		rc = run_domain(start, vmm, how, err);
	vmm_destroy(vmm);
	/* What failed has left nothing behind, its name least of all, when that is said. */
	if (rc)
		answer(start, NULL, err);
	return rc;
}

int main(int argc, char **argv)
{
	struct start start = {.channel = -1, .answer_fd = -1};
	struct xm_error err = XM_ERROR_INIT;
	int rc = xt_program_start(XM_LOG_INFO, &err);

	if (!rc)
		rc = read_start(argc, argv, &start, &err);
	if (!rc && start.packet)
		rc = run(&start, &err);
	if (start.channel >= 0)
		close(start.channel);
	json_decref(start.packet);
	if (!rc)
		return 0;
	xm_log(XM_LOG_ERROR, "%s", err.text);
	return (int)err.kind;
}
