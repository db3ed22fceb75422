/*-------------------------------------------------------------------------
 *
 * progress.h
 *	  How far the relay has got with queues, as it last told.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: positions of cursors, for who looks at messages.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: palloc'ed in the current context.
 * Errors: those of SQL.
 * Locks: AccessShareLock on outbox.queue_total and outbox.relay_state, to the
 *	  transaction's end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_PROGRESS_H
#define OUTBOX_PROGRESS_H

#include "outbox.h"

#include "nodes/pg_list.h"
#include "store/position.h"

/* of one queue */
typedef struct OutboxQueueProgress
{
	int32		queue;
	OutboxPosition position;	/* prev NULL: not known */
	TimestampTz as_of;			/* 0: not known */
} OutboxQueueProgress;

typedef struct OutboxProgress
{
	List	   *queues;			/* OutboxQueueProgress *; not all have one */
	TimestampTz as_of;			/* of the others */
	bool		held;			/* nothing is delivered until outbox_release() */
} OutboxProgress;

/*
 * Read what the relay has published.  What it has recorded by then of messages
 * that it has not delivered is seen by snapshots that are taken later.
 */
extern void outbox_read_published(OutboxProgress *progress);

/*
 * Then add what it has written into its tables.  SPI is connected; a snapshot is
 * active, which has to see the records, too.
 */
extern void outbox_read_written(OutboxProgress *progress);

/* returns a queue's progress, or NULL */
extern const OutboxQueueProgress *outbox_progress_of(const OutboxProgress *progress,
													 int32 queue);

#endif							/* OUTBOX_PROGRESS_H */
