// SPDX-License-Identifier: Apache-2.0
/*
 * The pause: everything here costs the guest's time. The order matters:
 *
 *	vCPUs out, I/O completed (hv_pause) -> state read, which may dirty memory -> the last log fetch
 *	-> last pages -> SEAL, STATE, END, sent without waiting -> PREPARED -> COMMIT -> COMMITTED
 */
#include "migrate/source.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fault.h"
#include "migrate/thread.h"

/*
 * For how long the guest is kept paused, beyond what its owner allows, by a target that never lets the idle timeout
 * pass; in idle timeouts of the session. What is in the connections must get through, and be loaded.
 */
#define PREPARE_TIMEOUTS     4
#define ALLOWED_TIMEOUTS_MAX 10000 /* days */
/* A COMMIT is answered at once; if it isn't, the outcome can be asked for, and the guest is paused. */
#define COMMIT_TIMEOUTS 1

int mig_source_pause(struct mig_source *source, struct xm_error *err)
{
	struct hv_pause_times times;
	int rc;

	rc = hv_pause(source->domain, &times, err);
	if (rc)
		return rc;
	source->paused_here = true;
	source->pause.kick_ns = times.kick_ns;
	source->pause.quiesce_ns = times.quiesce_ns;
	/* total_ns holds the pause's begin until its end is known. */
	source->pause.total_ns = times.stopped_at;
	return 0;
}

/*
 * For the tests: what a migration that forgets a register looks like. XMM8 is at byte 288 of an XSAVE area
 * (Intel SDM vol. 1, 10.5.1); the fake hypervisor keeps its registers in "vcpu".
 */
static void forget_register(struct hv_state *state)
{
	static const struct {
		const char *section;
		uint32_t byte;
	} registers[] = {{"xsave", 288}, {"vcpu", 8}};

	for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++) {
		const struct hv_section *section = hv_state_find(state, registers[i].section, 0);

		if (section && section->size > registers[i].byte)
			section->data[registers[i].byte] ^= 0x40;
	}
}

static int save_state(struct mig_source *source, struct xm_error *err)
{
	struct hv_state state;
	int rc;

	hv_state_init(&state);
	rc = hv_state_save(source->domain, &state, err);
	if (rc == 0 && xm_fault("migrate.break.forget-register") == 1)
		forget_register(&state);
	if (rc == 0)
		rc = mig_sections_pack(&source->sections, &state, err);
	hv_state_finish(&state);
	return rc;
}

static int send_state(struct mig_source *source, struct xm_error *err)
{
	struct pf_state message = {
		.purpose = PF_STATE_FINAL,
		.section_count = source->sections.count,
		.sections = source->sections.wire,
	};
	int rc;

	rc = pf_state_encode(&message, &source->control.body, err);
	if (rc)
		return rc;
	return mig_control_send(&source->control, PF_TYPE_STATE, true, source->sections.payload,
				source->sections.payload_size, err);
}

static int send_end(struct mig_source *source, struct xm_error *err)
{
	struct pf_end end = {
		.rounds = source->round.number,
		.digest = source->digest,
		.paused = source->was_paused,
	};
	int rc;

	rc = pf_end_encode(&end, &source->control.body, err);
	if (rc)
		return rc;
	return mig_control_send(&source->control, PF_TYPE_END, true, NULL, 0, err);
}

static int last_pages(struct mig_source *source, struct xm_error *err)
{
	uint64_t pages;
	int rc = 0;

	if (source->log)
		rc = mig_round_fetch(source, &pages, err);
	if (rc == 0 && source->log && xm_fault("migrate.break.skip-last-round") == 1)
		memset(source->pending, 0, mig_bitmap_bytes(&source->layout));
	/* Between the pause and the guest's next step there is no sense in a limit on bytes. */
	atomic_store(&source->bytes_max, UINT64_MAX);
	if (rc == 0)
		rc = mig_round_send(source, true, err);
	return rc;
}

/* After a pre-copy little is left to be sent; without one it is all of memory, and takes as long as it takes. */
static void limit_pause(struct mig_source *source)
{
	struct mig_limits limits;
	uint64_t allowed;

	if (!source->log || !source->answers)
		return;
	mig_source_limits(source, &limits);
	allowed = limits.downtime_ns / (TP_TIMEOUT_MS * XM_NS_PER_MS);
	if (allowed > ALLOWED_TIMEOUTS_MAX)
		allowed = ALLOWED_TIMEOUTS_MAX;
	tp_set_deadline(source->session, PREPARE_TIMEOUTS + (unsigned)allowed);
}

int mig_source_stop_and_copy(struct mig_source *source, struct xm_error *err)
{
	uint64_t paused_at, saved_at;
	int rc = 0;

	atomic_store(&source->hurried, true);
	if (!source->was_paused)
		rc = mig_source_pause(source, err);
	else
		source->pause.total_ns = xm_now_ns();
	limit_pause(source);
	paused_at = xm_now_ns();
	if (rc == 0)
		rc = save_state(source, err);
	saved_at = xm_now_ns();
	source->pause.state_ns = saved_at - paused_at;
	if (rc == 0)
		rc = last_pages(source, err);
	source->pause.pages_ns = xm_now_ns() - saved_at;
	if (rc == 0)
		rc = send_state(source, err);
	if (rc == 0)
		rc = send_end(source, err);
	return rc;
}

/* Waits until the target has checked and loaded everything. */
static int await_prepared(struct mig_source *source, struct pf_prepared *ret_prepared,
			  struct xm_error *err)
{
	struct pf_header header;
	const void *body;
	int rc;

	if (!source->log)
		tp_set_deadline(source->session, PREPARE_TIMEOUTS);
	rc = mig_round_sealed(source, err);
	if (rc == 0)
		rc = mig_control_expect(&source->control, PF_TYPE_PREPARED, &header, &body, NULL,
					err);
	if (rc == 0)
		rc = pf_prepared_decode(body, header.body_size, ret_prepared, err);
	if (rc)
		return rc;
	if (ret_prepared->digest != source->digest)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "the memory at the target is not what was sent (its digest "
			       "differs); the domain runs on here");
	return 0;
}

/* From here on, cancelling is too late: decided under the lock under which somebody cancels. */
static int pass_commit_point(struct mig_source *source, struct xm_error *err)
{
	if (xm_fault("migrate.commit.before-send") < 0)
		return xm_fail(err, XM_KIND_INTERNAL, -EIO, "fault injected before COMMIT");
	pthread_mutex_lock(&source->lock);
	if (!source->cancelled)
		source->state = MIG_COMMIT_SENT;
	pthread_mutex_unlock(&source->lock);
	return mig_source_check(source, err);
}

static int commit(struct mig_source *source, struct xm_error *err)
{
	struct pf_commit message = {.epoch = source->config.epoch};
	int rc;

	tp_set_deadline(source->session, COMMIT_TIMEOUTS);
	rc = pf_commit_encode(&message, &source->control.body, err);
	if (rc == 0)
		rc = pass_commit_point(source, err);
	if (rc == 0 && xm_fault("migrate.commit.lost") == 1)
		tp_shutdown(source->session);
	if (rc == 0)
		rc = mig_control_send(&source->control, PF_TYPE_COMMIT, true, NULL, 0, err);
	if (rc == 0 && xm_fault("migrate.commit.after-send") < 0)
		rc = xm_fail(err, XM_KIND_INTERNAL, -EIO, "fault injected after COMMIT");
	return rc;
}

/*
 * COMMITTED, or an ABORT: a target that aborts never runs the domain, whatever arrives later, so it is
 * ours again. Anything else leaves the outcome unknown.
 */
static int await_committed(struct mig_source *source, struct pf_committed *ret_committed,
			   struct xm_error *err)
{
	struct pf_header header;
	const void *body;
	bool aborted = false;
	int rc;

	rc = mig_control_expect(&source->control, PF_TYPE_COMMITTED, &header, &body, &aborted, err);
	if (aborted) {
		pthread_mutex_lock(&source->lock);
		source->state = MIG_PREPARE_WAIT;
		pthread_mutex_unlock(&source->lock);
	}
	if (rc == 0)
		rc = pf_committed_decode(body, header.body_size, ret_committed, err);
	return rc;
}

static uint64_t less(uint64_t from, uint64_t part)
{
	return from > part ? from - part : 0;
}

int mig_source_hand_over(struct mig_source *source, struct xm_error *err)
{
	struct mig_pause *pause = &source->pause;
	struct pf_prepared prepared = {0};
	struct pf_committed committed = {0};
	uint64_t sent_at = xm_now_ns();
	uint64_t prepared_at, committed_at;
	int rc;

	rc = mig_source_enter(source, MIG_PREPARE_WAIT, err);
	if (rc == 0)
		rc = await_prepared(source, &prepared, err);
	prepared_at = xm_now_ns();
	if (rc == 0)
		rc = commit(source, err);
	if (rc == 0)
		rc = await_committed(source, &committed, err);
	committed_at = xm_now_ns();
	if (rc)
		return rc;
	pause->load_ns = prepared.load_ns;
	pause->transfer_ns = less(prepared_at - sent_at, prepared.load_ns);
	pause->resume_ns = committed.resume_ns;
	pause->commit_ns = less(committed_at - prepared_at, committed.resume_ns);
	pause->total_ns = committed_at - pause->total_ns;
	pause->engine_ns = less(pause->total_ns, pause->kick_ns + pause->commit_ns);
	source->target_cpu_ns = committed.cpu_ns;
	source->paused_here = false;
	mig_source_enter(source, MIG_COMMITTED, NULL);
	tp_shutdown(source->session);
	return 0;
}

int mig_source_finish_file(struct mig_source *source, struct xm_error *err)
{
	struct mig_pause *pause = &source->pause;
	uint64_t resumed_at = xm_now_ns();
	int rc;

	rc = mig_source_enter(source, MIG_PREPARE_WAIT, err);
	if (rc == 0 && source->config.keep_running && source->paused_here) {
		rc = hv_resume(source->domain, err);
		source->paused_here = rc != 0;
		resumed_at = xm_now_ns();
	}
	if (rc == 0)
		rc = tp_finish(source->session, err);
	if (rc == 0)
		rc = mig_source_check(source, err);
	if (rc)
		return rc;
	source->paused_here = false;
	pause->total_ns = resumed_at - pause->total_ns;
	pause->engine_ns = pause->total_ns;
	mig_source_enter(source, MIG_COMMITTED, NULL);
	return 0;
}
