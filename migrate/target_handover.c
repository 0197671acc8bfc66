// SPDX-License-Identifier: Apache-2.0
/* Seals, the final state, and the moment at which the domain becomes ours. The guest is paused during most of it. */
#include "migrate/target.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "migrate/thread.h"

/* For how long the source may take to hang up after COMMITTED. */
#define HANG_UP_MS 2000
/* A round of so few pages is a short one: 32 MiB. */
#define NEAR_PAGES 8192

/* ----------------------------------------------------------------------------- seals */

/* Waits, with the lock held, until a channel has brought the frame that the seal names last. */
static int await_channel(struct mig_target *target, struct mig_target_worker *worker,
			 uint64_t last_seq, struct xm_error *err)
{
	while (worker->arrived.seq < last_seq && !worker->ended && !target->failed)
		pthread_cond_wait(&target->arrived, &target->lock);
	if (target->failed) {
		*err = target->failure;
		return err->code;
	}
	if (worker->arrived.seq >= last_seq)
		return 0;
	if (worker->error.kind == XM_KIND_NETWORK) {
		*err = worker->error;
		return err->code;
	}
	return xm_fail(err, XM_KIND_DATA, -EBADMSG,
		       "page channel %u ended at frame %llu, before frame %llu that its seal names",
		       worker->channel, (unsigned long long)worker->arrived.seq,
		       (unsigned long long)last_seq);
}

/* Adds up what all channels brought in this round. The lock is held. */
static int collect(struct mig_target *target, const struct pf_seal *seal,
		   struct mig_arrived *ret_sum, struct xm_error *err)
{
	struct mig_arrived sum = {0};

	for (unsigned i = 0; i < seal->channel_count; i++) {
		struct mig_arrived *arrived = &target->workers[i].arrived;
		int rc = await_channel(target, &target->workers[i], seal->last_seq[i], err);

		if (rc)
			return rc;
		sum.pages += arrived->pages;
		sum.payload += arrived->payload;
		sum.digest += arrived->digest;
		*arrived = (struct mig_arrived){.seq = arrived->seq};
	}
	*ret_sum = sum;
	return 0;
}

static int satisfy(struct mig_target *target, const struct pf_seal *seal, struct xm_error *err)
{
	struct mig_arrived sum;
	XM_LOCK_GUARD(&target->lock);
	int rc;

	if (seal->round != target->round || seal->channel_count != target->hello.channels)
		return xm_fail(err, XM_KIND_DATA, -EPROTO,
			       "the source broke the protocol: a seal of round %u over %u channels "
			       "came where round %u over %u was open",
			       seal->round, seal->channel_count, target->round,
			       target->hello.channels);
	rc = collect(target, seal, &sum, err);
	if (rc)
		return rc;
	if (sum.pages != seal->pages || sum.payload != seal->payload_bytes)
		return xm_fail(
			err, XM_KIND_DATA, -EBADMSG,
			"round %u is sealed with %llu pages in %llu bytes; %llu pages in %llu "
			"bytes arrived",
			seal->round, (unsigned long long)seal->pages,
			(unsigned long long)seal->payload_bytes, (unsigned long long)sum.pages,
			(unsigned long long)sum.payload);
	target->digest += sum.digest;
	if (target->digest != seal->digest)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "the memory received is not the memory sent: after round %u its "
			       "digest differs from the source's",
			       seal->round);
	if (!seal->final) {
		target->round++;
		pthread_cond_broadcast(&target->opened);
	}
	return 0;
}

/* Rounds get shorter, so after a short one the last is not far. */
static void hurry_if_near(struct mig_target *target, const struct pf_seal *seal)
{
	if (seal->pages > NEAR_PAGES)
		return;
	atomic_store(&target->hurried, true);
}

static int send_sealed(struct mig_target *target, uint32_t round, struct xm_error *err)
{
	struct pf_sealed sealed = {.round = round};
	int rc;

	if (!target->answers)
		return 0;
	rc = pf_sealed_encode(&sealed, &target->control.body, err);
	if (rc)
		return rc;
	return mig_control_send(&target->control, PF_TYPE_SEALED, true, NULL, 0, err);
}

int mig_target_receive_memory(struct mig_target *target, struct xm_error *err)
{
	struct pf_seal seal = {0};
	struct pf_header header;
	const void *body;
	int rc = 0;

	while (rc == 0 && !seal.final) {
		rc = mig_control_expect(&target->control, PF_TYPE_SEAL, &header, &body, NULL, err);
		if (rc == 0)
			rc = pf_seal_decode(body, header.body_size, &seal, err);
		if (rc == 0)
			rc = satisfy(target, &seal, err);
		if (rc == 0)
			rc = send_sealed(target, seal.round, err);
		if (rc == 0 && !seal.final)
			hurry_if_near(target, &seal);
	}
	return rc;
}

/* ----------------------------------------------------------------------------- state */

int mig_target_load(struct mig_target *target, enum pf_state_purpose purpose,
		    const struct pf_header *header, const void *body, struct xm_error *err)
{
	struct pf_state message = {0};
	struct hv_state state;
	uint64_t before;
	int rc;

	rc = pf_state_decode(body, header->body_size, &message, err);
	if (rc == 0 && message.purpose != purpose)
		rc = xm_fail(err, XM_KIND_DATA, -EPROTO,
			     "the source broke the protocol: the %s state came where the %s one "
			     "belongs",
			     purpose == PF_STATE_FINAL ? "trial" : "final",
			     purpose == PF_STATE_FINAL ? "final" : "trial");
	if (rc == 0)
		rc = mig_control_payload(&target->control, header, err);
	if (rc == 0)
		rc = mig_sections_unpack(&target->sections, message.sections, message.section_count,
					 target->control.payload, header->payload_size, &state,
					 err);
	before = xm_now_ns();
	if (rc == 0)
		rc = hv_state_load(target->domain, &state, err);
	target->load_ns = xm_now_ns() - before;
	pf_state_finish(&message);
	return rc;
}

static int receive_end(struct mig_target *target, struct xm_error *err)
{
	struct pf_end end = {0};
	struct pf_header header;
	const void *body;
	int rc;

	rc = mig_control_expect(&target->control, PF_TYPE_END, &header, &body, NULL, err);
	if (rc == 0)
		rc = pf_end_decode(body, header.body_size, &end, err);
	if (rc)
		return rc;
	if (end.digest != target->digest || end.rounds != target->round)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG,
			       "the memory received is not the memory sent: the stream's end does "
			       "not agree with its last seal");
	target->paused = end.paused;
	return 0;
}

/* A file ends exactly after END. */
static int expect_nothing(struct mig_target *target, struct xm_error *err)
{
	struct xm_error ended = XM_ERROR_INIT;
	struct pf_header header;
	const void *body;
	int rc;

	rc = mig_control_receive(&target->control, &header, &body, NULL, &ended);
	if (rc == -ENODATA)
		return 0;
	if (rc == 0)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG, "the file goes on after its end");
	*err = ended;
	return rc;
}

int mig_target_receive_state(struct mig_target *target, struct xm_error *err)
{
	struct pf_header header;
	const void *body;
	int rc;

	rc = mig_control_expect(&target->control, PF_TYPE_STATE, &header, &body, NULL, err);
	if (rc == 0)
		rc = mig_target_load(target, PF_STATE_FINAL, &header, body, err);
	if (rc == 0)
		rc = receive_end(target, err);
	if (rc == 0 && !target->answers)
		rc = expect_nothing(target, err);
	return rc;
}

/* ---------------------------------------------------------------------------- commit */

static int await_commit(struct mig_target *target, struct xm_error *err)
{
	struct pf_prepared prepared = {.digest = target->digest, .load_ns = target->load_ns};
	struct pf_commit commit;
	struct pf_header header;
	const void *body;
	int rc;

	rc = pf_prepared_encode(&prepared, &target->control.body, err);
	if (rc == 0)
		rc = mig_control_send(&target->control, PF_TYPE_PREPARED, true, NULL, 0, err);
	if (rc == 0)
		rc = mig_control_expect(&target->control, PF_TYPE_COMMIT, &header, &body, NULL,
					err);
	if (rc == 0)
		rc = pf_commit_decode(body, header.body_size, &commit, err);
	if (rc)
		return rc;
	if (commit.epoch != target->hello.epoch)
		return xm_fail(
			err, XM_KIND_DATA, -EPROTO,
			"the source broke the protocol: it commits epoch %llu, and announced "
			"%llu",
			(unsigned long long)commit.epoch, (unsigned long long)target->hello.epoch);
	return 0;
}

/* From its success on the domain is ours, and nobody can fail this migration any more. */
static int take_over(struct mig_target *target, struct xm_error *err)
{
	int rc = 0;

	pthread_mutex_lock(&target->lock);
	if (target->failed) {
		*err = target->failure;
		rc = err->code;
	}
	target->decided = rc == 0;
	pthread_mutex_unlock(&target->lock);
	if (rc)
		return rc;
	rc = target->config.commit(target->config.opaque, target->hello.epoch, err);
	if (rc == 0)
		return 0;
	pthread_mutex_lock(&target->lock);
	target->decided = false;
	pthread_mutex_unlock(&target->lock);
	return rc;
}

static void resume(struct mig_target *target)
{
	struct xm_error err = XM_ERROR_INIT;

	if (target->paused || target->config.start_paused)
		return;
	/* It is ours, so it stays: paused, for its owner to look at. */
	if (hv_resume(target->domain, &err))
		xm_log(XM_LOG_ERROR, "the domain '%s' has arrived and cannot be started: %s",
		       target->hello.name, err.text);
}

/* The source hangs up when it has read COMMITTED; only then may we. It does not matter whether it does. */
static void tell_committed(struct mig_target *target)
{
	struct pf_committed committed = {
		.epoch = target->hello.epoch,
		.resume_ns = target->pause.resume_ns,
		.cpu_ns = mig_target_cpu_ns(target),
	};
	struct pf_header header;
	const void *body;
	int rc;

	pthread_mutex_lock(&target->lock);
	target->closing = true;
	pthread_mutex_unlock(&target->lock);
	if (xm_fault("migrate.target.before-committed") < 0)
		return;
	rc = pf_committed_encode(&committed, &target->control.body, NULL);
	if (rc == 0)
		rc = mig_control_send(&target->control, PF_TYPE_COMMITTED, true, NULL, 0, NULL);
	tp_set_timeout(target->session, HANG_UP_MS);
	tp_set_deadline(target->session, 1);
	while (rc == 0)
		rc = mig_control_receive(&target->control, &header, &body, NULL, NULL);
}

int mig_target_hand_over(struct mig_target *target, struct xm_error *err)
{
	uint64_t commit_at;
	int rc;

	rc = mig_target_enter(target, MIG_PREPARED, err);
	if (rc == 0 && target->answers)
		rc = await_commit(target, err);
	commit_at = xm_now_ns();
	if (rc == 0)
		rc = take_over(target, err);
	if (rc)
		return rc;
	/* Before, not after: a vCPU may run long before the thread that let it go is back. */
	target->pause.resume_ns = xm_now_ns() - commit_at;
	resume(target);
	target->pause.load_ns = target->load_ns;
	if (target->answers)
		tell_committed(target);
	mig_target_enter(target, MIG_COMMITTED, NULL);
	return 0;
}
