/*-------------------------------------------------------------------------
 *
 * resend.h
 *	  Deliver again, on request, what Redis has acknowledged.
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

/* there may be requests; or the ones that have waited may be done now */
extern void outbox_look_for_resend(void);
extern void outbox_look_for_waiting_resend(void);

/* do one, if there may be any */
extern void outbox_resend_requested(Relay *relay);

#endif							/* OUTBOX_RELAY_RESEND_H */
