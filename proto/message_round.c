// SPDX-License-Identifier: Apache-2.0
/* The messages that close rounds and the stream: SEAL, SEALED, END. */
#include <string.h>

#include "proto/body.h"
#include "xmigrate.pb-c.h"

static pf_digest digest_join(uint64_t low, uint64_t high)
{
	return (pf_digest)high << 64 | low;
}

int pf_seal_encode(const struct pf_seal *seal, struct pf_buffer *body, struct xm_error *err)
{
	Xmigrate__Seal wire = XMIGRATE__SEAL__INIT;

	wire.round = seal->round;
	wire.final = seal->final;
	wire.pages = seal->pages;
	wire.payload_bytes = seal->payload_bytes;
	wire.digest_low = (uint64_t)seal->digest;
	wire.digest_high = (uint64_t)(seal->digest >> 64);
	wire.n_last_seqs = seal->channel_count;
	wire.last_seqs = (uint64_t *)seal->last_seq;
	return pf_pack(PF_TYPE_SEAL, &wire.base, body, err);
}

int pf_seal_decode(const void *body, size_t size, struct pf_seal *ret_seal, struct xm_error *err)
{
	PF_STACK_ARENA(arena, PF_SMALL_ARENA);
	struct pf_seal seal = {0};
	Xmigrate__Seal *wire;
	int rc;

	rc = pf_unpack(PF_TYPE_SEAL, &xmigrate__seal__descriptor, body, size, &arena, &wire, err);
	if (rc != 0)
		return rc;
	if (wire->round == 0)
		return pf_bad(err, PF_TYPE_SEAL, "its round is 0");
	if (wire->n_last_seqs == 0 || wire->n_last_seqs > PF_CHANNELS_MAX)
		return pf_bad(err, PF_TYPE_SEAL, "it names %zu channels instead of 1 to %u",
			      wire->n_last_seqs, PF_CHANNELS_MAX);
	seal.round = wire->round;
	seal.final = wire->final;
	seal.pages = wire->pages;
	seal.payload_bytes = wire->payload_bytes;
	seal.digest = digest_join(wire->digest_low, wire->digest_high);
	seal.channel_count = (uint32_t)wire->n_last_seqs;
	memcpy(seal.last_seq, wire->last_seqs, wire->n_last_seqs * sizeof(seal.last_seq[0]));
	*ret_seal = seal;
	return 0;
}

int pf_sealed_encode(const struct pf_sealed *sealed, struct pf_buffer *body, struct xm_error *err)
{
	Xmigrate__Sealed wire = XMIGRATE__SEALED__INIT;

	wire.round = sealed->round;
	return pf_pack(PF_TYPE_SEALED, &wire.base, body, err);
}

int pf_sealed_decode(const void *body, size_t size, struct pf_sealed *ret_sealed,
		     struct xm_error *err)
{
	PF_STACK_ARENA(arena, PF_SMALL_ARENA);
	Xmigrate__Sealed *wire;
	int rc;

	rc = pf_unpack(PF_TYPE_SEALED, &xmigrate__sealed__descriptor, body, size, &arena, &wire,
		       err);
	if (rc != 0)
		return rc;
	if (wire->round == 0)
		return pf_bad(err, PF_TYPE_SEALED, "its round is 0");
	*ret_sealed = (struct pf_sealed){.round = wire->round};
	return 0;
}

int pf_end_encode(const struct pf_end *end, struct pf_buffer *body, struct xm_error *err)
{
	Xmigrate__End wire = XMIGRATE__END__INIT;

	wire.rounds = end->rounds;
	wire.paused = end->paused;
	wire.digest_low = (uint64_t)end->digest;
	wire.digest_high = (uint64_t)(end->digest >> 64);
	return pf_pack(PF_TYPE_END, &wire.base, body, err);
}

int pf_end_decode(const void *body, size_t size, struct pf_end *ret_end, struct xm_error *err)
{
	PF_STACK_ARENA(arena, PF_SMALL_ARENA);
	Xmigrate__End *wire;
	int rc;

	rc = pf_unpack(PF_TYPE_END, &xmigrate__end__descriptor, body, size, &arena, &wire, err);
	if (rc != 0)
		return rc;
	if (wire->rounds == 0)
		return pf_bad(err, PF_TYPE_END, "it says that there were no rounds");
	*ret_end = (struct pf_end){
		.rounds = wire->rounds,
		.digest = digest_join(wire->digest_low, wire->digest_high),
		.paused = wire->paused,
	};
	return 0;
}
