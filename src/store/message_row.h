/*-------------------------------------------------------------------------
 *
 * message_row.h
 *	  A message as its row has it.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: number the columns of tables of messages; make a row of staging, and read
 *	  those of a row that was fetched.
 * Process: backend and relay.
 * Transaction: the caller's.
 * Memory: the message points into the slot, or into the current context if a
 *	  column was compressed or lies in a toast table.
 * Errors: those of reading toast tables.
 * Locks: those of the open OutboxStaging.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_MESSAGE_ROW_H
#define OUTBOX_MESSAGE_ROW_H

#include "outbox.h"

#include "access/htup.h"
#include "executor/tuptable.h"

/* columns of a staging table; outbox.deferred begins with the same ones */
enum
{
	Anum_staging_xid = 1,
	Anum_staging_seq,
	Anum_staging_enqueued_at,
	Anum_staging_id,
	Anum_staging_lsn,
	Anum_staging_queue,
	Anum_staging_attempts,
	Anum_staging_kind,
	Anum_staging_type,
	Anum_staging_key,
	Anum_staging_headers,
	Anum_staging_payload,
	Anum_staging_history,
	Anum_staging_options
};

#define Natts_staging Anum_staging_options

/* columns of outbox.deferred and outbox.dead_letter after those of staging */
enum
{
	Anum_deferred_reason = Natts_staging + 1,
	Anum_deferred_due_at,
	Natts_deferred = Anum_deferred_due_at
};
enum
{
	Anum_dead_letter_skipped = Natts_staging + 4,
	Natts_dead_letter
};

/*
 * Read the message of the row in the slot.  False, and nothing is read of it but that,
 * if its number is another one.
 */
extern bool outbox_read_message(TupleTableSlot *slot, uint64 seq, OutboxMessage *msg);

/* make a row of staging */
extern HeapTuple outbox_message_tuple(const OutboxMessage *msg);

#endif							/* OUTBOX_MESSAGE_ROW_H */
