/*-------------------------------------------------------------------------
 *
 * resend.h
 *	  Deliver messages again that Redis has acknowledged, on request.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: do what outbox_resend() has asked for.
 * Process: relay.
 * Transaction: its own.
 * Memory: static.
 * Errors: those of SQL and of staging.
 * Locks: RowExclusiveLock on the tables that it writes to, if it can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_RESEND_H
#define OUTBOX_RELAY_RESEND_H

#include "outbox.h"

#include "relay/base/state.h"

/* somebody may have inserted a request */
extern void outbox_look_for_resend(void);

/* to be called now and then: try requests again that could not be done */
extern void outbox_look_for_waiting_resend(void);

/*
 * Go on with a request, if there may be any.  False if there is nothing to do
 * now.
 */
extern bool outbox_resend_requested(Relay *relay);

#endif							/* OUTBOX_RELAY_RESEND_H */
