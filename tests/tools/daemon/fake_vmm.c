/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VMM without a virtual machine, for the daemon's tests: it claims a name, speaks the control protocol
 * (docs/vmm-control.md), and does what it is told over `input`, things that a broken VMM does included.
 *
 * The configuration is `name = "NAME"`; with a name that begins with "refuse" it answers an error, with
 * "die" it dies before it has answered. `input` texts: "crash" (dies at once), "stop" (stops itself),
 * "garbage" (breaks the protocol towards subscribers), "say TEXT" (an event), "finish" (its operation ends in
 * COMMITTED, and so does the process), "leave" (its operation does so and is the last, and the process goes on until
 * "finish"), "junk" (answers an array).
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "tools/lib/control.h"
#include "tools/lib/registry.h"

#define START_FD	3
#define CONNECTIONS_MAX 32

/* One thread, one domain, one process: the state of the whole program. */
struct vmm {
	struct xt_registry registry;
	struct xt_domain_record record;
	struct xt_claim *claim;
	int listener;
	int connections[CONNECTIONS_MAX];
	bool subscribed[CONNECTIONS_MAX];
	json_int_t
		waiting[CONNECTIONS_MAX]; /* id of an `operation` call not yet answered, 0: none */
	bool paused;
	char operation[XT_HEX_SIZE];
	const char *operation_state; /* NULL: none */
	json_int_t sequence;
	bool finished;
	bool last;
	bool arrived; /* was said */
	bool ending;
};

static void quit(const char *why)
{
	fprintf(stderr, "fake_vmm: %s\n", why);
	_exit(1);
}

static void push(struct vmm *vmm, json_t *event)
{
	json_t *packet = json_pack("{s:o}", "event", event);

	for (int n = 0; n < CONNECTIONS_MAX; n++)
		if (vmm->subscribed[n])
			xt_packet_try_send(vmm->connections[n], packet, NULL);
	json_decref(packet);
}

static void say(struct vmm *vmm, const char *what, const char *text)
{
	push(vmm, json_pack("{s:s, s:s}", "what", what, "text", text));
}

static json_t *operation_json(const struct vmm *vmm)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:b, s:b, s:n, s:{}, s:n}", "id",
			 vmm->operation, "kind", "migrate", "domain", vmm->record.name, "peer",
			 "nowhere", "sequence", vmm->sequence, "state", vmm->operation_state,
			 "finished", vmm->finished, "last", vmm->last, "error", "progress",
			 "result");
}

static json_t *info_json(const struct vmm *vmm)
{
	char uuid[XT_UUID_SIZE];

	xt_uuid_format(vmm->record.uuid, uuid);
	return json_pack("{s:s, s:s, s:s, s:i, s:s?}", "name", vmm->record.name, "uuid", uuid,
			 "state", vmm->paused ? "paused" : "running", "pid", (int)getpid(),
			 "operation", vmm->operation_state ? vmm->operation : NULL);
}

static void answer(struct vmm *vmm, int n, json_int_t id, json_t *result)
{
	json_t *packet = json_pack("{s:I, s:o}", "id", id, "result", result);

	xt_packet_try_send(vmm->connections[n], packet, NULL);
	json_decref(packet);
}

static void answer_error(struct vmm *vmm, int n, json_int_t id, const char *kind, const char *text)
{
	json_t *packet =
		json_pack("{s:I, s:{s:s, s:s}}", "id", id, "error", "kind", kind, "text", text);

	xt_packet_try_send(vmm->connections[n], packet, NULL);
	json_decref(packet);
}

static void operation_moved(struct vmm *vmm, const char *state, bool finished)
{
	vmm->operation_state = state;
	vmm->finished = finished;
	vmm->sequence++;
	if (finished)
		push(vmm,
		     json_pack("{s:s, s:o}", "what", "finished", "operation", operation_json(vmm)));
	for (int n = 0; n < CONNECTIONS_MAX; n++) {
		if (vmm->waiting[n])
			answer(vmm, n, vmm->waiting[n], operation_json(vmm));
		vmm->waiting[n] = 0;
	}
}

/* ------------------------------------------------------------------ what it is told */

static void do_input(struct vmm *vmm, int n, json_int_t id, const char *text)
{
	if (!strcmp(text, "crash"))
		raise(SIGKILL);
	if (!strcmp(text, "junk")) {
		answer(vmm, n, id, json_array());
		return;
	}
	answer(vmm, n, id, json_object());
	if (!strcmp(text, "stop")) {
		raise(SIGSTOP);
	} else if (!strcmp(text, "garbage")) {
		for (int at = 0; at < CONNECTIONS_MAX; at++)
			if (vmm->subscribed[at])
				send(vmm->connections[at], "}{", 2, MSG_NOSIGNAL);
	} else if (!strncmp(text, "say ", 4)) {
		say(vmm, "alarm", text + 4);
	} else if (!strcmp(text, "leave")) {
		vmm->last = true;
		operation_moved(vmm, "committed", true);
	} else if (!strcmp(text, "finish")) {
		operation_moved(vmm, "committed", true);
		vmm->ending = true;
	}
}

static void begin_migration(struct vmm *vmm, int n, json_int_t id)
{
	uint8_t bytes[XT_ID_BYTES];

	if (vmm->operation_state && !vmm->finished) {
		answer_error(vmm, n, id, "conflict", "the domain is moving already");
		return;
	}
	xt_random_id(bytes);
	xt_hex_format(bytes, vmm->operation);
	operation_moved(vmm, "pre-copy", false);
	answer(vmm, n, id, operation_json(vmm));
}

static void do_operation(struct vmm *vmm, int n, json_int_t id, const json_t *request)
{
	if (!vmm->operation_state)
		answer_error(vmm, n, id, "not-found", "no operation");
	else if (json_integer_value(json_object_get(request, "after")) < vmm->sequence ||
		 json_integer_value(json_object_get(request, "wait_ms")) == 0)
		answer(vmm, n, id, operation_json(vmm));
	else {
		vmm->waiting[n] = id;
		say(vmm, "alarm", "somebody waits");
	}
}

static void serve(struct vmm *vmm, int n, const json_t *request)
{
	const char *call = json_string_value(json_object_get(request, "call"));
	const char *text = json_string_value(json_object_get(request, "text"));
	json_int_t id = json_integer_value(json_object_get(request, "id"));

	if (!strcmp(call, "info")) {
		answer(vmm, n, id, info_json(vmm));
	} else if (!strcmp(call, "subscribe")) {
		vmm->subscribed[n] = true;
		answer(vmm, n, id, json_object());
		if (vmm->record.session[0] && !vmm->arrived)
			say(vmm, "arrived", "");
		vmm->arrived = true;
	} else if (!strcmp(call, "pause") || !strcmp(call, "unpause")) {
		vmm->paused = !strcmp(call, "pause");
		say(vmm, vmm->paused ? "paused" : "unpaused", "as asked");
		answer(vmm, n, id, json_object());
	} else if (!strcmp(call, "destroy") || !strcmp(call, "shutdown")) {
		say(vmm, !strcmp(call, "destroy") ? "destroyed" : "shutdown", "as asked");
		answer(vmm, n, id, json_object());
		vmm->ending = true;
	} else if (!strcmp(call, "input")) {
		do_input(vmm, n, id, text);
	} else if (!strcmp(call, "migrate")) {
		begin_migration(vmm, n, id);
	} else if (!strcmp(call, "operation")) {
		do_operation(vmm, n, id, request);
	} else if (!strcmp(call, "limits")) {
		operation_moved(vmm, "pre-copy", false);
		answer(vmm, n, id, operation_json(vmm));
	} else if (!strcmp(call, "cancel")) {
		operation_moved(vmm, "aborted", true);
		answer(vmm, n, id, json_object());
	} else if (!strcmp(call, "attach")) {
		say(vmm, "alarm", "attached");
		answer(vmm, n, id, json_object());
	} else {
		answer_error(vmm, n, id, "usage", "unknown call");
	}
}

/* ------------------------------------------------------------------------ the loop */

static void accept_one(struct vmm *vmm)
{
	int fd = accept(vmm->listener, NULL, NULL);

	for (int n = 0; fd >= 0 && n < CONNECTIONS_MAX; n++) {
		if (vmm->connections[n] < 0) {
			vmm->connections[n] = fd;
			return;
		}
	}
	if (fd >= 0)
		close(fd);
}

static void receive_one(struct vmm *vmm, int n)
{
	json_t *request;

	if (xt_packet_receive(vmm->connections[n], &request, NULL, NULL) < 0) {
		close(vmm->connections[n]);
		vmm->connections[n] = -1;
		vmm->subscribed[n] = false;
		vmm->waiting[n] = 0;
		return;
	}
	serve(vmm, n, request);
	json_decref(request);
}

static void live(struct vmm *vmm)
{
	while (!vmm->ending) {
		struct pollfd waits[CONNECTIONS_MAX + 1] = {
			{.fd = vmm->listener, .events = POLLIN}};

		for (int n = 0; n < CONNECTIONS_MAX; n++)
			waits[n + 1] = (struct pollfd){.fd = vmm->connections[n], .events = POLLIN};
		if (poll(waits, CONNECTIONS_MAX + 1, -1) < 0)
			continue;
		if (waits[0].revents)
			accept_one(vmm);
		for (int n = 0; n < CONNECTIONS_MAX; n++)
			if (waits[n + 1].revents && !vmm->ending)
				receive_one(vmm, n);
	}
}

/* ------------------------------------------------------------------------- starting */

static void take_name(struct vmm *vmm, const json_t *packet)
{
	const char *config = json_string_value(json_object_get(packet, "config"));
	const char *token = json_string_value(json_object_get(packet, "token"));

	if (token) {
		snprintf(vmm->record.session, sizeof(vmm->record.session), "%s", token);
		snprintf(vmm->record.name, sizeof(vmm->record.name), "arrived");
	} else if (!config || sscanf(config, "name = \"%63[^\"]", vmm->record.name) != 1) {
		quit("no name");
	}
}

static void claim(struct vmm *vmm, struct xm_error *err)
{
	cleanup_free char *path = NULL;

	if (!strncmp(vmm->record.name, "refuse", 6)) {
		xm_fail(err, XM_KIND_CONFIG, -EINVAL, "web.cfg:1: refused");
		return;
	}
	if (!strncmp(vmm->record.name, "die", 3))
		quit("dies as told");
	xt_uuid_generate(vmm->record.uuid);
	vmm->record.memory_bytes = 16u << 20;
	vmm->record.vcpus = 1;
	vmm->record.pid = getpid();
	xt_time_now(vmm->record.created_at);
	if (xt_claim_make(&vmm->registry, &vmm->record, "", &vmm->claim, err) < 0)
		return;
	path = xm_format("%s/vmm.sock", xt_claim_folder(vmm->claim));
	if (path)
		xt_socket_listen(path, SOCK_SEQPACKET, &vmm->listener, err);
}

int main(void)
{
	static struct vmm vmm;
	struct xm_error err = XM_ERROR_INIT;
	json_t *packet, *word;
	char uuid[XT_UUID_SIZE];

	for (int n = 0; n < CONNECTIONS_MAX; n++)
		vmm.connections[n] = -1;
	if (xt_packet_receive(START_FD, &packet, NULL, &err) < 0)
		quit(err.text);
	vmm.registry.run_dir = json_string_value(json_object_get(packet, "run_dir"));
	take_name(&vmm, packet);
	claim(&vmm, &err);
	xt_uuid_format(vmm.record.uuid, uuid);
	if (err.kind)
		word = json_pack("{s:o}", "error", xt_error_to_json(&err));
	else
		word = json_pack("{s:{s:s, s:s}}", "result", "name", vmm.record.name, "uuid", uuid);
	xt_packet_send(START_FD, word, -1, NULL);
	json_decref(word);
	close(START_FD);
	if (!err.kind)
		live(&vmm);
	xt_claim_release(vmm.claim);
	for (int n = 0; n < CONNECTIONS_MAX; n++)
		if (vmm.connections[n] >= 0)
			close(vmm.connections[n]);
	json_decref(packet);
	return err.kind ? 1 : 0;
}
