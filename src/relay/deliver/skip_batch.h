/*-------------------------------------------------------------------------
 *
 * skip_batch.h
 *	  A batch whose script continues after a message has failed.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: what skip.c and retry.c have in common: the batch, its call, and
 *	  which of its messages have failed.
 * Process: relay.
 * Transaction: none needed.
 * Memory: a part of the queue; a SkipBatch is the caller's.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_SKIP_BATCH_H
#define OUTBOX_RELAY_SKIP_BATCH_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/link.h"
#include "relay/base/state.h"
#include "relay/deliver/batch_buffer.h"
#include "relay/deliver/plan.h"
#include "relay/deliver/script.h"

typedef struct QueueSkipping
{
	bool		on;				/* batches are sent by skip.c, one at a time */
	OutboxTime	not_before;		/* no batch or retry before this, ... */
	OutboxTime	pause_until;	/* ... or this, if other queues are at work */
	int			size;			/* messages of the next batch or retry */
} QueueSkipping;

/*
 * Refused messages are recorded one by one, and so are messages behind them: so
 * many for a queue in one turn.
 */
#define OUTBOX_RECORD_ROWS	32

/* messages that the script is to try */
typedef struct SkipBatch
{
	BatchBuffer *buffer;
	int			count;
	PlanEntry	entries[OUTBOX_BATCH_MESSAGES];
	bool		keyed[OUTBOX_BATCH_MESSAGES];	/* it waits behind its key */
	uint64		hashes[OUTBOX_BATCH_MESSAGES];	/* of keys, if keyed */
	TimestampTz oldest;			/* enqueued_at of the first message */
	TimestampTz newest;			/* ... and of the last one */
} SkipBatch;

extern void outbox_skipping_init(RelayQueue *queue);

/* set QueueSkipping.on */
extern void outbox_set_skipping(RelayQueue *queue, bool on);

/* set QueueSkipping.not_before; 0: at once */
extern void outbox_skip_not_before(RelayQueue *queue, OutboxTime not_before);

/* when the queue may send a batch or a retry: pauses are for others' sake */
extern OutboxTime outbox_skip_at(const RelayQueue *queue);

/* a batch of this queue has been sent that isn't likely to fail */
extern void outbox_queue_is_at_work(const RelayQueue *queue, OutboxTime now);

/* a batch was answered: with failures, or without */
extern void outbox_adjust_skip_batch(RelayQueue *queue, bool failures);

/* true if the message must not be tried, as it waits, has expired or is dead */
extern bool outbox_must_skip(const RelayQueue *queue, const OutboxMessage *msg,
							 TimestampTz now);

/* an empty batch, in the shared buffer */
extern void outbox_skip_batch_begin(SkipBatch *batch);

/* add a message that the script is to try */
extern void outbox_skip_batch_add(RelayQueue *queue, SkipBatch *batch,
								  const OutboxMessage *msg,
								  const PlanEntry *entry);

/* send the batch, SCRIPT_SKIP or SCRIPT_RETRY, to move the cursor to this */
extern void outbox_skip_batch_call(RelayQueue *queue, const SkipBatch *batch,
								   ScriptMode mode, const char *to_text,
								   uint64 to_seq);

/* copy the batch to its request; skipped: how many were not to be tried */
extern void outbox_skip_batch_sent(Request *request, const SkipBatch *batch,
								   int skipped);

/*
 * How many messages have failed, by the answer, which names them in the order of
 * the batch.  -1 if there is nothing left to do: the queue has stopped flowing or
 * has been dropped since, or the answer is an error, says that the cursor
 * differs, or names what was not sent, which has been dealt with.
 */
extern int	outbox_count_failed(Relay *relay, const Request *request,
								const OutboxReply *reply);

/* the n-th message that has failed, and its error; "" if it waits behind one */
extern uint64 outbox_failed_seq(const OutboxReply *reply, int n);
extern const char *outbox_failed_error(const OutboxReply *reply, int n);

/* a batch had failures, and recording them began at this time: pause */
extern void outbox_pause_after_failure(Relay *relay, RelayQueue *queue,
									   OutboxTime begin);

#endif							/* OUTBOX_RELAY_SKIP_BATCH_H */
