// SPDX-License-Identifier: Apache-2.0
/* Golden streams whose frames are right each by itself, and wrong together. */
#include "tests/proto/golden.h"

/* --------------------------------------------------------------------- order */

CASE(order_no_hello)
{
	golden_base(s);
	story_drop(s, HELLO);
}

CASE(order_two_hellos)
{
	golden_base(s);
	story_repeat(s, HELLO);
}

CASE(order_pages_early)
{
	golden_base(s);
	story_drop(s, TRIAL);
}

CASE(order_final_early)
{
	golden_base(s);
	story_swap(s, SEAL2, STATE_FINAL);
}

CASE(order_no_final_state)
{
	golden_base(s);
	story_drop(s, STATE_FINAL);
}

CASE(order_abort)
{
	golden_base(s);
	story_drop(s, END);
	BODY(STATE_FINAL, "\x08\x0a\x12\x04stop");
	s->frames[STATE_FINAL].header.type = PF_TYPE_ABORT;
	s->frames[STATE_FINAL].header.payload_size = 0;
	s->frames[STATE_FINAL].header.payload_sum = pf_checksum("", 0);
}

CASE(order_answer)
{
	golden_base(s);
	story_repeat(s, TRIAL);
	s->frames[PAGES].header = (struct pf_header){.type = PF_TYPE_READY, .flags = 1};
	s->frames[PAGES].header.payload_sum = pf_checksum("", 0);
	s->frames[PAGES].body_size = 0;
}

CASE(purpose_migrate)
{
	golden_base(s);
	s->hello.purpose = PF_PURPOSE_MIGRATE;
	story_hello_again(s, HELLO);
}

CASE(channel_control)
{
	golden_base(s);
	s->frames[PAGES].header.channel = 0;
}

CASE(channel_pages)
{
	golden_base(s);
	s->frames[SEAL1].header.channel = 1;
}

CASE(channel_beyond)
{
	golden_base(s);
	s->frames[PAGES_CH2].header.channel = 3;
}

/* -------------------------------------------------------------------- rounds */

CASE(round_page_twice)
{
	golden_base(s);
	story_repeat(s, PAGES);
}

CASE(round_pages_late)
{
	golden_base(s);
	story_swap(s, PAGES_CH2, SEAL1);
}

CASE(round_after_final)
{
	golden_base(s);
	story_repeat(s, PAGES_R2);
	story_swap(s, SEAL2, SEAL2 + 1);
}

CASE(seal_round)
{
	golden_base(s);
	s->seals[0].round = 2;
	story_seal_again(s, SEAL1, 0);
}

CASE(seal_pages)
{
	golden_base(s);
	s->seals[0].pages++;
	story_seal_again(s, SEAL1, 0);
}

CASE(seal_bytes)
{
	golden_base(s);
	s->seals[1].payload_bytes--;
	story_seal_again(s, SEAL2, 1);
}

CASE(seal_digest)
{
	golden_base(s);
	s->seals[1].digest++;
	story_seal_again(s, SEAL2, 1);
}

CASE(seal_last_seq)
{
	golden_base(s);
	s->seals[0].last_seq[1]++;
	story_seal_again(s, SEAL1, 0);
}

CASE(seal_channels)
{
	golden_base(s);
	s->seals[0].channel_count = 3;
	story_seal_again(s, SEAL1, 0);
}

/* ----------------------------------------------------------------------- end */

CASE(end_rounds)
{
	golden_base(s);
	s->end.rounds = 3;
	story_end_again(s, END);
}

CASE(end_digest)
{
	golden_base(s);
	s->end.digest ^= (pf_digest)1 << 127;
	story_end_again(s, END);
}

CASE(end_missing)
{
	golden_base(s);
	story_drop(s, END);
}

CASE(end_trailing_frame)
{
	golden_base(s);
	story_repeat(s, END);
}

CASE(end_trailing_bytes)
{
	golden_base(s);
	s->cut = -3;
}

const struct golden golden_order[] = {
	BAD(order_no_hello, "order", ENGINE, "begins with STATIC"),
	BAD(order_two_hellos, "order", ENGINE, "HELLO twice"),
	BAD(order_pages_early, "order", ENGINE, "PAGES without STATE (TRIAL)"),
	BAD(order_final_early, "order", ENGINE, "STATE (FINAL) before the final SEAL"),
	BAD(order_no_final_state, "order", ENGINE, "END without STATE (FINAL)"),
	BAD(order_abort, "order", ENGINE, "ABORT in a file"),
	BAD(order_answer, "order", ENGINE, "READY in a file"),
	BAD(purpose_migrate, "purpose", ENGINE, "a file whose HELLO says MIGRATE"),
	BAD(channel_control, "channel", ENGINE, "PAGES on channel 0"),
	BAD(channel_pages, "channel", ENGINE, "SEAL on channel 1"),
	BAD(channel_beyond, "channel", ENGINE, "PAGES on channel 3 of 2"),
	BAD(round_page_twice, "page-twice", ENGINE, "a page twice in one round"),
	BAD(round_pages_late, "seal-seqs", ENGINE, "PAGES of round 1 after SEAL 1"),
	BAD(round_after_final, "after-final", ENGINE, "PAGES after the final SEAL"),
	BAD(seal_round, "seal-round", ENGINE, "the first SEAL says round 2"),
	BAD(seal_pages, "seal-pages", ENGINE, "SEAL counts one page too many"),
	BAD(seal_bytes, "seal-bytes", ENGINE, "SEAL counts one byte too few"),
	BAD(seal_digest, "seal-digest", ENGINE, "SEAL has another digest than memory"),
	BAD(seal_last_seq, "seal-seqs", ENGINE, "SEAL names a frame that never came"),
	BAD(seal_channels, "seal-channels", ENGINE, "SEAL names three channels, HELLO two"),
	BAD(end_rounds, "end-rounds", ENGINE, "END says three rounds, there were two"),
	BAD(end_digest, "end-digest", ENGINE, "END has another digest than the last SEAL"),
	BAD(end_missing, "no-end", ENGINE, "ends after STATE (FINAL)"),
	BAD(end_trailing_frame, "after-end", ENGINE, "a frame after END"),
	BAD(end_trailing_bytes, "truncated", DECODERS, "three bytes after END"),
	{0},
};
