/* SPDX-License-Identifier: Apache-2.0 */
/* vCPUs: their creation, the run loop of their threads, and why a guest ended. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "hypervisor/kvm_internal.h"

#define MSR_IA32_TSC  0x10
#define WAIT_NS_MAX   (3600 * XM_NS_PER_S) /* then the payload asks again */
#define REGISTERS_MAX 1024

/* ---------------------------------------------------------------------------- the end */

static void describe_registers(struct kvm_vcpu *vcpu, char *text, size_t size)
{
	struct kvm_regs r;
	struct kvm_sregs s;

	if (kvm_ioctl(vcpu->fd, KVM_GET_REGS, &r) < 0 ||
	    kvm_ioctl(vcpu->fd, KVM_GET_SREGS, &s) < 0) {
		snprintf(text, size, "(registers cannot be read)");
		return;
	}
	snprintf(text, size,
		 "rip %016llx rflags %016llx\n"
		 "rax %016llx rbx %016llx rcx %016llx rdx %016llx\n"
		 "rsi %016llx rdi %016llx rbp %016llx rsp %016llx\n"
		 "r8  %016llx r9  %016llx r10 %016llx r11 %016llx\n"
		 "r12 %016llx r13 %016llx r14 %016llx r15 %016llx\n"
		 "cs %04x ss %04x ds %04x tr %04x cr0 %llx cr2 %llx cr3 %llx cr4 %llx efer %llx",
		 r.rip, r.rflags, r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8,
		 r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, s.cs.selector, s.ss.selector,
		 s.ds.selector, s.tr.selector, s.cr0, s.cr2, s.cr3, s.cr4, s.efer);
}

static void crash(struct kvm_vcpu *vcpu, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void crash(struct kvm_vcpu *vcpu, const char *fmt, ...)
{
	char registers[REGISTERS_MAX];
	char reason[KVM_CRASH_TEXT_MAX - REGISTERS_MAX - 64];
	char text[KVM_CRASH_TEXT_MAX];
	struct hv_event event = {.kind = HV_EVENT_CRASH, .vcpu = vcpu->index, .text = text};
	va_list args;

	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	describe_registers(vcpu, registers, sizeof(registers));
	snprintf(text, sizeof(text), "vCPU %u: %s\n%s", vcpu->index, reason, registers);
	kvm_run_end(vcpu, &event);
}

static void end_by_guest(struct kvm_vcpu *vcpu, uint32_t code)
{
	struct hv_event event = {
		.kind = HV_EVENT_SHUTDOWN, .vcpu = vcpu->index, .code = code, .text = ""};

	kvm_run_end(vcpu, &event);
}

/* -------------------------------------------------------------------------------- I/O */

int kvm_vcpu_tsc(struct kvm_vcpu *vcpu, uint64_t *ret_tsc)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entry;
	} msr = {.header.nmsrs = 1, .entry.index = MSR_IA32_TSC};
	int rc = kvm_ioctl(vcpu->fd, KVM_GET_MSRS, &msr);

	if (rc != 1)
		return rc < 0 ? rc : -EIO;
	*ret_tsc = msr.entry.data;
	return 0;
}

static uint64_t call_tsc(void *opaque)
{
	uint64_t tsc = 0;

	kvm_vcpu_tsc(opaque, &tsc);
	return tsc;
}

static void call_wait(void *opaque, uint64_t now, uint64_t tsc)
{
	struct kvm_vcpu *vcpu = opaque;
	unsigned __int128 ns = (unsigned __int128)(tsc - now) * 1000000 / vcpu->domain->tsc_khz;

	kvm_run_wait(vcpu, xm_now_ns() + (ns < WAIT_NS_MAX ? (uint64_t)ns : WAIT_NS_MAX));
}

static const struct hv_call_ops call_ops = {.tsc = call_tsc, .wait = call_wait};

static void handle_io(struct kvm_vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	struct xm_error err = XM_ERROR_INIT;
	uint32_t value, code = 0;

	vcpu->io_pending = true;
	if (run->io.direction != KVM_EXIT_IO_OUT || run->io.size != 4 || run->io.count != 1) {
		crash(vcpu, "%s of %u x %u bytes at port 0x%x, where nothing takes that",
		      run->io.direction == KVM_EXIT_IO_OUT ? "output" : "input", run->io.count,
		      run->io.size, run->io.port);
		return;
	}
	memcpy(&value, (const uint8_t *)run + run->io.data_offset, sizeof(value));
	switch (hv_device_call(&vcpu->domain->base, &vcpu->domain->device, run->io.port, value,
			       &call_ops, vcpu, &code, &err)) {
	case HV_CALL_DONE:
		break;
	case HV_CALL_EXIT:
		end_by_guest(vcpu, code);
		break;
	case HV_CALL_INVALID:
		crash(vcpu, "%s", err.text);
		break;
	}
}

static void handle_ring_full(struct kvm_vcpu *vcpu)
{
	struct xm_error err = XM_ERROR_INIT;

	atomic_fetch_add(&vcpu->ring_full, 1);
	if (kvm_log_ring_full(vcpu, &err))
		crash(vcpu, "%s", err.text);
}

static void handle_exit(struct kvm_vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;

	atomic_fetch_add(&vcpu->exits, 1);
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		handle_io(vcpu);
		break;
	case KVM_EXIT_INTR:
		break;
	case KVM_EXIT_DIRTY_RING_FULL:
		handle_ring_full(vcpu);
		break;
	case KVM_EXIT_MMIO:
		vcpu->io_pending = true;
		crash(vcpu, "%s of %u bytes at 0x%llx, where there is neither RAM nor a device",
		      run->mmio.is_write ? "write" : "read", run->mmio.len, run->mmio.phys_addr);
		break;
	case KVM_EXIT_SHUTDOWN:
		/* Of SVM the registers are then undefined, and KVM has reset the vCPU. */
		crash(vcpu, "triple fault (registers may be those after a reset)");
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		crash(vcpu, "KVM internal error %u", run->internal.suberror);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		crash(vcpu, "the CPU refused to enter the guest, reason 0x%llx",
		      run->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		crash(vcpu, "KVM_RUN ended for reason %u, which is unknown here", run->exit_reason);
	}
}

/*
 * KVM completes an I/O instruction (moves on rip, stores what was read) when KVM_RUN is entered
 * next. With immediate_exit set it does that and nothing else, and returns EINTR. An
 * instruction with repetitions may exit again before that.
 */
void kvm_vcpu_complete_io(struct kvm_vcpu *vcpu)
{
	while (vcpu->io_pending) {
		vcpu->io_pending = false;
		__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_RELAXED);
		if (ioctl(vcpu->fd, KVM_RUN, NULL) == 0)
			handle_exit(vcpu);
	}
}

/* ------------------------------------------------------------------------- the thread */

static void run_guest(struct kvm_vcpu *vcpu)
{
	uint64_t entered = xm_now_ns();
	int rc = ioctl(vcpu->fd, KVM_RUN, NULL) < 0 ? -errno : 0;

	atomic_fetch_add(&vcpu->run_ns, xm_now_ns() - entered);
	vcpu->io_pending = false;
	if (rc == 0)
		handle_exit(vcpu);
	else if (rc == -EINTR || rc == -EAGAIN)
		atomic_fetch_add(&vcpu->exits, 1);
	else
		crash(vcpu, "KVM_RUN failed: %s (error %d)", strerrordesc_np(-rc), -rc);
}

/* Its expiry is for this thread alone, so only this thread can create it. */
static int create_timer(struct kvm_vcpu *vcpu)
{
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = HV_KICK_SIGNAL,
		.sigev_value.sival_ptr = vcpu->run,
	};

	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	return timer_create(CLOCK_MONOTONIC, &event, &vcpu->timer) < 0 ? -errno : 0;
}

static void *vcpu_thread(void *opaque)
{
	struct kvm_vcpu *vcpu = opaque;
	struct kvm_run_state *run = &vcpu->domain->run;
	char name[16];
	int rc = create_timer(vcpu);

	snprintf(name, sizeof(name), "vcpu%u", vcpu->index);
	pthread_setname_np(pthread_self(), name);
	pthread_mutex_lock(&run->lock);
	vcpu->start_error = rc;
	vcpu->started = true;
	pthread_cond_broadcast(&run->all_out);
	pthread_mutex_unlock(&run->lock);
	if (rc)
		return NULL;
	while (kvm_run_admit(vcpu))
		run_guest(vcpu);
	timer_delete(vcpu->timer);
	return NULL;
}

static int wait_for_start(struct kvm_vcpu *vcpu)
{
	struct kvm_run_state *run = &vcpu->domain->run;
	XM_LOCK_GUARD(&run->lock);

	while (!vcpu->started)
		pthread_cond_wait(&run->all_out, &run->lock);
	return vcpu->start_error;
}

int kvm_vcpu_start(struct kvm_vcpu *vcpu, struct xm_error *err)
{
	sigset_t mask, old;
	int rc;

	/* Signals of the process are for its other threads; a vCPU takes kicks only. */
	sigfillset(&mask);
	sigdelset(&mask, HV_KICK_SIGNAL);
	pthread_sigmask(SIG_SETMASK, &mask, &old);
	rc = -pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		return xm_fail_errno(err, XM_KIND_HOST, rc, "cannot start a thread for vCPU %u",
				     vcpu->index);
	vcpu->thread_exists = true;
	rc = wait_for_start(vcpu);
	if (rc)
		return xm_fail_errno(err, XM_KIND_HOST, rc, "cannot create a timer for vCPU %u",
				     vcpu->index);
	return 0;
}

/* ------------------------------------------------------------------------ create, destroy */

/* The guest's TSC is the host's at first, on each vCPU alike; KVM would start it at 0 for each
 * at another time. */
static int set_initial_tsc(struct kvm_vcpu *vcpu)
{
	uint64_t offset = 0;
	struct kvm_device_attr attribute = {.group = KVM_VCPU_TSC_CTRL,
					    .attr = KVM_VCPU_TSC_OFFSET,
					    .addr = (uintptr_t)&offset};

	return kvm_ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &attribute);
}

static int set_up(struct kvm_vcpu *vcpu, const struct kvm_cpuid_table *host, struct xm_error *err)
{
	struct kvm_mp_state runnable = {.mp_state = KVM_MP_STATE_RUNNABLE};
	int rc;

	vcpu->cpuid = *host;
	kvm_cpuid_for_vcpu(&vcpu->cpuid, vcpu->index, vcpu->domain->base.config.vcpus);
	rc = kvm_ioctl(vcpu->fd, KVM_SET_CPUID2, &vcpu->cpuid);
	if (rc < 0)
		return xm_fail_errno(err, XM_KIND_HOST, rc, "KVM_SET_CPUID2 of vCPU %u",
				     vcpu->index);
	rc = kvm_ioctl(vcpu->fd, KVM_SET_MP_STATE, &runnable);
	if (rc < 0)
		return xm_fail_errno(err, XM_KIND_HOST, rc, "KVM_SET_MP_STATE of vCPU %u",
				     vcpu->index);
	rc = set_initial_tsc(vcpu);
	if (rc < 0)
		return xm_fail_errno(err, XM_KIND_HOST, rc,
				     "this host's KVM cannot set the TSC offset of vCPU %u",
				     vcpu->index);
	return 0;
}

static int map_run(struct kvm_vcpu *vcpu, struct xm_error *err)
{
	void *run = mmap(NULL, vcpu->domain->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			 vcpu->fd, 0);

	if (run == MAP_FAILED)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot map vCPU %u", vcpu->index);
	vcpu->run = run;
	return 0;
}

int kvm_vcpu_create(struct kvm_domain *domain, unsigned index, const struct kvm_cpuid_table *host,
		    struct xm_error *err)
{
	struct kvm_vcpu *vcpu = &domain->vcpus[index];
	int run_bytes = kvm_ioctl(domain->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
	int fd = kvm_ioctl(domain->vm_fd, KVM_CREATE_VCPU, (void *)(uintptr_t)index);
	int rc;

	if (run_bytes < 0 || fd < 0)
		return xm_fail_errno(err, XM_KIND_HOST, fd < 0 ? fd : run_bytes,
				     "KVM_CREATE_VCPU %u", index);
	domain->run_bytes = (size_t)run_bytes;
	vcpu->domain = domain;
	vcpu->index = index;
	vcpu->fd = fd;
	kvm_condition_init(&vcpu->wake);
	domain->vcpu_count++;
	rc = map_run(vcpu, err);
	if (!rc && domain->base.config.log_kind == HV_LOG_RING)
		rc = kvm_log_ring_map(vcpu, err);
	return rc ? rc : set_up(vcpu, host, err);
}

void kvm_vcpu_destroy(struct kvm_vcpu *vcpu)
{
	if (vcpu->thread_exists)
		pthread_join(vcpu->thread, NULL);
	kvm_log_ring_unmap(vcpu);
	if (vcpu->run)
		munmap(vcpu->run, vcpu->domain->run_bytes);
	close(vcpu->fd);
	pthread_cond_destroy(&vcpu->wake);
}

/* --------------------------------------------------------------------- a payload's entry */

#define SELECTOR_DATA  0x2b
#define SELECTOR_CODE  0x33
#define SELECTOR_TSS   0x38
#define RFLAGS_PAYLOAD 0x3002	  /* I/O privilege level 3 */
#define CR0_PAYLOAD    0x80050033 /* PE MP ET NE WP AM PG */
#define CR4_PAYLOAD    0x620	  /* PAE OSFXSR OSXMMEXCPT */
#define CR4_OSXSAVE    0x40000
#define EFER_PAYLOAD   0xd01 /* SCE LME LMA NXE */

static void entry_segments(struct kvm_sregs *sregs, const struct hv_entry *entry)
{
	const struct kvm_segment data = {.limit = 0xffffffff,
					 .selector = SELECTOR_DATA,
					 .type = 3,
					 .present = 1,
					 .dpl = 3,
					 .db = 1,
					 .s = 1,
					 .g = 1};
	const struct kvm_segment code = {.limit = 0xffffffff,
					 .selector = SELECTOR_CODE,
					 .type = 11,
					 .present = 1,
					 .dpl = 3,
					 .s = 1,
					 .l = 1,
					 .g = 1};

	sregs->cs = code;
	sregs->ss = sregs->ds = sregs->es = sregs->fs = sregs->gs = data;
	sregs->tr = (struct kvm_segment){.base = entry->tss,
					 .limit = entry->tss_limit,
					 .selector = SELECTOR_TSS,
					 .type = 11,
					 .present = 1};
	sregs->ldt = (struct kvm_segment){.unusable = 1};
	sregs->gdt = (struct kvm_dtable){.base = entry->gdt, .limit = entry->gdt_limit};
	sregs->idt = (struct kvm_dtable){0};
}

static int enter_xcr0(struct kvm_vcpu *vcpu)
{
	struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs[0] = {.value = kvm_cpuid_xcr0(&vcpu->cpuid)}};

	return kvm_ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs);
}

static int enter_vcpu(struct kvm_vcpu *vcpu, const struct hv_entry *entry, struct xm_error *err)
{
	bool xsave = kvm_cpuid_has_xsave(&vcpu->cpuid);
	struct kvm_regs regs = {
		.rip = entry->entry,
		.rflags = RFLAGS_PAYLOAD,
		.rdi = entry->start_info,
		.rsi = vcpu->index,
		.rsp = entry->stacks + (vcpu->index + 1) * HV_STACK_BYTES - 8,
	};
	struct kvm_sregs sregs;
	int rc = kvm_ioctl(vcpu->fd, KVM_GET_SREGS, &sregs);

	if (rc >= 0) {
		entry_segments(&sregs, entry);
		sregs.cr0 = CR0_PAYLOAD;
		sregs.cr3 = entry->page_tables;
		sregs.cr4 = CR4_PAYLOAD | (xsave ? CR4_OSXSAVE : 0);
		sregs.efer = EFER_PAYLOAD;
		rc = kvm_ioctl(vcpu->fd, KVM_SET_SREGS, &sregs);
	}
	if (rc >= 0 && xsave)
		rc = enter_xcr0(vcpu);
	if (rc >= 0)
		rc = kvm_ioctl(vcpu->fd, KVM_SET_REGS, &regs);
	if (rc < 0)
		return xm_fail_errno(err, XM_KIND_HOST, rc,
				     "cannot put vCPU %u at the payload's entry", vcpu->index);
	return 0;
}

int kvm_enter(struct hv_domain *base, const struct hv_entry *entry, struct xm_error *err)
{
	struct kvm_domain *domain = kvm_domain(base);
	int rc = 0;

	for (unsigned i = 0; i < domain->vcpu_count && !rc; i++)
		rc = enter_vcpu(&domain->vcpus[i], entry, err);
	return rc;
}
