/*-------------------------------------------------------------------------
 *
 * queues.h
 *	  The relay's list of queues, and their settings.
 *
 * Purpose: find a queue; add, change and remove one.  When to is decided in
 *	  relay/refresh.c.
 * Process: relay.
 * Transaction: none needed; outbox_take_settings() detoasts in the caller's.
 * Memory: a queue has a context of its own, below the relay's.
 * Errors: those of compiling a queue's commands are none; memory.
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
	bool		dropped;		/* removed when nothing is under way */
} QueueListed;

/* what has changed in a queue's settings */
typedef struct SettingsChange
{
	bool		policy;			/* on_failure */
	bool		options;		/* or the target that they are for */
} SettingsChange;

extern void outbox_queues_init(Relay *relay);

/* NULL if it isn't known, and then the list is read again */
extern RelayQueue *outbox_find_queue(int32 id);

/* NULL if it isn't known: it has been dropped */
extern RelayQueue *outbox_known_queue(int32 id);

/* has the list to be read again? */
extern void outbox_queues_are_stale(void);
extern bool outbox_queues_to_be_read(void);
extern void outbox_queues_were_read(void);

/* a queue with settings and without the parts of others */
extern RelayQueue *outbox_add_queue(Relay *relay, const OutboxQueue *settings);

extern SettingsChange outbox_take_settings(RelayQueue *queue,
										   const OutboxQueue *settings);
extern void outbox_queue_seen(RelayQueue *queue, bool seen);

/* nobody finds it any more; it stays in the list while answers are awaited */
extern void outbox_queue_is_dropped(RelayQueue *queue);

/* nothing refers to it any more */
extern void outbox_remove_queue(Relay *relay, RelayQueue *queue);

/* do these settings name the redis_key that the queue has? */
extern bool outbox_same_redis_key(const RelayQueue *queue,
								  const OutboxQueue *settings);

#endif							/* OUTBOX_RELAY_QUEUES_H */
