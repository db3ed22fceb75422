/*-------------------------------------------------------------------------
 *
 * queues.h
 *	  The relay's list of queues, and their settings.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: find a queue; add, change and remove one.  When that is done is
 *	  decided in relay/refresh.c.
 * Process: relay.
 * Transaction: none needed, except that outbox_take_settings() detoasts in the
 *	  caller's.
 * Memory: a queue has a context of its own, below the relay's.
 * Errors: none but lack of memory.  Commands that don't compile leave
 *	  settings.template NULL.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_QUEUES_H
#define OUTBOX_RELAY_QUEUES_H

#include "outbox.h"

#include "relay/base/state.h"

typedef struct QueueListed
{
	bool		seen;			/* in outbox.queue, when that was read last */
	bool		dropped;		/* to be removed when no answer is awaited */
} QueueListed;

/* what has changed in a queue's settings */
typedef struct SettingsChange
{
	bool		policy;			/* on_failure */
	bool		options;		/* the options, or the target they are for */
} SettingsChange;

extern void outbox_queues_init(Relay *relay);

/* a queue by its id; if it is not known, NULL, and the list is read again */
extern RelayQueue *outbox_find_queue(int32 id);

/* a queue by its id; NULL if it is not known */
extern RelayQueue *outbox_known_queue(int32 id);

/* the list has to be read again; does it have to be? it was */
extern void outbox_queues_are_stale(void);
extern bool outbox_queues_to_be_read(void);
extern void outbox_queues_were_read(void);

/* a new queue, without the parts that other files own */
extern RelayQueue *outbox_add_queue(Relay *relay, const OutboxQueue *settings);

/* copy settings, and tell which of them were others before */
extern SettingsChange outbox_take_settings(RelayQueue *queue,
										   const OutboxQueue *settings);

/* set QueueListed.seen */
extern void outbox_queue_seen(RelayQueue *queue, bool seen);

/* no look-up finds the queue any more; it is still in the list */
extern void outbox_queue_is_dropped(RelayQueue *queue);

/* take a dropped queue from the list and free it with all its parts */
extern void outbox_remove_queue(Relay *relay, RelayQueue *queue);

/* do these settings name the redis_key that the queue has? */
extern bool outbox_same_redis_key(const RelayQueue *queue,
								  const OutboxQueue *settings);

#endif							/* OUTBOX_RELAY_QUEUES_H */
