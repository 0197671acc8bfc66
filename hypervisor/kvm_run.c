/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may be in the guest: pause, resume, throttle, and the waiting of vCPUs.
 *
 * A vCPU's thread passes kvm_run_admit() before each KVM_RUN. Whoever wants it out changes what
 * admit looks at, under run.lock, and kicks it: sets immediate_exit in its kvm_run, then
 * signals its thread. The signal ends a KVM_RUN that is under way, immediate_exit one that
 * is about to begin, so no kick is lost. Admit clears immediate_exit before it looks, under the
 * same lock, so a kick that it clears has been seen.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "hypervisor/kvm_internal.h"

/*
 * A kick needs no more than the interruption. The timer of a throttled slice fires on the
 * vCPU's own thread, with the kvm_run as its value, and must do itself what a kicker does
 * before.
 */
static void on_kick(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	if (info->si_code == SI_TIMER) {
		struct kvm_run *run = info->si_value.sival_ptr;

		__atomic_store_n(&run->immediate_exit, 1, __ATOMIC_RELAXED);
	}
}

int kvm_run_install_signal(struct xm_error *err)
{
	struct sigaction action = {.sa_sigaction = on_kick, .sa_flags = SA_SIGINFO};

	sigemptyset(&action.sa_mask);
	if (sigaction(HV_KICK_SIGNAL, &action, NULL) < 0)
		return xm_fail_errno(err, XM_KIND_INTERNAL, -errno,
				     "cannot install the handler that kicks vCPUs");
	return 0;
}

void kvm_condition_init(pthread_cond_t *condition)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &attributes);
	pthread_condattr_destroy(&attributes);
}

void kvm_run_init(struct kvm_domain *domain)
{
	pthread_mutex_init(&domain->run.lock, NULL);
	kvm_condition_init(&domain->run.all_out);
}

void kvm_run_finish(struct kvm_domain *domain)
{
	pthread_cond_destroy(&domain->run.all_out);
	pthread_mutex_destroy(&domain->run.lock);
}

/* With run.lock held. */
static void kick(struct kvm_vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_RELAXED);
	pthread_kill(vcpu->thread, HV_KICK_SIGNAL);
	pthread_cond_signal(&vcpu->wake);
}

static void kick_all_inside(struct kvm_domain *domain)
{
	for (unsigned i = 0; i < domain->vcpu_count; i++)
		if (domain->vcpus[i].inside)
			kick(&domain->vcpus[i]);
}

/* ----------------------------------------------------------- on the vCPUs' threads */

/* With run.lock held: this vCPU is out, its last I/O complete. */
static void leave(struct kvm_vcpu *vcpu)
{
	struct kvm_run_state *run = &vcpu->domain->run;

	vcpu->inside = false;
	run->inside--;
	pthread_cond_broadcast(&run->all_out);
}

static void park(struct kvm_vcpu *vcpu)
{
	struct kvm_run_state *run = &vcpu->domain->run;

	if (vcpu->inside) {
		uint64_t now = xm_now_ns();

		if (now > run->last_out)
			run->last_out = now;
		if (vcpu->io_pending) {
			pthread_mutex_unlock(&run->lock);
			kvm_vcpu_complete_io(vcpu);
			pthread_mutex_lock(&run->lock);
		}
		leave(vcpu);
	}
	while (!run->go && !run->quit)
		pthread_cond_wait(&vcpu->wake, &run->lock);
}

static void arm_timer(struct kvm_vcpu *vcpu, uint64_t ns)
{
	/* It repeats, so that a signal which came too early only costs a slice. */
	struct itimerspec when = {.it_value = xm_timespec(ns),
				  .it_interval = xm_timespec(ns ? KVM_THROTTLE_SLICE : 0)};

	timer_settime(vcpu->timer, 0, &when, NULL);
}

/*
 * With run.lock held. A slice begins with the part in which the vCPU runs. True: it may run now,
 * and a timer ends that part; false: it waited, and everything is to be looked at again.
 */
static bool throttle_admits(struct kvm_vcpu *vcpu)
{
	uint64_t now = xm_now_ns();
	uint64_t budget = KVM_THROTTLE_SLICE / 100 * (100 - vcpu->throttle);
	struct timespec end;

	if (now - vcpu->slice_start >= KVM_THROTTLE_SLICE)
		vcpu->slice_start = now;
	if (now - vcpu->slice_start < budget) {
		arm_timer(vcpu, vcpu->slice_start + budget - now);
		return true;
	}
	arm_timer(vcpu, 0);
	end = xm_timespec(vcpu->slice_start + KVM_THROTTLE_SLICE);
	pthread_cond_timedwait(&vcpu->wake, &vcpu->domain->run.lock, &end);
	atomic_fetch_add(&vcpu->throttled_ns, xm_now_ns() - now);
	return false;
}

bool kvm_run_admit(struct kvm_vcpu *vcpu)
{
	struct kvm_run_state *run = &vcpu->domain->run;
	XM_LOCK_GUARD(&run->lock);

	for (;;) {
		__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_RELAXED);
		if (!run->go) {
			park(vcpu);
			if (run->quit)
				return false;
			continue;
		}
		if (!vcpu->inside) {
			vcpu->inside = true;
			run->inside++;
		}
		if (vcpu->throttle == 0) {
			arm_timer(vcpu, 0);
			return true;
		}
		if (throttle_admits(vcpu))
			return true;
	}
}

/*
 * The first vCPU whose guest ends stops the others, waits until they are out, and tells the
 * owner; only then is it out itself, so that a pause which waits for it returns after the event.
 */
void kvm_run_end(struct kvm_vcpu *vcpu, const struct hv_event *event)
{
	struct kvm_domain *domain = vcpu->domain;
	struct kvm_run_state *run = &domain->run;
	const struct hv_callbacks *callbacks = &domain->base.config.callbacks;
	bool first;

	pthread_mutex_lock(&run->lock);
	vcpu->io_pending = false;
	first = !run->ended;
	run->ended = true;
	run->go = false;
	if (first) {
		kick_all_inside(domain);
		while (run->inside > 1)
			pthread_cond_wait(&run->all_out, &run->lock);
	}
	pthread_mutex_unlock(&run->lock);
	if (first && callbacks->on_event)
		callbacks->on_event(callbacks->opaque, event);
}

void kvm_run_wait(struct kvm_vcpu *vcpu, uint64_t deadline)
{
	struct timespec end = xm_timespec(deadline);
	XM_LOCK_GUARD(&vcpu->domain->run.lock);

	while (!__atomic_load_n(&vcpu->run->immediate_exit, __ATOMIC_RELAXED) &&
	       atomic_load(&vcpu->domain->device.pending) == 0)
		if (pthread_cond_timedwait(&vcpu->wake, &vcpu->domain->run.lock, &end) == ETIMEDOUT)
			return;
}

/* ------------------------------------------------------------------ on other threads */

void kvm_run_wake_waiters(struct kvm_domain *domain)
{
	XM_LOCK_GUARD(&domain->run.lock);

	for (unsigned i = 0; i < domain->vcpu_count; i++)
		pthread_cond_signal(&domain->vcpus[i].wake);
}

void kvm_run_quit(struct kvm_domain *domain)
{
	XM_LOCK_GUARD(&domain->run.lock);

	domain->run.go = false;
	domain->run.quit = true;
	kick_all_inside(domain);
	for (unsigned i = 0; i < domain->vcpu_count; i++)
		pthread_cond_signal(&domain->vcpus[i].wake);
}

/*
 * All vCPUs are kicked before any is waited for. Each completes its pending I/O on its own thread
 * before it counts as out; devices have nothing in flight when no vCPU is in a call.
 */
int kvm_pause(struct hv_domain *base, struct hv_pause_times *ret_times, struct xm_error *err)
{
	struct kvm_domain *domain = kvm_domain(base);
	struct kvm_run_state *run = &domain->run;
	uint64_t started, out;

	(void)err;
	started = xm_now_ns();
	pthread_mutex_lock(&run->lock);
	run->go = false;
	run->last_out = started;
	kick_all_inside(domain);
	while (run->inside > 0)
		pthread_cond_wait(&run->all_out, &run->lock);
	out = run->last_out;
	pthread_mutex_unlock(&run->lock);
	if (ret_times)
		*ret_times = (struct hv_pause_times){.kick_ns = out - started,
						     .quiesce_ns = xm_now_ns() - out,
						     .stopped_at = started};
	return 0;
}

int kvm_resume(struct hv_domain *base, struct xm_error *err)
{
	struct kvm_domain *domain = kvm_domain(base);
	XM_LOCK_GUARD(&domain->run.lock);

	if (domain->run.ended)
		return xm_fail(err, XM_KIND_CONFLICT, -ESHUTDOWN,
			       "the domain's guest has ended; it cannot run again");
	if (domain->run.go)
		return 0;
	domain->run.go = true;
	for (unsigned i = 0; i < domain->vcpu_count; i++) {
		/* Tells the guest's watchdogs that it was stopped; guests without a KVM clock
		 * can't be told, and KVM says EINVAL. */
		(void)kvm_ioctl(domain->vcpus[i].fd, KVM_KVMCLOCK_CTRL, NULL);
		pthread_cond_signal(&domain->vcpus[i].wake);
	}
	return 0;
}

bool kvm_paused(struct hv_domain *base)
{
	struct kvm_domain *domain = kvm_domain(base);
	XM_LOCK_GUARD(&domain->run.lock);

	return !domain->run.go && domain->run.inside == 0;
}

int kvm_throttle(struct hv_domain *base, unsigned index, unsigned percent, struct xm_error *err)
{
	struct kvm_vcpu *vcpu = &kvm_domain(base)->vcpus[index];
	XM_LOCK_GUARD(&kvm_domain(base)->run.lock);

	(void)err;
	vcpu->throttle = percent;
	if (vcpu->inside)
		kick(vcpu);
	return 0;
}

int kvm_vcpu_stats(struct hv_domain *base, unsigned index, struct hv_vcpu_stats *ret_stats,
		   struct xm_error *err)
{
	struct kvm_vcpu *vcpu = &kvm_domain(base)->vcpus[index];

	(void)err;
	*ret_stats = (struct hv_vcpu_stats){
		.run_ns = atomic_load(&vcpu->run_ns),
		.throttled_ns = atomic_load(&vcpu->throttled_ns),
		.exits = atomic_load(&vcpu->exits),
		.ring_full = atomic_load(&vcpu->ring_full),
	};
	return 0;
}
