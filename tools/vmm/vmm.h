/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xmigrate-vmm: one process, one domain. What its parts share.
 *
 *	main.c            options, the start packet, the order of starting and ending
 *	vmm.c             the object, its state, running and pausing, how it ends
 *	describe.c        DOMAIN of docs/api.md
 *	events.c          what happened, for subscribers
 *	create.c          a domain from a configuration file
 *	operation.c       the one operation that a domain may be in: begin, watch, cancel, finish
 *	migration.c       a domain leaves; resolve.c: when it is not known whether it did
 *	save.c            a domain becomes a file
 *	arrival.c         a domain arrives, from another host or from a file
 *	control_server.c  vmm.sock; calls.c: what can be called there
 *	console.c         console.sock
 *
 * Threads: main waits for the end. The hypervisor has a thread per vCPU, which call domain_event() and its
 * like. The control server has one that accepts and one per connection, and another one per subscriber;
 * the console has one; an operation has one. All wait on `changed`, none polls.
 *
 * Locks: `lock` is the only one that is shared by these files. It is never held while a function of
 * hv_, mig_ or tp_ is called, since their threads call back and take it. (The console's and the server's own
 * locks are private to them, and nothing is called with those held either.)
 */
#ifndef XM_TOOLS_VMM_VMM_H
#define XM_TOOLS_VMM_VMM_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "hypervisor/hypervisor.h"
#include "tools/lib/operation.h"
#include "tools/lib/registry.h"
#include "tools/vmm/events.h"

struct arrival;
struct tp_session;
struct vmm_console;
struct vmm_server;
struct xt_session;

/* Why the process ends. The first reason counts. */
enum vmm_end {
	VMM_END_NONE,
	VMM_END_SHUTDOWN,  /* the guest ended itself */
	VMM_END_CRASH,	   /* the guest was ended */
	VMM_END_DESTROYED, /* an operator ended it */
	VMM_END_MIGRATED,  /* it runs at another host now */
	VMM_END_SAVED,	   /* it is a file now */
	VMM_END_REFUSED,   /* it never arrived */
};

/*
 * The domain's operation: the current one, or the last. Everything is guarded by vmm.lock; the
 * pointers are used by other threads between vmm_operation_use() and _unuse() only.
 */
struct vmm_operation {
	bool exists; /* there was one at all */
	bool active; /* it is not finished, and no other may begin */
	bool cancelled;
	bool was_paused; /* before it began */
	struct xt_operation view;
	struct mig_limits limits;
	struct mig_source *source; /* while the engine runs */
	struct mig_target *target;
	struct tp_session *session; /* of an arrival by network: page channels are attached to it */
	unsigned users;		    /* threads that are using the pointers above */
	uint8_t session_id[XT_ID_BYTES];
	struct xt_session
		*record; /* of a migration; set once, closed when the operation is replaced */
	bool resolved; /* of an unresolved one: the record has its last word, and how it is known: */
	char resolution[XM_ERROR_TEXT_MAX];
};

struct vmm {
	/* Set up before threads start, or by the arrival's admission before others see it; constant then. */
	char *run_dir;
	char *state_dir;
	struct xt_registry registry;
	struct xt_claim *claim;
	struct hv_domain *domain;
	char *config; /* the configuration's text */
	struct vmm_console *console;
	struct vmm_server *server;
	struct vmm_events *events; /* its own lock */
	struct arrival *arrival;   /* arrival.c's; NULL for a domain that was created here */
	json_t *last_word;	   /* the main thread's: OPERATION, from its telling to the end */

	pthread_mutex_t lock;
	pthread_cond_t changed; /* CLOCK_MONOTONIC; broadcast when anything below changes */

	/* Guarded by lock. */
	struct xt_domain_record record;
	struct vmm_operation operation;
	bool present;	  /* it is ours: not still arriving */
	bool executing;	  /* somebody is pausing or resuming it */
	unsigned workers; /* threads started by vmm_work() that have not returned */
	uint64_t reports; /* counts report lines */
	enum vmm_end end;
	char end_text[XM_ERROR_TEXT_MAX];
	uint32_t end_code;
};

int vmm_create(const char *run_dir, const char *state_dir, struct vmm **ret_vmm,
	       struct xm_error *err);

/* Ends everything in its order: sockets, domain, claim. NULL is fine. All workers must have been told. */
void vmm_destroy(struct vmm *vmm);

/*
 * Claims vmm->record and opens the log, the control socket and the console. The domain exists after it; nobody is
 * served before vmm_server_start().
 */
int vmm_open(struct vmm *vmm, const struct hv_config *config, struct xm_error *err);

/* Starts a detached thread that the end waits for. */
int vmm_work(struct vmm *vmm, void (*work)(struct vmm *vmm, void *argument), void *argument,
	     struct xm_error *err);

/* Writes domain.json anew. A failure is logged: the domain does not depend on it. */
void vmm_publish(struct vmm *vmm);

/* Kind CONFLICT while the domain is still arriving: it is not ours yet, and may never be. */
int vmm_check_present(struct vmm *vmm, struct xm_error *err);

/*
 * Runs or pauses the domain for an operator. Kind CONFLICT while it arrives or an operation is active, or the
 * guest has ended. Returns when it is done.
 */
int vmm_set_paused(struct vmm *vmm, bool paused, struct xm_error *err);

/* Says that the process shall end, and why; `text` is for the log and the event. */
void vmm_end(struct vmm *vmm, enum vmm_end end, const char *text);

/* Waits until an end was said, and nobody is in the middle of pausing or resuming. */
enum vmm_end vmm_wait_end(struct vmm *vmm);

/* Waits on `changed`, with lock held, until the deadline (0: none). False when it has passed. */
bool vmm_wait(struct vmm *vmm, uint64_t deadline_ns);

/* An operator's answer to "what is it doing": the word of docs/api.md. With lock held. */
const char *vmm_state_name(const struct vmm *vmm, bool paused);

/* DOMAIN of docs/api.md. */
json_t *vmm_describe(struct vmm *vmm);

/* --------------------------------------------------------------------------- starting */

/* Each reads its start packet (a new reference is not taken), and returns 0 when the domain exists or is arriving. */
int vmm_start_create(struct vmm *vmm, json_t *packet, struct xm_error *err);
int vmm_start_restore(struct vmm *vmm, json_t *packet, struct xm_error *err);

/* *fd is the control channel's connection; set to -1 when it was taken over. */
int vmm_start_incoming(struct vmm *vmm, json_t *packet, int *fd, struct xm_error *err);

/* At the end, when no worker is left. NULL is fine. */
void vmm_arrival_destroy(struct arrival *arrival);

#endif
