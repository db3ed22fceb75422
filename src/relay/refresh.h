/*-------------------------------------------------------------------------
 *
 * refresh.h
 *	  Keep the relay's list of queues as outbox.queue has it.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: read the state of the database and its queues when they may have
 *	  changed.
 * Process: relay.
 * Transaction: a step of its own, which the first function leaves open.
 * Memory: that of the queues.
 * Errors: those of SQL.
 * Locks: AccessShareLock on the extension's tables, if it can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_REFRESH_H
#define OUTBOX_RELAY_REFRESH_H

#include "outbox.h"

#include "relay/base/state.h"

/*
 * Begin a step with the state and the queues up to date.  Ends the process if
 * the extension is gone.  False, and no step has begun, if somebody's lock is
 * in the way.
 */
extern bool outbox_begin_refreshed_step(Relay *relay);

/* the same, and end the step */
extern bool outbox_refresh(Relay *relay);

/* somebody has changed what the database's state or its queues are */
extern void outbox_state_may_have_changed(void);

/* remove a dropped queue that nothing is under way for */
extern void outbox_remove_dropped_queues(Relay *relay);

#endif							/* OUTBOX_RELAY_REFRESH_H */
