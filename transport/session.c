/* SPDX-License-Identifier: Apache-2.0 */
/* A session's life, settings and statistics: what is the same for every backend. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/fault.h"
#include "transport/internal.h"

void tp_session_init(struct tp_session *session, const struct tp_ops *ops, bool initiator,
		     const char *description)
{
	*session = (struct tp_session){.ops = ops, .initiator = initiator};
	snprintf(session->description, sizeof(session->description), "%s", description);
	atomic_store(&session->timeout_ms, TP_TIMEOUT_MS);
	atomic_store(&session->deadline_ns, UINT64_MAX);
	tp_limiter_init(&session->limiter);
	for (unsigned i = 0; i <= TP_CHANNELS_MAX; i++) {
		pthread_mutex_init(&session->channels[i].lock, NULL);
		pthread_cond_init(&session->channels[i].returned, NULL);
	}
}

void tp_session_finish(struct tp_session *session)
{
	for (unsigned i = 0; i <= TP_CHANNELS_MAX; i++) {
		struct tp_channel *channel = &session->channels[i];

		for (unsigned b = 0; b < TP_STAGING_BUFFERS; b++)
			free(channel->buffers[b].data);
		free(channel->body);
		pthread_cond_destroy(&channel->returned);
		pthread_mutex_destroy(&channel->lock);
	}
	tp_limiter_finish(&session->limiter);
}

void tp_session_sent(struct tp_session *session, size_t bytes)
{
	atomic_fetch_add_explicit(&session->bytes_sent, bytes, memory_order_relaxed);
	atomic_store_explicit(&session->progress_ns, xm_now_ns(), memory_order_relaxed);
}

void tp_session_received(struct tp_session *session, size_t bytes)
{
	atomic_fetch_add_explicit(&session->bytes_received, bytes, memory_order_relaxed);
	atomic_store_explicit(&session->progress_ns, xm_now_ns(), memory_order_relaxed);
}

uint64_t tp_session_deadline(const struct tp_session *session, uint64_t since_ns)
{
	uint64_t progress_ns = atomic_load_explicit(&session->progress_ns, memory_order_relaxed);
	uint64_t from_ns = progress_ns > since_ns ? progress_ns : since_ns;
	uint64_t until_ns = from_ns + atomic_load(&session->timeout_ms) * XM_NS_PER_MS;
	uint64_t deadline_ns = atomic_load(&session->deadline_ns);

	return until_ns < deadline_ns ? until_ns : deadline_ns;
}

int tp_deadline_check(struct tp_session *session, struct xm_error *err)
{
	if (xm_now_ns() < atomic_load(&session->deadline_ns))
		return 0;
	return xm_fail(
		err, XM_KIND_NETWORK, -ETIMEDOUT,
		"What was waited for from %s did not come in time; check the network and the peer",
		session->description);
}

int tp_session_timed_out(struct tp_session *session, struct xm_error *err)
{
	int rc = tp_deadline_check(session, err);

	if (rc)
		return rc;
	return xm_fail(err, XM_KIND_NETWORK, -ETIMEDOUT,
		       "No byte has moved to or from %s for %g s; check the network and the peer",
		       session->description, atomic_load(&session->timeout_ms) / 1000.0);
}

int tp_session_closed(struct tp_session *session, bool at_start, struct xm_error *err)
{
	return xm_fail(err, XM_KIND_NETWORK, -ECONNRESET,
		       "The peer closed the connection%s (%s); its log says why",
		       at_start ? "" : " in the middle of a frame", session->description);
}

int tp_channel_check(struct tp_session *session, unsigned channel, struct xm_error *err)
{
	if (atomic_load(&session->shut))
		return tp_explain(session, -ECANCELED, err);
	if (channel <= atomic_load(&session->channels_open))
		return 0;
	return xm_fail(err, XM_KIND_INTERNAL, -EINVAL, "Channel %u of %s was never opened", channel,
		       session->description);
}

int tp_explain(struct tp_session *session, int rc, struct xm_error *err)
{
	if (!atomic_load(&session->shut))
		return rc;
	return xm_fail(err, XM_KIND_CANCELLED, -ECANCELED, "The session with %s was ended here",
		       session->description);
}

int tp_fault(struct tp_session *session, const char *point, struct xm_error *err)
{
	int rc;

	if (xm_fault("transport.cut"))
		session->ops->shutdown(session);
	rc = xm_fault(point);
	if (rc < 0)
		xm_fail(err, XM_KIND_NETWORK, rc, "Injected fault %s on %s", point,
			session->description);
	return rc;
}

const char *tp_describe(const struct tp_session *session)
{
	return session->description;
}

bool tp_can_answer(const struct tp_session *session)
{
	return session->ops->can_answer;
}

unsigned tp_channels_max(const struct tp_session *session)
{
	return session->ops->channels_max;
}

int tp_open_channels(struct tp_session *session, unsigned count, struct xm_error *err)
{
	int rc;

	if (count < 1 || count > session->ops->channels_max)
		return xm_fail(err, XM_KIND_USAGE, -EINVAL,
			       "A session by %s has 1 to %u channels for pages, not %u",
			       session->ops->name, session->ops->channels_max, count);
	if (atomic_load(&session->channels_open) > 0)
		return xm_fail(err, XM_KIND_INTERNAL, -EALREADY,
			       "The channels of %s were opened already", session->description);
	rc = tp_channel_check(session, TP_CONTROL, err);
	if (rc)
		return rc;
	rc = session->ops->open_channels(session, count, err);
	if (rc)
		return tp_explain(session, rc, err);
	atomic_store(&session->channels_open, count);
	return 0;
}

void tp_set_bandwidth(struct tp_session *session, uint64_t bytes_per_s)
{
	if (bytes_per_s > 0 && bytes_per_s < TP_BANDWIDTH_MIN)
		bytes_per_s = TP_BANDWIDTH_MIN;
	tp_limiter_set(&session->limiter, bytes_per_s);
}

void tp_set_timeout(struct tp_session *session, uint32_t timeout_ms)
{
	atomic_store(&session->timeout_ms, timeout_ms);
	if (session->ops->timeout_changed)
		session->ops->timeout_changed(session, timeout_ms);
}

void tp_set_deadline(struct tp_session *session, unsigned timeouts)
{
	uint64_t wait_ns = timeouts * (uint64_t)atomic_load(&session->timeout_ms) * XM_NS_PER_MS;

	atomic_store(&session->deadline_ns, timeouts ? xm_now_ns() + wait_ns : UINT64_MAX);
}

void tp_stats(const struct tp_session *session, struct tp_stats *ret_stats)
{
	ret_stats->bytes_sent = atomic_load(&session->bytes_sent);
	ret_stats->bytes_received = atomic_load(&session->bytes_received);
}

void tp_shutdown(struct tp_session *session)
{
	/* First the flag, so that everybody who is woken below knows why. */
	atomic_store(&session->shut, true);
	session->ops->shutdown(session);
	tp_limiter_close(&session->limiter);
	for (unsigned i = 0; i <= TP_CHANNELS_MAX; i++) {
		XM_LOCK_GUARD(&session->channels[i].lock);
		pthread_cond_broadcast(&session->channels[i].returned);
	}
}

int tp_finish(struct tp_session *session, struct xm_error *err)
{
	return session->ops->finish ? session->ops->finish(session, err) : 0;
}

void tp_destroy(struct tp_session *session)
{
	if (session)
		session->ops->destroy(session);
}
