/*-------------------------------------------------------------------------
 *
 * batch_buffer.h
 *	  The buffer into which the messages of a batch are encoded.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: one buffer, which all batches use in turn.
 * Process: relay.
 * Transaction: none needed.
 * Memory: static, in the relay's context; memory that a large batch needed is
 *	  freed before the next one.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_BATCH_BUFFER_H
#define OUTBOX_RELAY_BATCH_BUFFER_H

#include "outbox.h"

#include "relay/base/state.h"
#include "targets/target.h"

/* a batch is full when it has one of these, or as many as the queue may send */
#define OUTBOX_BATCH_MESSAGES	256
#define OUTBOX_BATCH_BYTES		(128 * 1024)

typedef struct BatchBuffer
{
	OutboxArgs	args;			/* the messages, as the scripts take them */
	StringInfoData seqs;		/* numbers, each followed by a space */
	MemoryContext scratch;		/* of the message being encoded */
} BatchBuffer;

extern void outbox_batch_buffer_init(Relay *relay);

/* the buffer, empty */
extern BatchBuffer *outbox_batch_buffer(void);

/* add a number to seqs */
extern void outbox_batch_add_seq(BatchBuffer *buffer, uint64 seq);

static inline bool
outbox_batch_is_full(const BatchBuffer *buffer, int count, int limit)
{
	return count >= limit ||
		buffer->args.data.len >= OUTBOX_BATCH_BYTES;
}

#endif							/* OUTBOX_RELAY_BATCH_BUFFER_H */
