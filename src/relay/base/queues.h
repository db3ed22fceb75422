/*-------------------------------------------------------------------------
 *
 * queues.h
 *	  The relay's list of queues, and their settings.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: find a queue; add, change and remove one.  When that is done is
 *	  decided in relay/refresh.c.  Know which queues there is something to do
 *	  for; when one may rest is decided in deliver/rest.c.
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

#include "clock.h"
#include "lib/pairingheap.h"
#include "relay/base/state.h"

typedef struct QueueListed
{
	bool		returns;		/* in the list of outbox_returning_queues() */
	bool		awake;			/* see outbox_awake_queue() */
	OutboxTime	rests_until;	/* else: when it wakes; OUTBOX_NEVER: when
								 * somebody wakes it */
	pairingheap_node node;		/* ... among those that have a time */
	bool		seen;			/* in outbox.queue, when that was read last */
	bool		dropped;		/* to be removed when no answer is awaited */
} QueueListed;

/* what has changed in a queue's settings */
typedef struct SettingsChange
{
	bool		policy;			/* on_failure */
	bool		returns;		/* consumer_retry */
	bool		options;		/* the options, or the target they are for */
} SettingsChange;

extern void outbox_queues_init(Relay *relay);

/* a queue by its id; if it is not known, NULL, and the list is read again */
extern RelayQueue *outbox_find_queue(int32 id);

/* was a queue looked for that is not known? */
extern bool outbox_unknown_queue_was_met(void);

/* a queue by its id; NULL if it is not known */
extern RelayQueue *outbox_known_queue(int32 id);

/* the list has to be read again; does it have to be? it was */
extern void outbox_queues_are_stale(void);
extern bool outbox_queues_to_be_read(void);
extern void outbox_queues_were_read(void);

/* a new queue with this link, without the parts that other files own */
extern RelayQueue *outbox_add_queue(Relay *relay, const OutboxQueue *settings,
									struct Link *home);

/* copy settings, and tell which of them were others before */
extern SettingsChange outbox_take_settings(RelayQueue *queue,
										   const OutboxQueue *settings);

/*
 * How many queues are awake: there is something to do for them now, or may be.
 * The n-th of them, from 0 on; one that wakes meanwhile is the last.
 */
extern int	outbox_count_awake(void);
extern RelayQueue *outbox_awake_queue(int n);

/* the one of them whose turn it is to send first */
extern int	outbox_first_in_turn(void);

/* the n-th has had its turn, counted on beyond the last one */
extern void outbox_turn_was_of(int n);

/*
 * There may be something to do for the queue.  Whoever writes to a part that
 * deliver/rest.c looks at comes by here.
 */
extern void outbox_end_rest(const RelayQueue *queue);
static inline void
outbox_wake_queue(const RelayQueue *queue)
{
	if (!queue->listed->awake)
		outbox_end_rest(queue);
}

/* the link is ready: there may be something to do for all of its queues */
extern void outbox_wake_queues_of(const struct Link *link);

/* the queue's messages go this way from now on */
extern void outbox_queue_uses_link(RelayQueue *queue, struct Link *link);

/* the queues with consumer_retry */
extern List *outbox_returning_queues(void);

/* another number whenever a queue was added, dropped or freed */
extern uint64 outbox_queue_list_number(void);

/* wake those that have rested until now; when does the next one wake? */
extern void outbox_wake_rested_queues(OutboxTime now);
extern OutboxTime outbox_next_queue_wakes(void);

/* there is nothing to do for some awake queues until these times, or now */
typedef OutboxTime (*OutboxRestsUntil) (const RelayQueue *queue, OutboxTime now);
extern void outbox_let_queues_rest(OutboxRestsUntil until, OutboxTime now);

/* set QueueListed.seen */
extern void outbox_queue_seen(RelayQueue *queue, bool seen);

/* no look-up finds the queue any more; it is still in the list */
extern void outbox_queue_is_dropped(RelayQueue *queue);

/* is any dropped queue in the list still? */
extern bool outbox_any_queue_is_dropped(const Relay *relay);

/* free a dropped queue, which is not in the list any more, with all its parts */
extern void outbox_free_queue(RelayQueue *queue);

/* do these settings name the redis_key that the queue has? */
extern bool outbox_same_redis_key(const RelayQueue *queue,
								  const OutboxQueue *settings);

#endif							/* OUTBOX_RELAY_QUEUES_H */
