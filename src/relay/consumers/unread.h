/*-------------------------------------------------------------------------
 *
 * unread.h
 *	  Say why consumers' streams can't be read.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: write down why, and log it if it is new.
 * Process: relay.
 * Transaction: none needed.
 * Memory: the caller's, of OUTBOX_QUEUE_TEXT_SIZE; empty if they could be read until
 *	  now.
 * Errors: a WARNING where Redis refuses it.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_UNREAD_H
#define OUTBOX_RELAY_UNREAD_H

#include "outbox.h"

#include "relay/base/state.h"

/* Redis refuses it, for example because one is no stream */
extern void outbox_tell_refused(RelayQueue *queue, const char *error,
								char *trouble);

/* their slot is on its way from one node of a cluster to another */
extern void outbox_tell_slot_moves(const RelayQueue *queue, const char *why,
								   char *trouble);

#endif							/* OUTBOX_RELAY_UNREAD_H */
