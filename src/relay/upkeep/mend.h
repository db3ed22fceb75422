/*-------------------------------------------------------------------------
 *
 * mend.h
 *	  Enable our triggers again as they were.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: undo what a restore with --disable-triggers has left.
 * Process: relay.
 * Transaction: its own.
 * Memory: static.
 * Errors: those of SQL.
 * Locks: ShareRowExclusiveLock on a table, if it can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_MEND_H
#define OUTBOX_RELAY_MEND_H

#include "outbox.h"

/* look at the triggers, if the catalog has changed since the last look */
extern void outbox_mend_triggers(void);

#endif							/* OUTBOX_RELAY_MEND_H */
