/*-------------------------------------------------------------------------
 *
 * reused.h
 *	  Which transaction ids are given out again after a promotion.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: find the least id that rows of since have, once for all queues.
 * Process: relay.
 * Transaction: outbox_look_for_reused() has one of its own.
 * Memory: static.
 * Errors: those of index scans.
 * Locks: AccessShareLock on the tables of messages, if it can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_REUSED_H
#define OUTBOX_RELAY_REUSED_H

#include "outbox.h"

#include "relay/base/state.h"
#include "store/position.h"

/*
 * The least transaction id that this server may have given out since its history
 * left that of a cursor, at this place in WAL, but for transactions that *then, a
 * snapshot, has as in progress.  False if that is not known yet: it is looked for now.
 */
extern bool outbox_reused_from(XLogRecPtr left, uint64 *first,
							   const OutboxSnap **then);

/* is it being looked for? */
extern bool outbox_reused_is_wanted(void);

/* go on with that; false if somebody holds a lock */
extern bool outbox_look_for_reused(Relay *relay);

#endif							/* OUTBOX_RELAY_REUSED_H */
