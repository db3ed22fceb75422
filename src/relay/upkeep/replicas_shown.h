/*-------------------------------------------------------------------------
 *
 * replicas_shown.h
 *	  That replicas of Redis have not what they should have: status and log.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: publish and log what is wrong, and that nothing is any more; and the
 *	  struct that has it.
 * Process: relay.
 * Transaction: none needed.
 * Memory: a part of the link.
 * Errors: none.
 * Locks: OutboxShared.lock, for a moment.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_REPLICAS_SHOWN_H
#define OUTBOX_RELAY_REPLICAS_SHOWN_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/link.h"
#include "relay/base/log_allowance.h"
#include "relay/base/state.h"

/* see replicas.c */
typedef enum ReplicasRound
{
	ROUND_NONE,
	ROUND_MARKED,				/* a marker is sent on the link */
	ROUND_WRITTEN,				/* ... and is written */
	ROUND_ASKED					/* WAIT is sent on the other connection */
} ReplicasRound;

typedef struct LinkReplicas
{
	Link	   *other;			/* the connection on which WAIT blocks */
	OutboxTime	retry_at;		/* while it is down: the next attempt */
	OutboxTime	give_up_at;		/* when it has failed to connect, to answer */
	int			backoff_ms;

	ReplicasRound round;
	uint64		connection;		/* of the link, on which the round began */
	uint64		moves;			/* outbox_cursor_moves() when it began */
	uint32		rounds;			/* how many have begun */
	OutboxTime	began_at;
	OutboxTime	next_at;		/* when the next round or WAIT may begin */
	const char *key;			/* of the marker; palloc'ed */
	const char *marker;

	OutboxTime	until;			/* what was answered before has replicas */
	OutboxTime	late_at;		/* when that was long ago */
	int			confirmed;		/* the last answer to WAIT */
	int			existing;		/* replicas that Redis has; -1: not known */
	TimestampTz behind_since;	/* 0: they have what they should */
	char		trouble[OUTBOX_TEXT_SIZE];	/* why not; empty: they have */
	char		logged[OUTBOX_TEXT_SIZE];
	LogAllowance allowance;
} LinkReplicas;

/* enough replicas have all; WAIT has told of fewer; they can't be asked */
extern void outbox_replicas_are_well(Relay *relay, Link *link);
extern void outbox_show_replicas_behind(Relay *relay, Link *link, OutboxTime now);

/* error is what Redis has said, or "" */
extern void outbox_show_replicas_trouble(Relay *relay, Link *link,
										 const char *what, const char *error,
										 OutboxTime now);

/* what is wrong on the first link on which something is; empty: nothing */
extern const char *outbox_replicas_trouble(const Relay *relay);

#endif							/* OUTBOX_RELAY_REPLICAS_SHOWN_H */
