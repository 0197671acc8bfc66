/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM backend, as its own files see it.
 *
 *	kvm.c		  create and destroy; what the host's KVM must offer
 *	kvm_memory.c	  memfds, memory slots, which pages exist
 *	kvm_vcpu.c	  vCPUs, their threads and run loop; why a guest ended
 *	kvm_run.c	  pause, resume, throttle: who may be in the guest
 *	kvm_log.c	  log-dirty: consumers; one of the two ways below harvests
 *	kvm_log_bitmap.c  KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG
 *	kvm_log_ring.c	  a dirty ring per vCPU
 *	kvm_state.c	  the list of sections, saving and loading; kvm_state_vcpu.c, _vm.c
 *	kvm_cpuid.c	  the CPUID that guests get
 *	kvm_platform.c	  what a domain needs, and whether this host has it
 *	device_*.c	  console, report, and the ports behind which they stand
 *
 * Lock order, outermost first; a lock may be taken while any above it is held:
 *
 *	run.lock -> (nothing)
 *	log.lock -> log.consumers_lock
 *	device.lock -> (nothing)
 */
#ifndef XM_HYPERVISOR_KVM_INTERNAL_H
#define XM_HYPERVISOR_KVM_INTERNAL_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "hypervisor/backend.h"
#include "hypervisor/device.h"

/*
 * A memory slot is at most 1 GiB, because KVM_GET_DIRTY_LOG copies a whole slot's bitmap
 * whatever part of it is wanted: 32 KiB for 1 GiB, which fits the L1 cache.
 */
#define KVM_SLOT_SHIFT	    30
#define KVM_SLOT_PAGES	    (1u << (KVM_SLOT_SHIFT - HV_PAGE_SHIFT))
#define KVM_SLOT_WORDS	    (KVM_SLOT_PAGES / 64)
#define KVM_MSRS_MAX	    1024 /* more than any kernel lists; a cap on hostile sections too */
#define KVM_CPUID_MAX	    256
#define KVM_THROTTLE_SLICE  (10 * XM_NS_PER_MS)
#define KVM_RING_DEFAULT    16384
#define KVM_CRASH_TEXT_MAX  2048
#define KVM_XSAVE_BYTES_MAX 65536

struct kvm_domain;

/* The same instant on the host's two clocks. */
struct kvm_instant {
	uint64_t realtime_ns;
	uint64_t host_tsc;
};

struct kvm_slot {
	unsigned region;
	uint64_t first; /* page of the region */
	uint64_t pages;
};

/* A CPUID table with room for all entries. */
struct kvm_cpuid_table {
	uint32_t nent;
	uint32_t padding;
	struct kvm_cpuid_entry2 entries[KVM_CPUID_MAX];
};

struct kvm_msr_list_fixed {
	uint32_t nmsrs;
	uint32_t indices[KVM_MSRS_MAX];
};

struct kvm_msrs_fixed {
	uint32_t nmsrs;
	uint32_t pad;
	struct kvm_msr_entry entries[KVM_MSRS_MAX];
};

struct kvm_vcpu {
	struct kvm_domain *domain; /* these are constant after creation */
	unsigned index;
	int fd;
	struct kvm_run *run; /* its immediate_exit is atomic; the rest is the thread's own */
	pthread_t thread;
	bool thread_exists;
	struct kvm_dirty_gfn *ring;
	struct kvm_cpuid_table
		cpuid; /* as last set; changed only while paused, by hv_state_load() */

	/* The thread's own. */
	bool io_pending; /* the last exit's I/O is completed by entering KVM_RUN again */
	timer_t timer;	 /* it ends the running part of a throttled slice */
	uint64_t slice_start;

	/* Guarded by domain->run.lock. */
	pthread_cond_t wake; /* the thread waits here in WAIT, when throttled and when parked */
	bool started;	     /* the thread is up, or failed with start_error */
	int start_error;
	bool inside;	   /* not parked */
	unsigned throttle; /* percent */

	uint32_t ring_next; /* guarded by log.lock: the first entry not harvested yet */

	_Atomic uint64_t run_ns, throttled_ns, exits, ring_full, dirty_pages;
};

/* Who may be in the guest (kvm_run.c). All guarded by `lock`. */
struct kvm_run_state {
	pthread_mutex_t lock;
	pthread_cond_t all_out; /* a vCPU left, or its thread started */
	bool go;		/* vCPUs may enter the guest */
	bool quit;		/* threads end */
	bool ended;		/* the guest ended; it never runs again */
	unsigned inside;	/* vCPUs that are not parked */
	uint64_t last_out; /* when a vCPU last left the guest for good, before completing I/O */
};

struct kvm_consumer; /* kvm_log.c */

/* One of the two ways in which KVM tells us what was written. Called with log.lock held. */
struct kvm_log_ops {
	/* Before any vCPU exists. */
	int (*enable)(struct kvm_domain *domain, struct xm_error *err);
	/* Brings what KVM logged into the consumers: for that range at least, and of that range
	 * with `clear` KVM forgets it, so that the next write is logged again. */
	int (*harvest)(struct kvm_domain *domain, unsigned region, uint64_t first, uint64_t count,
		       bool clear, struct xm_error *err);
	/* Throws away what KVM logged before the log was armed. */
	int (*drain)(struct kvm_domain *domain, struct xm_error *err);
};

struct kvm_log_state {
	const struct kvm_log_ops *ops; /* constant */

	/* Held over each harvest, and to arm and disarm. */
	pthread_mutex_t lock;
	bool reset_pending; /* ring entries were collected and not reset; by `lock` */
	uint64_t *scratch;  /* KVM_SLOT_WORDS words, by `lock` */

	/* Consumers are added and removed under the write lock; under the read lock their
	 * bitmaps may be written, with atomic operations. */
	pthread_rwlock_t consumers_lock;
	struct kvm_consumer *consumers;
};

struct kvm_domain {
	struct hv_domain base; /* constant after creation, as are the next */
	int kvm_fd;
	int vm_fd;
	size_t run_bytes;   /* of a vCPU's mapping */
	size_t xsave_bytes; /* of KVM's XSAVE buffer */
	uint32_t tsc_khz;   /* the host's */
	bool has_sregs2;
	struct kvm_msr_list_fixed msrs; /* readable ones, without the TSC */
	unsigned slot_count;
	struct kvm_slot *slots;
	unsigned region_slot[HV_REGIONS_MAX]; /* the first of each region */
	/* An extent of pages known to exist, of each region: kvm_memory.c packs both its ends
	 * into one word. */
	_Atomic uint64_t known_extent[HV_REGIONS_MAX];

	struct kvm_run_state run;
	struct kvm_log_state log;
	struct hv_device device;
	/* Of state save and load, which exclude each other. */
	uint8_t *xsave;		/* xsave_bytes */
	struct kvm_instant now; /* one for all vCPUs, so that their TSCs stay in step */

	unsigned vcpu_count; /* created so far */
	struct kvm_vcpu *vcpus;
};

static inline struct kvm_domain *kvm_domain(struct hv_domain *domain)
{
	return (struct kvm_domain *)domain;
}

/* ioctl() that hides EINTR and returns -errno; not for KVM_RUN. */
int kvm_ioctl(int fd, unsigned long request, void *argument);

/* kvm.c: opens /dev/kvm and checks its version. */
int kvm_open(int *ret_fd, struct xm_error *err);

/* kvm_memory.c */
int kvm_memory_create(struct kvm_domain *domain, struct xm_error *err);
void kvm_memory_destroy(struct kvm_domain *domain);
int kvm_memory_set_logging(struct kvm_domain *domain, bool on, struct xm_error *err);
int kvm_memory_present(struct hv_domain *base, unsigned region, uint64_t first, uint64_t count,
		       uint64_t *ret_bits, struct xm_error *err);
int kvm_memory_next_present(struct hv_domain *base, unsigned region, uint64_t from,
			    uint64_t *ret_page, struct xm_error *err);
int kvm_memory_populate(struct hv_domain *base, unsigned region, uint64_t first, uint64_t count,
			struct xm_error *err);

/* kvm_vcpu.c. Creating does not start the thread: kvm_vcpu_start() does, parked. */
int kvm_vcpu_create(struct kvm_domain *domain, unsigned index, const struct kvm_cpuid_table *host,
		    struct xm_error *err);
int kvm_vcpu_start(struct kvm_vcpu *vcpu, struct xm_error *err);
void kvm_vcpu_destroy(struct kvm_vcpu *vcpu);
int kvm_enter(struct hv_domain *base, const struct hv_entry *entry, struct xm_error *err);
int kvm_vcpu_tsc(struct kvm_vcpu *vcpu, uint64_t *ret_tsc);

/* kvm_run.c */
void kvm_run_init(struct kvm_domain *domain);
void kvm_run_finish(struct kvm_domain *domain);
int kvm_run_install_signal(struct xm_error *err);
/* Called by a vCPU's thread before it enters the guest; waits while it may not. False: end. */
bool kvm_run_admit(struct kvm_vcpu *vcpu);
/* Called by a vCPU's thread when its guest ended. */
void kvm_run_end(struct kvm_vcpu *vcpu, const struct hv_event *event);
/* Waits on a vCPU's thread until the clock reads `deadline`, the vCPU is kicked, or there is
 * console input. */
void kvm_run_wait(struct kvm_vcpu *vcpu, uint64_t deadline);
void kvm_run_wake_waiters(struct kvm_domain *domain);
void kvm_run_quit(struct kvm_domain *domain);
/* Enters KVM_RUN only to complete the last exit's I/O. */
void kvm_vcpu_complete_io(struct kvm_vcpu *vcpu);
void kvm_condition_init(pthread_cond_t *condition);
int kvm_pause(struct hv_domain *base, struct hv_pause_times *ret_times, struct xm_error *err);
int kvm_resume(struct hv_domain *base, struct xm_error *err);
bool kvm_paused(struct hv_domain *base);
int kvm_throttle(struct hv_domain *base, unsigned vcpu, unsigned percent, struct xm_error *err);
int kvm_vcpu_stats(struct hv_domain *base, unsigned vcpu, struct hv_vcpu_stats *ret_stats,
		   struct xm_error *err);

/* kvm_log*.c */
extern const struct kvm_log_ops kvm_log_bitmap_ops;
extern const struct kvm_log_ops kvm_log_ring_ops;
void kvm_log_init(struct kvm_domain *domain);
void kvm_log_finish(struct kvm_domain *domain);
int kvm_log_start(struct hv_domain *base, struct hv_log **ret_log, struct xm_error *err);
int kvm_log_clean(struct hv_log *log, unsigned region, uint64_t first, uint64_t count,
		  uint64_t *ret_bits, struct xm_error *err);
int kvm_log_peek(struct hv_log *log, unsigned region, uint64_t first, uint64_t count,
		 uint64_t *ret_bits, struct xm_error *err);
void kvm_log_stop(struct hv_log *log);
bool kvm_log_counts_vcpus(const struct hv_domain *base);
uint64_t kvm_log_vcpu_pages(struct hv_domain *base, unsigned vcpu);
void kvm_log_mark(struct hv_domain *base, unsigned region, uint64_t first, uint64_t count);
/* ORs words of a region's bitmap into each consumer. Called during a harvest. */
void kvm_log_merge(struct kvm_domain *domain, unsigned region, uint64_t first_word,
		   const uint64_t *words, size_t count);
/* On a vCPU's thread: its ring is full. */
int kvm_log_ring_full(struct kvm_vcpu *vcpu, struct xm_error *err);
int kvm_log_ring_map(struct kvm_vcpu *vcpu, struct xm_error *err);
void kvm_log_ring_unmap(struct kvm_vcpu *vcpu);

/* kvm_cpuid.c: what this host can give a guest, before it is made one vCPU's. */
int kvm_cpuid_host(int kvm_fd, struct kvm_cpuid_table *ret_cpuid, struct xm_error *err);
void kvm_cpuid_for_vcpu(struct kvm_cpuid_table *cpuid, unsigned vcpu, unsigned vcpus);
const struct kvm_cpuid_entry2 *kvm_cpuid_find(const struct kvm_cpuid_table *cpuid,
					      uint32_t function, uint32_t index);
uint64_t kvm_cpuid_xcr0(const struct kvm_cpuid_table *cpuid);
bool kvm_cpuid_has_xsave(const struct kvm_cpuid_table *cpuid);

/* kvm_state*.c, kvm_platform.c */
struct kvm_instant kvm_state_now(struct kvm_domain *domain);
int kvm_state_prepare(struct kvm_domain *domain, struct xm_error *err);
int kvm_state_save(struct hv_domain *base, struct hv_state *ret_state, struct xm_error *err);
int kvm_state_load(struct hv_domain *base, const struct hv_state *state, struct xm_error *err);
int kvm_msr_list(int kvm_fd, struct kvm_msr_list_fixed *ret_list, struct xm_error *err);
int kvm_platform_describe(struct hv_domain *base, struct hv_state *ret_platform,
			  struct xm_error *err);

#endif
