/*-------------------------------------------------------------------------
 *
 * shown.h
 *	  Counts, errors and times of a queue that views show.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: count messages by what became of them; remember the last error and
 *	  the last success.
 * Process: relay.
 * Transaction: none needed.
 * Memory: a part of the queue; the relay's total is static.
 * Errors: none.
 * Locks: none; the slot's words are atomic.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_SHOWN_H
#define OUTBOX_RELAY_SHOWN_H

#include "outbox.h"

#include "relay/base/latency.h"
#include "relay/base/state.h"

/* counts since the queue was created */
typedef struct ShownTotals
{
	uint64		delivered;
	uint64		failed;			/* attempts that were refused */
	uint64		dead_lettered;	/* including those that expired */
	uint64		expired;
} ShownTotals;

typedef struct QueueShown
{
	ShownTotals totals;
	uint64		offered;		/* delivered when replicas were asked last, */
	uint64		replicated;		/* ... and what they have of it */
	int64		delayed;		/* rows at the last count */
	int64		dead;			/* dead letters, at the last count or since */
	OutboxLatency latency;
	TimestampTz last_success;
	TimestampTz last_error_at;
	char		last_error[OUTBOX_QUEUE_TEXT_SIZE];
} QueueShown;

/* make this part, with nothing counted */
extern void outbox_shown_init(RelayQueue *queue);

/* add what a former relay has counted */
extern void outbox_show_more(RelayQueue *queue, const ShownTotals *totals);

/* count messages were delivered; when the first and the last were enqueued */
extern void outbox_show_delivered(Relay *relay, RelayQueue *queue, int count,
								  TimestampTz oldest, TimestampTz newest);

/* count messages had been delivered, as their cursor says, unknown to us */
extern void outbox_show_recovered(Relay *relay, RelayQueue *queue,
								  uint64 count);

/* what is delivered now is asked of replicas; they have what was asked */
extern void outbox_show_offered(RelayQueue *queue);
extern void outbox_show_replicated(Relay *relay, RelayQueue *queue);

/* messages that Redis has, and not as many replicas as are wanted */
extern uint64 outbox_shown_unreplicated(const RelayQueue *queue);

/* the same of all queues; which a pass over them has found to be this number */
extern uint64 outbox_unreplicated_in_all(void);
extern void outbox_show_unreplicated(Relay *relay, uint64 count);

/* one attempt was refused; one message expired; one became a dead letter */
extern void outbox_show_refused(RelayQueue *queue);
extern void outbox_show_expired(RelayQueue *queue);
extern void outbox_show_dead_letter(RelayQueue *queue);

/* the last error; QueueShown.last_error has it fit for logs */
extern void outbox_show_error(RelayQueue *queue, const char *error);

/* what a pass over the tables has counted */
extern void outbox_show_delayed(RelayQueue *queue, int64 delayed);
extern void outbox_show_dead(RelayQueue *queue, int64 dead);

/* microseconds that this part (0 to 1) of the latest messages took at most */
extern int64 outbox_shown_latency(RelayQueue *queue, TimestampTz now,
								  double part);

/* messages delivered by all queues of the database, former relays included */
extern uint64 outbox_delivered(void);

/* what former relays have delivered */
extern void outbox_set_delivered(Relay *relay, uint64 delivered);

#endif							/* OUTBOX_RELAY_SHOWN_H */
