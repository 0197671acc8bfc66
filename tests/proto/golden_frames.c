// SPDX-License-Identifier: Apache-2.0
/* Golden streams whose headers, checksums or lengths are wrong. */
#include <string.h>

#include "tests/proto/golden.h"

/* ------------------------------------------------------------- stream header */

CASE(stream_magic)
{
	golden_base(s);
	s->header[0] = 'Y';
	golden_reseal(s);
}

CASE(stream_byte_order)
{
	golden_base(s);
	memcpy(s->header + 12, "\x01\x02\x03\x04", 4);
	golden_reseal(s);
}

CASE(stream_checksum)
{
	golden_base(s);
	s->header[20] ^= 1;
}

CASE(stream_version)
{
	golden_base(s);
	s->header[8] = 2;
	golden_reseal(s);
}

CASE(stream_producer)
{
	golden_base(s);
	s->header[16] = '\x1b';
	golden_reseal(s);
}

/* --------------------------------------------------------------- frame header */

CASE(frame_magic)
{
	golden_base(s);
	/* A payload that is one byte longer than its header says shifts all that follows. */
	s->frames[STATIC].claimed_body = s->frames[STATIC].body_size - 1;
	s->frames[STATIC].spoil_body =
		pf_checksum(s->frames[STATIC].body, s->frames[STATIC].body_size) ^
		pf_checksum(s->frames[STATIC].body, s->frames[STATIC].body_size - 1);
	s->frames[STATIC].header.type = 400;
	s->frames[STATIC].header.flags = 0;
}

CASE(frame_checksum)
{
	golden_base(s);
	s->frames[SEAL1].spoil_header = 1;
}

CASE(frame_type_zero)
{
	golden_base(s);
	s->frames[TRIAL].header.type = 0;
}

CASE(frame_channel)
{
	golden_base(s);
	s->frames[PAGES].header.channel = 17;
}

CASE(frame_flags)
{
	golden_base(s);
	s->frames[SEAL1].header.flags |= 1 << 8;
}

CASE(frame_mandatory)
{
	golden_base(s);
	s->frames[SEAL1].header.type = 400;
}

CASE(body_cap)
{
	golden_base(s);
	s->frames[SEAL1].claimed_body = 1025;
}

CASE(payload_cap)
{
	golden_base(s);
	s->frames[PAGES].header.payload_size = PF_PAYLOAD_MAX + 1;
}

CASE(payload_forbidden)
{
	golden_base(s);
	s->frames[END].header.payload_size = 1;
}

CASE(sequence_gap)
{
	golden_base(s);
	s->frames[PAGES_R2].spoil_seq = 1;
}

CASE(body_checksum)
{
	golden_base(s);
	s->frames[STATIC].spoil_body = 1;
}

CASE(payload_checksum)
{
	golden_base(s);
	s->frames[STATE_FINAL].header.payload_sum ^= 1;
}

CASE(pages_checksum)
{
	golden_base(s);
	s->frames[PAGES_CH2].header.payload_sum ^= 1;
}

CASE(truncated_header)
{
	golden_base(s);
	s->cut = (long)s->frames[END].body_size + 7;
}

CASE(truncated_body)
{
	golden_base(s);
	s->cut = 1;
}

CASE(truncated_payload)
{
	golden_base(s);
	story_drop(s, END);
	s->cut = 1;
}

const struct golden golden_frames[] = {
	BAD(stream_magic, "stream-magic", DECODERS, "does not begin with XMSTREAM"),
	BAD(stream_byte_order, "byte-order", DECODERS, "byte order mark of a big-endian writer"),
	BAD(stream_checksum, "stream-checksum", DECODERS, "a flipped bit in the stream header"),
	BAD(stream_version, "version", DECODERS, "major version 2"),
	BAD(stream_producer, "producer", DECODERS, "an escape character in the producer"),
	BAD(frame_magic, "frame-magic", DECODERS,
	    "a frame is one byte longer than its header says"),
	BAD(frame_checksum, "frame-checksum", DECODERS,
	    "a flipped bit in a frame header's checksum"),
	BAD(frame_type_zero, "frame-type", DECODERS, "type 0"),
	BAD(frame_channel, "frame-channel", DECODERS, "channel 17"),
	BAD(frame_flags, "frame-flags", DECODERS, "flag 8, which may not be ignored"),
	BAD(frame_mandatory, "frame-mandatory", DECODERS, "type 400 with MANDATORY"),
	BAD(body_cap, "body-cap", DECODERS, "a SEAL that says it has 1025 bytes of body"),
	BAD(payload_cap, "payload-cap", DECODERS, "PAGES that say they have 16 MiB + 1 of payload"),
	BAD(payload_forbidden, "payload-cap", DECODERS, "END with a payload"),
	BAD(sequence_gap, "sequence", DECODERS, "a frame number is left out on channel 1"),
	BAD(body_checksum, "body-checksum", DECODERS, "a body that is not what was summed"),
	BAD(payload_checksum, "payload-checksum", DECODERS, "a state that is not what was summed"),
	BAD(pages_checksum, "pages-checksum", DECODERS, "pages that are not what was hashed"),
	BAD(truncated_header, "truncated", DECODERS, "ends inside END's frame header"),
	BAD(truncated_body, "truncated", DECODERS, "ends inside END's body"),
	BAD(truncated_payload, "truncated", DECODERS, "ends inside STATE's payload"),
	{0},
};
