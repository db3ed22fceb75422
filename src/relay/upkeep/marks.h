/*-------------------------------------------------------------------------
 *
 * marks.h
 *	  Cursors say whose they are.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: say in each cursor of which server and database it is.
 * Process: relay.
 * Transaction: none needed.
 * Memory: none but the links'.
 * Errors: none thrown.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_MARKS_H
#define OUTBOX_RELAY_MARKS_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/state.h"

/* mark some cursors that have not been marked lately; true if some are left */
extern bool outbox_mark_cursors(Relay *relay, OutboxTime now);

#endif							/* OUTBOX_RELAY_MARKS_H */
