/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "common/error.h"
#include "transport/tcp/internal.h"
#include "transport/transport.h"

enum { PREAMBLE_VERSION = 1 };

static const char preamble_magic[12] = "XMCONNECT";

/* As on the wire; docs in tcp.h. */
struct wire {
	char magic[12];
	uint16_t version;
	uint16_t channel;
	uint8_t purpose;
	uint8_t zero[11];
	uint8_t token[TP_TCP_TOKEN_SIZE];
	uint32_t sum;
};

static_assert(sizeof(struct wire) == TP_TCP_PREAMBLE_SIZE, "the preamble's layout");
static_assert(offsetof(struct wire, token) == 28, "the preamble's layout");

static uint32_t sum_of(const struct wire *wire)
{
	return htole32((uint32_t)pf_checksum(wire, offsetof(struct wire, sum)));
}

void tp_tcp_preamble_encode(const struct tp_tcp_preamble *preamble,
			    uint8_t ret_bytes[TP_TCP_PREAMBLE_SIZE])
{
	struct wire wire = {
		.version = htole16(PREAMBLE_VERSION),
		.channel = htole16(preamble->channel),
		.purpose = (uint8_t)preamble->purpose,
	};

	memcpy(wire.magic, preamble_magic, sizeof(wire.magic));
	memcpy(wire.token, preamble->token, sizeof(wire.token));
	wire.sum = sum_of(&wire);
	memcpy(ret_bytes, &wire, sizeof(wire));
}

static int refuse(const char *why, struct xm_error *err)
{
	return xm_fail(err, XM_KIND_DATA, -EPROTO,
		       "A connection did not begin as xmigrate's do: %s", why);
}

int tp_tcp_preamble_decode(const uint8_t bytes[TP_TCP_PREAMBLE_SIZE],
			   struct tp_tcp_preamble *ret_preamble, struct xm_error *err)
{
	static const uint8_t zero[sizeof(((struct wire *)NULL)->zero)];
	struct wire wire;

	memcpy(&wire, bytes, sizeof(wire));
	if (memcmp(wire.magic, preamble_magic, sizeof(wire.magic)) != 0)
		return refuse("wrong magic number", err);
	if (wire.sum != sum_of(&wire))
		return refuse("wrong checksum", err);
	if (le16toh(wire.version) != PREAMBLE_VERSION)
		return refuse("a version that this xmigrate does not know", err);
	if (le16toh(wire.channel) > TP_CHANNELS_MAX)
		return refuse("channel number out of range", err);
	if (wire.purpose != TP_TCP_MIGRATE && wire.purpose != TP_TCP_QUERY)
		return refuse("unknown purpose", err);
	if (memcmp(wire.zero, zero, sizeof(zero)) != 0)
		return refuse("reserved bytes are used", err);

	ret_preamble->channel = le16toh(wire.channel);
	ret_preamble->purpose = wire.purpose;
	memcpy(ret_preamble->token, wire.token, sizeof(wire.token));
	return 0;
}

int tp_tcp_preamble_read(int fd, uint32_t timeout_ms, struct tp_tcp_preamble *ret_preamble,
			 struct xm_error *err)
{
	uint8_t bytes[TP_TCP_PREAMBLE_SIZE];
	uint64_t until_ns = xm_now_ns() + timeout_ms * XM_NS_PER_MS;
	int rc = tp_socket_read(fd, bytes, sizeof(bytes), until_ns);

	if (rc == -ETIMEDOUT)
		return xm_fail(err, XM_KIND_NETWORK, rc,
			       "A new connection said nothing for %g s, and is closed",
			       timeout_ms / 1000.0);
	if (rc)
		return xm_fail_errno(err, XM_KIND_NETWORK, rc,
				     "A new connection was lost before it said what it is for");
	return tp_tcp_preamble_decode(bytes, ret_preamble, err);
}
