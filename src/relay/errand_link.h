/*-------------------------------------------------------------------------
 *
 * errand_link.h
 *	  To which Redis an errand is sent.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: find the link to the server or to the node of a cluster that a backend
 *	  has something asked of, and send the errand on it.
 * Process: relay.
 * Transaction: none needed.
 * Memory: none but the link's.
 * Errors: none thrown.
 * Locks: OutboxShared.lock, for a moment.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_ERRAND_LINK_H
#define OUTBOX_RELAY_ERRAND_LINK_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/state.h"

/* send what a backend asks, or tell it why that can't be sent */
extern void outbox_run_errand(Relay *relay, OutboxTime now);

#endif							/* OUTBOX_RELAY_ERRAND_LINK_H */
