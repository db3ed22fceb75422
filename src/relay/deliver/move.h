/*-------------------------------------------------------------------------
 *
 * move.h
 *	  A queue goes from one server to another.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: move its cursor, so that no message is lost or comes twice.
 * Process: relay.
 * Transaction: none needed.
 * Memory: a part of the queue; while a cursor is on its way, a copy of it.
 * Errors: none thrown.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_MOVE_H
#define OUTBOX_RELAY_MOVE_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/link.h"
#include "relay/base/state.h"
#include "relay/deliver/reconcile.h"

/* see the chart in move.c */
typedef enum MovePhase
{
	MOVE_NONE,
	MOVE_LEAVES,				/* it is delivered to its old server */
	MOVE_ARRIVES,				/* its cursor is sealed there */
	MOVE_STAYS					/* ... and has come to the new one */
} MovePhase;

typedef struct QueueMove
{
	MovePhase	phase;
	bool		begun;			/* while it leaves: the new server answers */
	bool		forced;			/* it does without its old cursor */
	MemoryContext context;		/* of what follows; NULL: nothing is known */
	const char *id;				/* the move's */
	StoredCursor sealed;		/* what the old server has */
	OutboxTime	arrived_at;		/* while it stays */
} QueueMove;

extern void outbox_move_init(RelayQueue *queue);

/* outbox.queue has been read */
extern void outbox_move_settings(RelayQueue *queue);

/* the name of the server that the queue is delivered to now; NULL: the default */
extern const char *outbox_move_place(const RelayQueue *queue);

/* may such a place have changed since this was asked last? */
extern bool outbox_moves_have_changed(void);

/* does the queue wait for its new server to answer?  It does */
extern bool outbox_move_waits(const RelayQueue *queue);
extern void outbox_move_begins(RelayQueue *queue);

/*
 * A cursor was read that is of our history.  True if it belongs to a move, and is dealt
 * with; else the queue goes on from it.
 */
extern bool outbox_move_takes(Relay *relay, RelayQueue *queue,
							  const StoredCursor *cursor);

/* the same of a cursor that is not; only a cursor in the way of a move is one */
extern bool outbox_move_refuses(Relay *relay, RelayQueue *queue,
								const StoredCursor *cursor);

/* the cursor is ours now: is it to be sealed?  It is, then */
extern bool outbox_move_seals(RelayQueue *queue);

extern void outbox_move_answer(Relay *relay, const Request *request,
							   const OutboxReply *reply);

#endif							/* OUTBOX_RELAY_MOVE_H */
