/* SPDX-License-Identifier: Apache-2.0 */
/* xmigrated: options, and the order of starting and stopping. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "tools/daemon/api.h"
#include "tools/daemon/daemon.h"
#include "tools/daemon/domains.h"
#include "tools/daemon/events.h"
#include "tools/daemon/incoming.h"
#include "tools/daemon/notify.h"
#include "tools/daemon/operations.h"
#include "tools/daemon/spawn.h"
#include "tools/lib/program.h"
#include "tools/lib/session_record.h"

#define LISTEN_DEFAULT "127.0.0.1:4411"

static const char usage[] =
	"usage: xmigrated [--run-dir DIR] [--state-dir DIR] [--listen ADDRESS[:PORT]]...\n"
	"                 [--insecure] [--vmm PATH] [--foreground]\n"
	"                 [--log-level error|warning|info|debug] [--ready-fd N]\n"
	"       xmigrated --help | --version\n";

struct arguments {
	struct xd_options options;
	enum xm_log_level log_level;
	int ready_fd;
	const char *print; /* --help, --version: what to print instead of working */
};

/* ------------------------------------------------------------------------ options */

static int parse_level(const char *text, enum xm_log_level *ret_level, struct xm_error *err)
{
	for (enum xm_log_level level = XM_LOG_ERROR; level <= XM_LOG_DEBUG; level++) {
		if (strcmp(text, xm_log_level_name(level)) == 0) {
			*ret_level = level;
			return 0;
		}
	}
	return xm_fail(err, XM_KIND_USAGE, -EINVAL,
		       "%s is not a log level: error, warning, info or debug", text);
}

static int parse_fd(const char *text, int *ret_fd, struct xm_error *err)
{
	char *end;
	long fd = strtol(text, &end, 10);

	if (*text == '\0' || *end || fd < 0 || fd > INT32_MAX || fcntl((int)fd, F_GETFD) < 0)
		return xm_fail(err, XM_KIND_USAGE, -EBADF,
			       "--ready-fd %s is not an open file descriptor", text);
	fcntl((int)fd, F_SETFD, FD_CLOEXEC);
	*ret_fd = (int)fd;
	return 0;
}

static int add_listen(struct xd_options *options, const char *text, struct xm_error *err)
{
	if (options->listen_count == XD_LISTEN_MAX)
		return xm_fail(err, XM_KIND_USAGE, -E2BIG, "--listen can be given %d times",
			       XD_LISTEN_MAX);
	options->listen[options->listen_count++] = text;
	return 0;
}

enum {
	OPT_RUN = 1,
	OPT_STATE,
	OPT_LISTEN,
	OPT_INSECURE,
	OPT_VMM,
	OPT_FOREGROUND,
	OPT_LOG,
	OPT_READY,
	OPT_HELP,
	OPT_VERSION
};

static int take_option(struct arguments *arguments, int option, struct xm_error *err)
{
	struct xd_options *options = &arguments->options;

	switch (option) {
	case OPT_RUN:
		options->run_dir = optarg;
		return 0;
	case OPT_STATE:
		options->state_dir = optarg;
		return 0;
	case OPT_VMM:
		options->vmm = optarg;
		return 0;
	case OPT_INSECURE:
		options->insecure = true;
		return 0;
	case OPT_FOREGROUND: /* what it does anyway; units and scripts may say so */
		return 0;
	case OPT_LISTEN:
		return add_listen(options, optarg, err);
	case OPT_LOG:
		return parse_level(optarg, &arguments->log_level, err);
	case OPT_READY:
		return parse_fd(optarg, &arguments->ready_fd, err);
	case OPT_HELP:
		arguments->print = usage;
		return 0;
	case OPT_VERSION:
		arguments->print = "xmigrated " XM_VERSION "\n";
		return 0;
	default:
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "unknown or incomplete option; %s",
			       usage);
	}
}

static int parse(int argc, char **argv, struct arguments *arguments, struct xm_error *err)
{
	static const struct option options[] = {
		{"run-dir", required_argument, NULL, OPT_RUN},
		{"state-dir", required_argument, NULL, OPT_STATE},
		{"listen", required_argument, NULL, OPT_LISTEN},
		{"insecure", no_argument, NULL, OPT_INSECURE},
		{"vmm", required_argument, NULL, OPT_VMM},
		{"foreground", no_argument, NULL, OPT_FOREGROUND},
		{"log-level", required_argument, NULL, OPT_LOG},
		{"ready-fd", required_argument, NULL, OPT_READY},
		{"help", no_argument, NULL, OPT_HELP},
		{"version", no_argument, NULL, OPT_VERSION},
		{0},
	};
	int option, rc = 0;

	opterr = 0;
	while (!rc && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
		rc = take_option(arguments, option, err);
	if (!rc && optind < argc)
		rc = xm_fail(err, XM_KIND_USAGE, -EINVAL, "%s is not an option; %s", argv[optind],
			     usage);
	if (!rc && arguments->options.listen_count == 0)
		rc = add_listen(&arguments->options, LISTEN_DEFAULT, err);
	return rc;
}

/* xmigrate-vmm lies beside xmigrated in the build folder, and elsewhere when installed. */
static char *default_vmm(void)
{
	static const char *const places[] = {"", "../libexec/xmigrate/"};
	char self[4096];
	ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (size < 0)
		return NULL;
	self[size] = '\0';
	slash = strrchr(self, '/');
	slash[1] = '\0';
	for (size_t n = 0; n < sizeof(places) / sizeof(places[0]); n++) {
		char *path = xm_format("%s%sxmigrate-vmm", self, places[n]);

		if (path && access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return xm_format("%sxmigrate-vmm", self);
}

/* ----------------------------------------------------------------------- the lock */

/* Held until the process ends, however it ends. */
static int lock_run_dir(const char *run_dir, int *ret_fd, struct xm_error *err)
{
	cleanup_free char *path = xm_format("%s/daemon.lock", run_dir);
	cleanup_close int fd = -1;

	if (!path)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot open %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return xm_fail(
			err, XM_KIND_CONFLICT, -EBUSY,
			"another xmigrated serves %s already; stop it first, or choose another "
			"--run-dir",
			run_dir);
	*ret_fd = xm_steal_fd(&fd);
	return 0;
}

/* ------------------------------------------------------------------ start and stop */

static int start(struct xd_daemon *daemon, struct xd_api **ret_api, struct xm_error *err)
{
	int rc = xd_events_create(&daemon->events, err);

	if (!rc)
		rc = xd_operations_create(daemon->options->run_dir, &daemon->operations, err);
	if (!rc)
		rc = xd_domains_create(daemon, &daemon->domains, err);
	if (!rc)
		rc = xd_incoming_create(daemon, &daemon->incoming, err);
	if (!rc)
		rc = xt_session_expire(daemon->options->state_dir, XT_SESSION_KEEP_S, err);
	if (!rc)
		rc = xd_domains_adopt_all(daemon->domains, err);
	if (!rc)
		rc = xd_incoming_start(daemon->incoming, err);
	if (!rc)
		rc = xd_api_start(daemon, ret_api, err);
	return rc;
}

/* Everything that waits is woken before anybody is waited for. */
static void stop(struct xd_daemon *daemon, struct xd_api *api)
{
	eventfd_write(daemon->stop_fd, 1);
	if (daemon->events)
		xd_events_stop(daemon->events);
	if (daemon->domains)
		xd_domains_stop(daemon->domains);
	if (daemon->incoming)
		xd_incoming_stop(daemon->incoming);
	xd_api_stop(api);
	xd_incoming_destroy(daemon->incoming);
	xd_domains_destroy(daemon->domains);
	xd_operations_destroy(daemon->operations);
	xd_events_destroy(daemon->events);
}

static int serve(const struct arguments *arguments, struct xm_error *err)
{
	const struct xd_options *options = &arguments->options;
	struct xd_daemon daemon = {.options = options, .registry = {.run_dir = options->run_dir}};
	cleanup_close int stop_fd = eventfd(0, EFD_CLOEXEC);
	cleanup_close int lock = -1;
	struct xd_api *api = NULL;
	sigset_t ending;
	int rc, signal_number;

	daemon.stop_fd = stop_fd;
	if (stop_fd < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot make an eventfd");
	/* Blocked in every thread, and taken here. */
	sigemptyset(&ending);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGINT);
	pthread_sigmask(SIG_BLOCK, &ending, NULL);

	rc = xt_registry_init(&daemon.registry, err);
	if (!rc)
		rc = lock_run_dir(options->run_dir, &lock, err);
	if (!rc)
		rc = start(&daemon, &api, err);
	if (!rc) {
		xm_log(XM_LOG_INFO, "serving %s", options->run_dir);
		xd_notify_ready(arguments->ready_fd);
		sigwait(&ending, &signal_number);
		xm_log(XM_LOG_INFO, "stopping on %s; domains go on", strsignal(signal_number));
		xd_notify_stopping();
	}
	stop(&daemon, api);
	return rc;
}

int main(int argc, char **argv)
{
	struct arguments arguments = {
		.options = {.run_dir = XT_RUN_DIR_DEFAULT, .state_dir = XT_STATE_DIR_DEFAULT},
		.log_level = XM_LOG_INFO,
		.ready_fd = -1,
	};
	cleanup_free char *vmm = default_vmm();
	struct xm_error err = XM_ERROR_INIT;
	int rc = parse(argc, argv, &arguments, &err);

	if (!rc && arguments.print) {
		fputs(arguments.print, stdout);
		return 0;
	}
	if (!arguments.options.vmm)
		arguments.options.vmm = vmm;
	if (!rc)
		rc = xt_program_start(arguments.log_level, &err);
	if (!rc)
		rc = serve(&arguments, &err);
	if (rc)
		fprintf(stderr, "xmigrated: %s\n", err.text);
	return rc ? (int)err.kind : 0;
}
