/*-------------------------------------------------------------------------
 *
 * shown.h
 *	  What becomes of a queue's messages, as it is shown.
 *
 * Purpose: count, and remember the last error and the last success.
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

/* what has become of a queue's messages since it was created */
typedef struct ShownTotals
{
	uint64		delivered;
	uint64		failed;			/* attempts that were refused */
	uint64		dead_lettered;	/* expired ones included */
	uint64		expired;
} ShownTotals;

typedef struct QueueShown
{
	ShownTotals totals;
	int64		delayed;		/* now */
	int64		dead;			/* now */
	OutboxLatency latency;
	TimestampTz last_success;
	TimestampTz last_error_at;
	char		last_error[OUTBOX_QUEUE_TEXT_SIZE];
} QueueShown;

extern void outbox_shown_init(RelayQueue *queue, const ShownTotals *totals);

/* messages were delivered, the oldest and the newest of them enqueued then */
extern void outbox_show_delivered(Relay *relay, RelayQueue *queue, int count,
								  TimestampTz oldest, TimestampTz newest);

extern void outbox_show_refused(RelayQueue *queue);
extern void outbox_show_expired(RelayQueue *queue);
extern void outbox_show_dead_letter(RelayQueue *queue);

/* the error is cleaned, so that it may be logged from last_error */
extern void outbox_show_error(RelayQueue *queue, const char *error);

/* counts of a pass over the tables */
extern void outbox_show_delayed(RelayQueue *queue, int64 delayed);
extern void outbox_show_dead(RelayQueue *queue, int64 dead);

/* microseconds that this part (0 to 1) of the latest messages took at most */
extern int64 outbox_shown_latency(RelayQueue *queue, TimestampTz now,
								  double part);

/* messages delivered by all queues of the database, former relays included */
extern uint64 outbox_delivered(void);
extern void outbox_set_delivered(Relay *relay, uint64 delivered);

#endif							/* OUTBOX_RELAY_SHOWN_H */
