/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Domains on KVM: the manual of the hypervisor as everybody outside this folder sees it.
 *
 * A domain is guest memory, vCPUs (a thread each) and a few devices. It is created
 * stopped; it is then either given a payload (hv_payload_load) or a saved state
 * (hv_state_load), and started by hv_resume(). The order of a domain's life:
 *
 *	hv_create -> hv_payload_load | (memory filled by the caller, hv_state_load)
 *	          -> hv_resume <-> hv_pause -> hv_destroy
 *
 * The hypervisor does not know that migration streams or checkpoints exist. It offers
 * what they need: memory regions, log-dirty, pause/resume, state as sections of bytes, and
 * the question "can this host run that".
 *
 * Two implementations stand behind this header (hypervisor/backend.h): KVM here, and a
 * deterministic fake in tests/fake/ for unit tests and fault injection.
 *
 * Errors: 0 or a negative errno, the sentence in `err` (common/error.h).
 *
 * Threads: functions may be called from any thread except a vCPU's own; where two calls
 * must not overlap, that is said at the function. Nothing here waits by polling.
 *
 * Signals: a vCPU's thread is kicked out of the guest by the real-time signal HV_KICK_SIGNAL,
 * whose handler hv_create() installs. A program that links this library leaves that signal
 * alone.
 *
 * Words: gpa is a guest physical address, gfn the number of a 4 KiB page of it. A "page"
 * is always 4096 bytes (HV_PAGE_SIZE), whatever backs it.
 */
#ifndef XM_HYPERVISOR_HYPERVISOR_H
#define XM_HYPERVISOR_HYPERVISOR_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct xm_error;
struct hv_domain;
struct hv_log;

#define HV_KICK_SIGNAL (SIGRTMIN + 1)

#define HV_PAGE_SHIFT 12
#define HV_PAGE_SIZE  (1u << HV_PAGE_SHIFT)

#define HV_VCPUS_MAX	    64
#define HV_REGIONS_MAX	    8
#define HV_MEMORY_BYTES_MIN (16ull << 20)
#define HV_MEMORY_BYTES_MAX (4ull << 40)
#define HV_SECTIONS_MAX	    1024
#define HV_STATE_BYTES_MAX  (16u << 20)
#define HV_REPORT_MAX	    4096 /* longest report line a payload may publish */
#define HV_PAYLOAD_ARGS_MAX 2048 /* longest argument string a payload may be given */

/* ------------------------------------------------------------------ creating a domain */

/* How KVM tells us which pages were written; fixed at creation, see hv_log_start(). */
enum hv_log_kind {
	HV_LOG_DEFAULT = 0, /* what bench/log-dirty found better; see docs/log-dirty.md */
	HV_LOG_BITMAP,	    /* KVM_GET_DIRTY_LOG with manual protect, initially all set */
	HV_LOG_RING,	    /* a dirty ring per vCPU; the only kind with counts per vCPU */
};

enum hv_event_kind {
	HV_EVENT_SHUTDOWN, /* the guest ended itself; `code` is what it said */
	HV_EVENT_CRASH, /* triple fault, KVM internal error, ...; `text` has reason and registers */
};

struct hv_event {
	enum hv_event_kind kind;
	unsigned vcpu;
	uint32_t code;
	const char *text; /* valid during the callback */
};

/*
 * What a domain tells its owner. The callbacks run on a vCPU's thread, must not block for long
 * and must not call hv_pause() or hv_destroy(); record, wake another thread and return.
 * After on_event the domain is stopped: all its vCPUs are out and stay out.
 */
struct hv_callbacks {
	void *opaque;
	void (*on_event)(void *opaque, const struct hv_event *event);
	void (*on_console)(void *opaque, const void *data, size_t size);
	void (*on_report)(
		void *opaque); /* hv_report() has a new line; may be NULL, as the others */
};

struct hv_config {
	uint64_t memory_bytes;	  /* multiple of 2 MiB, HV_MEMORY_BYTES_MIN.. _MAX */
	unsigned vcpus;		  /* 1..HV_VCPUS_MAX */
	uint64_t huge_page_bytes; /* 0: 4 KiB pages; 2 MiB or 1 GiB: hugetlb pages */
	bool prefault;		  /* populate all memory now instead of at first touch */
	enum hv_log_kind log_kind;
	uint32_t ring_entries; /* entries of each dirty ring, a power of two; 0: default */
	struct hv_callbacks callbacks;
};

/*
 * Creates a stopped domain on /dev/kvm. Memory is reserved, not populated (unless prefault).
 * vCPU threads exist and wait. Fails with kind HOST when /dev/kvm is missing, may not be
 * opened, or lacks a capability we need (the sentence names it); CONFIG for numbers out of
 * range.
 */
int hv_create(const struct hv_config *config, struct hv_domain **ret_domain, struct xm_error *err);

/* Stops the vCPUs and frees everything. NULL is fine. Logs must have been stopped. */
void hv_destroy(struct hv_domain *domain);

/* The configuration the domain has, with defaults resolved. Constant for its life. */
const struct hv_config *hv_domain_config(const struct hv_domain *domain);

/*
 * Loads a freestanding ELF payload (docs/guest-payloads.md) and puts each vCPU at its entry.
 * `args` is the argument string that it finds in its start information. Once, before
 * the first hv_resume(). Kind CONFIG for a file that is not a payload.
 */
int hv_payload_load(struct hv_domain *domain, const char *path, const char *args,
		    struct xm_error *err);

/* ------------------------------------------------------------------------- memory */

/*
 * Guest memory is a list of regions, numbered from 0 in order of address; the number is
 * the "object" of a stream. Constant for the domain's life.
 */
struct hv_region {
	uint64_t gpa;	     /* guest physical address, page-aligned */
	uint64_t size;	     /* bytes, a multiple of 2 MiB */
	uint8_t *host;	     /* our mapping of it, readable and writable */
	uint32_t page_shift; /* of the pages that back it: 12, 21 or 30 */
	int fd;		     /* the memfd behind it, and where in it the region starts */
	uint64_t fd_offset;
};

unsigned hv_region_count(const struct hv_domain *domain);
const struct hv_region *hv_region(const struct hv_domain *domain, unsigned region);

/* How memory of that many bytes is laid out: fills at most HV_REGIONS_MAX regions'
 * gpa and size (all else zero) and returns how many. */
unsigned hv_memory_layout(uint64_t memory_bytes, struct hv_region *ret_regions);

/*
 * Which of the pages [first, first + count) of a region have ever been touched, by guest or
 * host; bit i of ret_bits is page first + i. Untouched pages read as zero, but reading them
 * through the mapping would populate them: ask before reading. Pages backed by a huge page
 * count as touched together. Exact at some instant during the call; a page that the guest
 * touches afterwards is in the dirty log.
 */
int hv_memory_present(struct hv_domain *domain, unsigned region, uint64_t first, uint64_t count,
		      uint64_t *ret_bits, struct xm_error *err);

/* The first touched page at or after `from`, or the region's page count if there is none. */
int hv_memory_next_present(struct hv_domain *domain, unsigned region, uint64_t from,
			   uint64_t *ret_page, struct xm_error *err);

/* Populates pages for writing (MADV_POPULATE_WRITE), so that later writes do not fault.
 * Any thread; ranges being populated by two threads at once are fine. */
int hv_memory_populate(struct hv_domain *domain, unsigned region, uint64_t first, uint64_t count,
		       struct xm_error *err);

/* Makes sure that the pages can be read with their right content before this returns. With all
 * of memory local, as now, it checks the range only; a domain that is being restored lazily or
 * post-copied fetches. Every reader of guest memory outside the guest calls it first. */
int hv_memory_ensure_present(struct hv_domain *domain, unsigned region, uint64_t first,
			     uint64_t count, struct xm_error *err);

/* --------------------------------------------------------------------- log-dirty */

/*
 * Log-dirty: which pages were written since they were last cleaned. KVM's log is harvested in
 * one place and ORed into one bitmap per consumer (`struct hv_log`), so several consumers (a
 * migration, a checkpoint chain) can run at once, each seeing every write.
 *
 * hv_log_start()  arms the log. For the new consumer every page counts as dirty at first.
 * hv_log_clean()  atomically fetches and clears a range: a later write sets the bit again.
 * hv_log_peek()   fetches without clearing.
 * hv_log_stop()   frees the consumer; the last one disarms KVM's log.
 *
 * A page that is to be sent is cleaned first and read second; in the other order a write
 * between the two would be lost. Before the first clean of a page its writes cost the guest
 * nothing extra (BITMAP kind), so clean in chunks, just before sending.
 *
 * `first` and `count` are in pages of the region; `first` is a multiple of 64, and `count` too
 * unless the range ends with the region. ret_bits holds `count` bits, bit i for page first + i;
 * bits past count in the last word are 0.
 *
 * Writes by our own devices (hv_dma_end) are in the log as well as the guest's.
 * When the domain is paused, a clean of all of memory returns the last writes: nothing sets
 * a bit afterwards until hv_resume(), except hv_state_load(). A peek returns them too, and is
 * cheaper, since it need not protect the pages again: it suffices where no clean will follow.
 *
 * Threads: start, clean, peek and stop may be called by several threads at once (different
 * ranges of one log by different threads included).
 */
int hv_log_start(struct hv_domain *domain, struct hv_log **ret_log, struct xm_error *err);
int hv_log_clean(struct hv_log *log, unsigned region, uint64_t first, uint64_t count,
		 uint64_t *ret_bits, struct xm_error *err);
int hv_log_peek(struct hv_log *log, unsigned region, uint64_t first, uint64_t count,
		uint64_t *ret_bits, struct xm_error *err);
void hv_log_stop(struct hv_log *log); /* NULL is fine */

/* Whether the kind counts per vCPU, and pages dirtied by each since the log was armed. */
bool hv_log_counts_vcpus(const struct hv_domain *domain);
uint64_t hv_log_vcpu_pages(struct hv_domain *domain, unsigned vcpu);

/* --------------------------------------------------------------------- execution */

/* Times of the last hv_pause(), in nanoseconds. */
struct hv_pause_times {
	uint64_t kick_ns;    /* until every vCPU was out of the guest */
	uint64_t quiesce_ns; /* completing pending I/O exits and draining devices */
	uint64_t stopped_at; /* xm_now_ns() just before the first vCPU was kicked */
};

/*
 * Stops all vCPUs and devices and returns when nothing of the domain runs and each pending I/O
 * exit is completed. Pausing a paused domain is fine. One pause or resume at a time.
 */
int hv_pause(struct hv_domain *domain, struct hv_pause_times *ret_times, struct xm_error *err);

/* Starts or restarts the vCPUs. -ESHUTDOWN (kind CONFLICT) after the guest has ended. */
int hv_resume(struct hv_domain *domain, struct xm_error *err);

bool hv_paused(struct hv_domain *domain);

/* Keeps a vCPU from running for `percent` (0..99) of the time, in slices of 10 ms. 0 ends it.
 * Takes effect at once, a running vCPU included. */
int hv_throttle(struct hv_domain *domain, unsigned vcpu, unsigned percent, struct xm_error *err);

struct hv_vcpu_stats {
	uint64_t run_ns;       /* time in KVM_RUN since creation */
	uint64_t throttled_ns; /* time kept out by hv_throttle() */
	uint64_t exits;	       /* exits to this program */
	uint64_t ring_full;    /* of which: the dirty ring was full */
};

int hv_vcpu_stats(struct hv_domain *domain, unsigned vcpu, struct hv_vcpu_stats *ret_stats,
		  struct xm_error *err);

/* ------------------------------------------------------------------------- state */

/*
 * State is a list of sections, each typed by name ("vcpu", "lapic", "console", ...), numbered
 * by instance (the vCPU's number; 0 for what there is one of) and versioned. Their
 * order says nothing; loading has its own. The bytes of a section are described in
 * docs/state-sections.md; a stream carries them unread.
 */
struct hv_section {
	char name[24]; /* NUL-terminated */
	uint32_t instance;
	uint32_t version;
	uint32_t size;
	uint8_t *data; /* owned by the hv_state; NULL when size is 0 */
};

/* Owned by the caller: hv_state_init() before first use, hv_state_finish() at the end. */
struct hv_state {
	struct hv_section *sections;
	uint32_t count;
	uint32_t capacity;
	uint64_t bytes; /* of data in all sections */
};

void hv_state_init(struct hv_state *state);
void hv_state_finish(struct hv_state *state);

/* Appends a copy of `size` bytes. Limits: HV_SECTIONS_MAX, HV_STATE_BYTES_MAX in all. */
int hv_state_add(struct hv_state *state, const char *name, uint32_t instance, uint32_t version,
		 const void *data, size_t size, struct xm_error *err);

const struct hv_section *hv_state_find(const struct hv_state *state, const char *name,
				       uint32_t instance);

/*
 * Reads everything but memory from a paused domain: vCPUs, LAPICs, irqchips, PIT, clock, devices.
 * It may dirty guest memory, so the last hv_log_clean() comes after it. One save or load of a
 * domain at a time.
 */
int hv_state_save(struct hv_domain *domain, struct hv_state *ret_state, struct xm_error *err);

/*
 * Loads what hv_state_save() returned, here or on another host, into a paused domain of the same
 * shape. Every section must be known and of a version that we read, none may be missing or
 * double; on failure (kind DATA) the domain is fit for hv_destroy() only, or for another load.
 * Sections are hostile input: sizes, counts and flags are checked before use.
 */
int hv_state_load(struct hv_domain *domain, const struct hv_state *state, struct xm_error *err);

/*
 * What a host must have to run this domain: CPUID as the guest sees it, MSRs, XSAVE layout, TSC
 * frequency, vCPU count, memory. Sections again; can be read while the domain runs.
 */
int hv_platform_describe(struct hv_domain *domain, struct hv_state *ret_platform,
			 struct xm_error *err);

/*
 * Can this host run that? Asked before any memory moves, and before a domain is created.
 * Returns 0 if yes; -ENOTSUP with kind REFUSED if not, and `err` lists what differs, one item
 * per line.
 */
int hv_platform_check(const struct hv_state *platform, struct xm_error *err);

/* ------------------------------------------------------------- guest memory for devices */

/*
 * The one way in which device code touches guest memory. begin checks that all of [gpa, gpa +
 * size) is RAM of one region, without overflow, and returns the host address; end(write) marks
 * the pages dirty, after the transfer was done. -EFAULT (kind DATA) for anything else.
 */
int hv_dma_begin(struct hv_domain *domain, uint64_t gpa, uint64_t size, void **ret_host,
		 struct xm_error *err);
void hv_dma_end(struct hv_domain *domain, uint64_t gpa, uint64_t size, bool write);

/* --------------------------------------------------------------- console and report */

/* Hands input to the guest's console; what does not fit in its buffer (4 KiB) is not taken.
 * Returns how many bytes were. Any thread, also while paused. */
size_t hv_console_input(struct hv_domain *domain, const void *data, size_t size);

/*
 * The last line that the payload published by its REPORT call, copied into `buffer` (NUL-
 * terminated, at most HV_REPORT_MAX). Returns its sequence number, 0 if there was none yet.
 */
uint64_t hv_report(struct hv_domain *domain, char *buffer, size_t size);

#endif
