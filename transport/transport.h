/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam between the engine and what carries its frames.
 *
 * A session joins two ends by numbered channels: channel 0 carries framed control messages and is
 * never blocked behind pages; channels 1..n carry batches of pages. The seam is at "a framed
 * control message" and "a batch of pages", not at "a byte stream": TCP sends a staged batch with
 * one gathered write, the in-process transport copies it, RDMA can write it one-sidedly. A
 * transport knows frame headers (proto/frame.h), and neither messages nor domains.
 *
 * The order of a session's life, at either end:
 *
 *	tp_tcp_connect, tp_tcp_accept (tcp/tcp.h), tp_memory_pair (memory/memory.h),
 *	tp_file_create, tp_file_open (file/file.h)              a session with channel 0
 *	tp_open_channels(n)                                     channels 1..n
 *	tp_send / tp_receive ...                                any number, any thread per channel
 *	tp_finish                                               a file that was written
 *	tp_shutdown                                             optional: everybody wakes and fails
 *	tp_destroy
 *
 * The stream header goes ahead of the first control frame of the end that connected or creates the
 * file, and is checked by the other end's first tp_receive() on channel 0; neither end sees it.
 *
 * Threads: for each channel one thread sends and one receives at a time; different channels are
 * independent. tp_shutdown() and the tp_set_ functions may be called by anybody at any time.
 * tp_destroy() comes after all others have returned.
 *
 * Errors: kind NETWORK for a peer that is lost (-ECONNRESET, -EPIPE, -ETIMEDOUT ...), STORAGE for a
 * file, DATA for bytes that break the framing, CANCELLED (-ECANCELED) after tp_shutdown(). After
 * an error a channel is of no further use.
 */
#ifndef XM_TRANSPORT_TRANSPORT_H
#define XM_TRANSPORT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "proto/frame.h"

struct xm_error;
struct tp_session;

#define TP_CONTROL	0
#define TP_CHANNELS_MAX 16 /* page channels */

/* A staging buffer: see tp_buffer_get(). */
struct tp_buffer {
	uint8_t *data;	 /* 64-byte aligned */
	size_t capacity; /* tp_buffer_capacity() */
};

/* A frame to be sent. The transport fills in channel, seq and sizes. */
struct tp_frame {
	uint16_t type;
	uint16_t flags;
	const void *body;
	uint32_t body_size;
	uint64_t payload_sum; /* of a PAGES frame; other payloads are summed by tp_send() */
};

/* What the session is, and can do. */
const char *tp_describe(const struct tp_session *session); /* "tcp 10.0.0.2:4411", for messages */
bool tp_can_answer(const struct tp_session *session);	   /* false: one-way, a file */
unsigned tp_channels_max(const struct tp_session *session);

/*
 * Opens page channels 1..count; at the accepting end, waits until the peer has opened them. Once,
 * after READY was sent or received.
 */
int tp_open_channels(struct tp_session *session, unsigned count, struct xm_error *err);

/* --------------------------------------------------------------------- sending */

/*
 * Sends a frame whose payload is anywhere (NULL, 0 for none), for channel 0. Returns when the bytes
 * may be reused.
 */
int tp_send(struct tp_session *session, unsigned channel, const struct tp_frame *frame,
	    const void *payload, uint32_t payload_size, struct xm_error *err);

/*
 * The bytes of a batch go through a staging buffer of the transport, because a running guest
 * changes pages between hashing and sending; its size suits an L2 cache. get waits until one is
 * free and lends it to the caller; submit gives it back with `payload_size` bytes filled in, to be
 * sent as the frame's payload, and the transport owns it until the send is complete. A buffer that
 * will not be sent goes back by tp_buffer_put().
 */
size_t tp_buffer_capacity(const struct tp_session *session);
int tp_buffer_get(struct tp_session *session, unsigned channel, struct tp_buffer **ret_buffer,
		  struct xm_error *err);
int tp_submit(struct tp_session *session, unsigned channel, const struct tp_frame *frame,
	      struct tp_buffer *buffer, uint32_t payload_size, struct xm_error *err);
void tp_buffer_put(struct tp_session *session, unsigned channel, struct tp_buffer *buffer);

/* Sequence number of the last frame sent on a channel, 0 for none. */
uint64_t tp_last_seq(const struct tp_session *session, unsigned channel);

/* ------------------------------------------------------------------- receiving */

/*
 * Waits for a channel's next frame and returns its header and body; the body's checksum was
 * verified, and it stays valid until the next receive on this channel. Unknown frames that may be
 * skipped are skipped. If the header says that a payload follows, exactly one tp_receive_payload()
 * comes next. -ENODATA (kind DATA) when a file ends here, -ECONNRESET (NETWORK) when the peer
 * closed.
 */
int tp_receive(struct tp_session *session, unsigned channel, struct pf_header *ret_header,
	       const void **ret_body, struct xm_error *err);

/* Reads the payload straight to where it belongs. The iovecs' sizes add up to payload_size.
 * The checksum is for the caller to verify (pf_checksum() or the page hashes). */
int tp_receive_payload(struct tp_session *session, unsigned channel, const struct iovec *parts,
		       int count, struct xm_error *err);

/* ------------------------------------------------------------------- settings */

/*
 * Limits the page channels together to so many bytes per second (0: no limit), from now on, for
 * those who wait for their turn as well. Control frames are never held up by it. A limit below
 * TP_BANDWIDTH_MIN is raised to that: one batch would take so long that the peer would give us up.
 */
#define TP_BANDWIDTH_MIN (64u << 10)
void tp_set_bandwidth(struct tp_session *session, uint64_t bytes_per_s);

/*
 * A send or receive fails with -ETIMEDOUT once it has waited for so long while no byte moved on any
 * channel of the session, in either direction. Default TP_TIMEOUT_MS; a shorter time counts from
 * the next wait on. Not for a file, which does not keep anybody waiting but its own reader.
 */
#define TP_TIMEOUT_MS 30000u
void tp_set_timeout(struct tp_session *session, uint32_t timeout_ms);

/*
 * A peer that sends something all the time without coming to the point keeps the idle timeout from passing. So where
 * one answer is waited for, the waiting as a whole can be limited, to so many idle timeouts from now: after that sends
 * that block and receives fail with -ETIMEDOUT, on all channels, from their next wait on. 0: no limit any more. Not for
 * a file.
 */
void tp_set_deadline(struct tp_session *session, unsigned timeouts);

struct tp_stats {
	uint64_t bytes_sent; /* of the stream, all channels, as they move */
	uint64_t bytes_received;
};

void tp_stats(const struct tp_session *session, struct tp_stats *ret_stats);

/* ---------------------------------------------------------------------- ending */

/* Ends the session at once: every blocked call, here and at the peer, returns with an error. */
void tp_shutdown(struct tp_session *session);

/* A file that was written is on stable storage when this returns 0. No-op elsewhere. */
int tp_finish(struct tp_session *session, struct xm_error *err);

void tp_destroy(struct tp_session *session); /* NULL is fine */

#endif
