/*-------------------------------------------------------------------------
 *
 * skip_batch.h
 *	  A batch in which messages may fail.
 *
 * Purpose: what skipping and retrying have in common: the batch, its call, and
 *	  which messages of it have failed.
 * Process: relay.
 * Transaction: none needed.
 * Memory: a SkipBatch is the caller's; a part of the queue.
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
	bool		on;				/* batches go one at a time, and may skip */
	OutboxTime	not_before;		/* the next one */
} QueueSkipping;

/* the messages that the script is to try */
typedef struct SkipBatch
{
	BatchBuffer *buffer;
	int			count;
	PlanEntry	entries[OUTBOX_BATCH_MESSAGES];
	bool		keyed[OUTBOX_BATCH_MESSAGES];
	uint64		hashes[OUTBOX_BATCH_MESSAGES];
	TimestampTz oldest;
	TimestampTz newest;
} SkipBatch;

extern void outbox_skipping_init(RelayQueue *queue);
extern void outbox_set_skipping(RelayQueue *queue, bool on);

/* nobody tries one before this; 0: at once */
extern void outbox_skip_not_before(RelayQueue *queue, OutboxTime not_before);

/* is the message to be skipped, or has it been already? */
extern bool outbox_must_skip(const RelayQueue *queue, const OutboxMessage *msg,
							 TimestampTz now);

extern void outbox_skip_batch_begin(SkipBatch *batch);

/* a message that the script is to try */
extern void outbox_skip_batch_add(RelayQueue *queue, SkipBatch *batch,
								  const OutboxMessage *msg,
								  const PlanEntry *entry);

/* send it, SCRIPT_SKIP or SCRIPT_RETRY, to move the cursor there */
extern void outbox_skip_batch_call(RelayQueue *queue, const SkipBatch *batch,
								   ScriptMode mode, const char *to_text,
								   uint64 to_seq);

/* what its request has to know of it; skipped: seqs that were only skipped */
extern void outbox_skip_batch_sent(Request *request, const SkipBatch *batch,
								   int skipped);

/*
 * How many messages have failed, by the answer; they come in the order of the
 * batch.  -1: the answer was something else, and has been dealt with.
 */
extern int	outbox_count_failed(Relay *relay, RelayQueue *queue,
								const OutboxReply *reply);

/* the n-th that has failed, and why; "" if it waits behind another one */
extern uint64 outbox_failed_seq(const OutboxReply *reply, int n);
extern const char *outbox_failed_error(const OutboxReply *reply, int n);

/* what began then had failures: leave most of the time to others */
extern void outbox_pause_after_failure(Relay *relay, RelayQueue *queue,
									   OutboxTime begin);

#endif							/* OUTBOX_RELAY_SKIP_BATCH_H */
