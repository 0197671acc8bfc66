/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hand-over of a domain, for the model checker spin: never two owners, whatever is cut or dies.
 *
 *	spin -a handover.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -m100000
 *
 * What it models: the source from its pause on, the target's VMM, the session record's state word (swapped by
 * compare-and-swap, docs/vmm-control.md), the target host's daemon answering queries, a connection that may be
 * cut at any time with messages in flight (each is then delivered late or never), a target VMM that may be
 * killed in any state, and a target host that may crash, which loses a state word that was not synced.
 *
 * Each of these switches breaks one rule, and spin must then find an error (tests/tree):
 *	-DBREAK_RESUME		the source resumes when COMMIT went unanswered
 *	-DBREAK_NO_CAS		the target runs on COMMIT without looking at the state word
 *	-DBREAK_ANSWER_FIRST	the daemon answers "aborted" without recording it
 *	-DBREAK_BOOT_ID		the daemon trusts a RECEIVING record of an earlier boot
 *	-DBREAK_EARLY_GONE	the source lets go at PREPARED
 */

mtype = { PREPARED, COMMIT, COMMITTED_MESSAGE };
mtype = { RECEIVING, COMMITTED, ABORTED };
mtype = { NO_ANSWER, SAYS_COMMITTED, SAYS_ABORTED, SAYS_UNKNOWN };

chan to_target = [2] of { mtype };
chan to_source = [2] of { mtype };

bool cut = false;	    /* the connection is broken: what is sent now is lost */
bool source_runs = false;   /* the domain's vCPUs run at the source */
bool source_gone = false;   /* the source has let go of the domain */
bool source_waits = false;  /* unresolved: paused until a person decides */
bool target_runs = false;
bool target_dead = false;   /* its VMM was killed, or its host crashed */
bool ever_committed = false;
mtype word = RECEIVING;	    /* the state word as processes see it */
mtype synced = RECEIVING;   /* and as it is on disk */
bool rebooted = false;	    /* the target's host has another boot id than the record */

#define ONE_OWNER assert(!(source_runs && target_runs))

/* A message that is sent over a cut connection is lost; one that waits in a channel may still arrive. */
inline send(channel, message) {
	if
	:: !cut -> channel!message
	:: cut
	fi
}

/* What the target's daemon does when somebody asks: one atomic step, as the swap makes it. */
inline ask(answer) {
	atomic {
		if
#ifndef BREAK_BOOT_ID
		:: word == RECEIVING && rebooted -> answer = SAYS_UNKNOWN
		:: word == RECEIVING && !rebooted ->
#else
		:: word == RECEIVING ->
#endif
#ifndef BREAK_ANSWER_FIRST
			word = ABORTED;
			synced = ABORTED;
#endif
			answer = SAYS_ABORTED
		:: word == COMMITTED -> answer = SAYS_COMMITTED
		:: word == ABORTED -> answer = SAYS_ABORTED
		fi
	}
}

proctype Source()
{
	mtype answer = NO_ANSWER;

	/* The domain is paused and all is sent. Before COMMIT any failure ends with it running here. */
	if
	:: to_source?PREPARED ->
#ifdef BREAK_EARLY_GONE
		source_gone = true;
#endif
		skip
	:: cut -> source_runs = true; ONE_OWNER; goto end
	:: source_runs = true; cut = true; ONE_OWNER; goto end /* cancelled, or timed out */
	fi;
	send(to_target, COMMIT);
	if
	:: to_source?COMMITTED_MESSAGE -> source_gone = true; goto end
	:: cut || target_dead -> skip
	fi;
#ifdef BREAK_RESUME
	source_runs = true;
	ONE_OWNER;
	goto end;
#endif
	ask(answer);
	if
	:: answer == SAYS_COMMITTED -> source_gone = true
	:: answer == SAYS_ABORTED -> source_runs = true; ONE_OWNER
	:: answer == SAYS_UNKNOWN -> source_waits = true
	fi;
end:	skip
}

proctype Target()
{
	bool won = false;

	send(to_source, PREPARED);
	if
	:: target_dead -> goto end
	:: cut && !target_dead ->
		/* Gives up, if nobody was faster. A COMMIT that is still in flight finds nobody. */
		atomic {
			if
			:: word == RECEIVING -> word = ABORTED
			:: else
			fi
		};
		goto end
	:: atomic { to_target?COMMIT; if :: target_dead -> goto end :: else fi }
	fi;
	atomic {
		if
		:: target_dead -> goto end
		:: else
		fi;
		if
#ifdef BREAK_NO_CAS
		:: true -> word = COMMITTED; won = true; ever_committed = true
#else
		:: word == RECEIVING -> word = COMMITTED; won = true; ever_committed = true
		:: word != RECEIVING
#endif
		fi
	};
	atomic {
		if
		:: won && !target_dead ->
			target_runs = true;
			ONE_OWNER
		:: else -> goto end
		fi
	};
	send(to_source, COMMITTED_MESSAGE);
	/* Only now, after the pause, is the word made durable. */
	atomic {
		if
		:: !target_dead -> synced = word
		:: else
		fi
	};
end:	skip
}

/* What can go wrong, once each, at any moment. */
proctype Fate()
{
	if
	:: cut = true
	:: skip
	fi;
	if
	:: skip
	:: atomic { target_dead = true; target_runs = false; cut = true }
	:: atomic {
		/* A crash of the whole host: what was not synced is as it was on disk. */
		target_dead = true;
		target_runs = false;
		cut = true;
		word = synced;
		rebooted = true
	}
	fi
}

/* When everything has come to rest, somebody has the domain, or a person is asked. */
proctype Judge()
{
	timeout ->
	ONE_OWNER;
	assert(source_runs || target_runs || source_waits || (target_dead && ever_committed));
	assert(!source_gone || ever_committed);
	assert(!(source_runs && ever_committed))
}

init {
	atomic {
		run Source();
		run Target();
		run Fate();
		run Judge()
	}
}
