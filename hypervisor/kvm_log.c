/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log-dirty's front: consumers, each with a bitmap for each region. Whatever is harvested from
 * KVM is ORed into all of them, so each sees each write, whoever harvested it.
 */
#include <errno.h>
#include <string.h>

#include "common/bitmap.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "hypervisor/kvm_internal.h"

struct kvm_consumer {
	struct hv_log base;
	struct kvm_consumer *next;	/* guarded by consumers_lock */
	uint64_t *bits[HV_REGIONS_MAX]; /* atomic words */
};

void kvm_log_init(struct kvm_domain *domain)
{
	struct kvm_log_state *log = &domain->log;

	log->ops = domain->base.config.log_kind == HV_LOG_RING ? &kvm_log_ring_ops
							       : &kvm_log_bitmap_ops;
	pthread_mutex_init(&log->lock, NULL);
	pthread_rwlock_init(&log->consumers_lock, NULL);
}

void kvm_log_finish(struct kvm_domain *domain)
{
	pthread_mutex_destroy(&domain->log.lock);
	pthread_rwlock_destroy(&domain->log.consumers_lock);
	free(domain->log.scratch);
}

static uint64_t region_pages(const struct kvm_domain *domain, unsigned region)
{
	return domain->base.regions[region].size >> HV_PAGE_SHIFT;
}

/* ------------------------------------------------------------------------ consumers */

static void consumer_free(struct kvm_consumer *consumer)
{
	if (!consumer)
		return;
	for (unsigned i = 0; i < HV_REGIONS_MAX; i++)
		free(consumer->bits[i]);
	free(consumer);
}

static struct kvm_consumer *consumer_create(struct kvm_domain *domain)
{
	struct kvm_consumer *consumer = calloc(1, sizeof(*consumer));

	if (!consumer)
		return NULL;
	consumer->base.domain = &domain->base;
	for (unsigned i = 0; i < domain->base.region_count; i++) {
		uint64_t pages = region_pages(domain, i);

		consumer->bits[i] = calloc(xm_bitmap_words(pages), sizeof(uint64_t));
		if (!consumer->bits[i]) {
			consumer_free(consumer);
			return NULL;
		}
		xm_bitmap_set_range(consumer->bits[i], 0, pages);
	}
	return consumer;
}

static int arm(struct kvm_domain *domain, struct xm_error *err)
{
	int rc = domain->log.ops->drain(domain, err);

	for (unsigned i = 0; i < domain->vcpu_count; i++)
		atomic_store(&domain->vcpus[i].dirty_pages, 0);
	return rc ? rc : kvm_memory_set_logging(domain, true, err);
}

/*
 * KVM logs before the consumer is listed: what is written in between is dirty for it anyway, as
 * all is at first. Only start and stop change the list, both under log.lock, so under that lock
 * it may be looked at without the other.
 */
int kvm_log_start(struct hv_domain *base, struct hv_log **ret_log, struct xm_error *err)
{
	struct kvm_domain *domain = kvm_domain(base);
	struct kvm_log_state *log = &domain->log;
	struct kvm_consumer *consumer = consumer_create(domain);
	XM_LOCK_GUARD(&log->lock);

	if (!consumer)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory for a dirty bitmap");
	if (!log->consumers) {
		int rc = arm(domain, err);

		if (rc) {
			consumer_free(consumer);
			return rc;
		}
	}
	pthread_rwlock_wrlock(&log->consumers_lock);
	consumer->next = log->consumers;
	log->consumers = consumer;
	pthread_rwlock_unlock(&log->consumers_lock);
	*ret_log = &consumer->base;
	return 0;
}

void kvm_log_stop(struct hv_log *base)
{
	struct kvm_consumer *consumer = (struct kvm_consumer *)base;
	struct kvm_domain *domain = kvm_domain(base->domain);
	struct kvm_log_state *log = &domain->log;
	struct kvm_consumer **link = &log->consumers;
	XM_LOCK_GUARD(&log->lock);

	pthread_rwlock_wrlock(&log->consumers_lock);
	while (*link != consumer)
		link = &(*link)->next;
	*link = consumer->next;
	pthread_rwlock_unlock(&log->consumers_lock);
	consumer_free(consumer);
	/* A slot that could not be disarmed stays logged, which is slow and harmless. */
	if (!log->consumers)
		kvm_memory_set_logging(domain, false, NULL);
}

/* ---------------------------------------------------------------------- bits come in */

void kvm_log_merge(struct kvm_domain *domain, unsigned region, uint64_t first_word,
		   const uint64_t *words, size_t count)
{
	pthread_rwlock_rdlock(&domain->log.consumers_lock);
	for (struct kvm_consumer *c = domain->log.consumers; c; c = c->next)
		for (size_t i = 0; i < count; i++)
			if (words[i])
				xm_bitmap_or_word_atomic(c->bits[region], first_word + i, words[i]);
	pthread_rwlock_unlock(&domain->log.consumers_lock);
}

void kvm_log_mark(struct hv_domain *base, unsigned region, uint64_t first, uint64_t count)
{
	struct kvm_log_state *log = &kvm_domain(base)->log;

	pthread_rwlock_rdlock(&log->consumers_lock);
	for (struct kvm_consumer *c = log->consumers; c; c = c->next)
		for (uint64_t page = first; page < first + count; page++)
			xm_bitmap_set_atomic(c->bits[region], page);
	pthread_rwlock_unlock(&log->consumers_lock);
}

/* ------------------------------------------------------------------------ and go out */

/*
 * The bits are taken before the lock is released: a bit that somebody else's harvest has just
 * brought in must not be taken before that harvest has also protected the page again, or a
 * write in between would be in nobody's bitmap.
 */
int kvm_log_clean(struct hv_log *log, unsigned region, uint64_t first, uint64_t count,
		  uint64_t *ret_bits, struct xm_error *err)
{
	struct kvm_domain *domain = kvm_domain(log->domain);
	uint64_t *bits = ((struct kvm_consumer *)log)->bits[region];
	XM_LOCK_GUARD(&domain->log.lock);
	int rc = domain->log.ops->harvest(domain, region, first, count, true, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < xm_bitmap_words(count); i++)
		ret_bits[i] = xm_bitmap_take_word_atomic(bits, first / 64 + i);
	return 0;
}

int kvm_log_peek(struct hv_log *log, unsigned region, uint64_t first, uint64_t count,
		 uint64_t *ret_bits, struct xm_error *err)
{
	struct kvm_domain *domain = kvm_domain(log->domain);
	const uint64_t *bits = ((struct kvm_consumer *)log)->bits[region];
	XM_LOCK_GUARD(&domain->log.lock);
	int rc = domain->log.ops->harvest(domain, region, first, count, false, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < xm_bitmap_words(count); i++)
		ret_bits[i] = __atomic_load_n(&bits[first / 64 + i], __ATOMIC_ACQUIRE);
	return 0;
}

bool kvm_log_counts_vcpus(const struct hv_domain *base)
{
	return base->config.log_kind == HV_LOG_RING;
}

uint64_t kvm_log_vcpu_pages(struct hv_domain *base, unsigned vcpu)
{
	return atomic_load(&kvm_domain(base)->vcpus[vcpu].dirty_pages);
}
