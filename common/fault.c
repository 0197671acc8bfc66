/* SPDX-License-Identifier: Apache-2.0 */
#include "common/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/error.h"

enum action { ACTION_ERROR, ACTION_DIE, ACTION_SKIP, ACTION_STOP, ACTION_DELAY };

enum { FAULTS_MAX = 16, POINT_MAX = 64 };

struct fault {
	char point[POINT_MAX];
	enum action action;
	unsigned delay_ms;
	unsigned nth; /* 0: every time */
	atomic_uint reached;
};

bool xm_fault_armed;

/* Written by xm_fault_arm() while nothing else runs; afterwards only `reached` changes. */
static struct fault faults[FAULTS_MAX];
static unsigned faults_count;

static int parse_action(const char *word, struct fault *fault)
{
	static const struct {
		const char *name;
		enum action action;
	} actions[] = {{"error", ACTION_ERROR},
		       {"die", ACTION_DIE},
		       {"skip", ACTION_SKIP},
		       {"stop", ACTION_STOP}};

	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(word, actions[i].name) == 0) {
			fault->action = actions[i].action;
			return 0;
		}
	}
	if (sscanf(word, "delay=%u", &fault->delay_ms) == 1) {
		fault->action = ACTION_DELAY;
		return 0;
	}
	return -EINVAL;
}

static int parse_one(char *text, struct fault *fault)
{
	char *save = NULL;
	char *point = strtok_r(text, ":", &save);
	char *action = strtok_r(NULL, ":", &save);
	char *nth = strtok_r(NULL, ":", &save);

	if (!point || !action || strlen(point) >= POINT_MAX)
		return -EINVAL;
	strcpy(fault->point, point);
	fault->nth = nth ? (unsigned)strtoul(nth, NULL, 10) : 0;
	atomic_store(&fault->reached, 0);
	if (nth && fault->nth == 0)
		return -EINVAL;
	return parse_action(action, fault);
}

int xm_fault_arm(const char *spec, struct xm_error *err)
{
	char copy[1024];
	char *save = NULL;

	faults_count = 0;
	xm_fault_armed = false;
	if (!spec || !*spec)
		return 0;
	if (strlen(spec) >= sizeof(copy))
		return xm_fail(err, XM_KIND_USAGE, -EINVAL, "XMIGRATE_FAULT is too long");
	strcpy(copy, spec);
	for (char *one = strtok_r(copy, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
		if (faults_count == FAULTS_MAX || parse_one(one, &faults[faults_count]))
			return xm_fail(
				err, XM_KIND_USAGE, -EINVAL,
				"XMIGRATE_FAULT='%s' cannot be read; write "
				"POINT:error|die|skip|stop|delay=MS[:NTH], separated by commas",
				spec);
		faults_count++;
	}
	xm_fault_armed = faults_count > 0;
	return 0;
}

int xm_fault_init(struct xm_error *err)
{
	return xm_fault_arm(getenv("XMIGRATE_FAULT"), err);
}

static int act(const struct fault *fault)
{
	struct timespec delay = xm_timespec(fault->delay_ms * XM_NS_PER_MS);

	switch (fault->action) {
	case ACTION_ERROR:
		return -EIO;
	case ACTION_DIE:
		kill(getpid(), SIGKILL);
		pause();
		return -EIO;
	case ACTION_SKIP:
		return 1;
	case ACTION_STOP:
		raise(SIGSTOP);
		return 0;
	case ACTION_DELAY:
		while (nanosleep(&delay, &delay) && errno == EINTR)
			;
		return 0;
	}
	return 0;
}

int xm_fault_reached(const char *point)
{
	for (unsigned i = 0; i < faults_count; i++) {
		struct fault *fault = &faults[i];

		if (strcmp(fault->point, point) != 0)
			continue;
		unsigned count = atomic_fetch_add(&fault->reached, 1) + 1;
		if (fault->nth == 0 || fault->nth == count)
			return act(fault);
	}
	return 0;
}
