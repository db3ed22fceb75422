/*-------------------------------------------------------------------------
 *
 * lost_messages.h
 *	  Redis has lost acknowledged messages of a queue.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: count what was lost and what is sent again, and report it.
 * Process: relay.
 * Transaction: none needed.
 * Memory: a part of the queue; it holds snapshots while a loss is counted.
 * Errors: a WARNING for each loss.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_LOST_MESSAGES_H
#define OUTBOX_RELAY_LOST_MESSAGES_H

#include "outbox.h"

#include "relay/base/state.h"
#include "store/position.h"

typedef struct QueueLoss
{
	uint64		lost;			/* messages; 0: nothing is being counted */
	uint64		resent;			/* of them, found so far */
	OutboxPosition before;		/* what had been acknowledged before */
} QueueLoss;

extern void outbox_loss_init(RelayQueue *queue);
extern void outbox_loss_free(RelayQueue *queue);

/* this number of messages was lost that the position had covered */
extern void outbox_note_loss(RelayQueue *queue, uint64 lost,
							 const OutboxPosition *before);

/* a message has been planned: count it if it was lost */
extern void outbox_count_resent(RelayQueue *queue, uint64 xid, uint64 seq);

/* all that can be sent again has been planned: report a loss, if there was one */
extern void outbox_report_loss(RelayQueue *queue);

#endif							/* OUTBOX_RELAY_LOST_MESSAGES_H */
