/*-------------------------------------------------------------------------
 *
 * capture_message.h
 *	  Enqueue a change of a captured table's row.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: what the row trigger and a backfill have in common.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: a state is palloc'ed in the context that is current when it is made.
 * Errors: those of resolving columns, of output functions and of enqueueing;
 *	  INVALID_PARAMETER_VALUE for a trigger with a wrong number of arguments.
 * Locks: the caller holds one on the table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CAPTURE_MESSAGE_H
#define OUTBOX_CAPTURE_MESSAGE_H

#include "api/capture_payload.h"

#include "utils/reltrigger.h"

/* what does not depend on the row */
typedef struct OutboxCaptureState OutboxCaptureState;

/*
 * Returns the state for rows of a relation, as the trigger's arguments have it.
 * Messages have the name of the table "named", whose trigger it is.
 */
extern OutboxCaptureState *outbox_capture_state(Relation rel, Oid named,
												const Trigger *trigger);

/*
 * Note which columns an update has changed.  Returns false if none.  All values of
 * the slots have been got, here and for the next function.
 */
extern bool outbox_find_changes(OutboxCaptureState *state, TupleTableSlot *old,
								TupleTableSlot *new);

/* stage a message */
extern void outbox_enqueue_change(OutboxCaptureState *state, OutboxOperation operation,
								  TupleTableSlot *old, TupleTableSlot *new);

#endif							/* OUTBOX_CAPTURE_MESSAGE_H */
