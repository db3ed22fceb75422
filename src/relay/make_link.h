/*-------------------------------------------------------------------------
 *
 * make_link.h
 *	  A link with the parts that belong to it.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: make a link.
 * Process: relay.  Transaction: none needed.
 * Memory: the relay's.
 * Errors: none thrown.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_MAKE_LINK_H
#define OUTBOX_RELAY_MAKE_LINK_H

#include "outbox.h"

#include "relay/base/link.h"
#include "relay/base/state.h"

/* a link that is down, to no server; is_own: for one queue at a time */
extern Link *outbox_make_link(Relay *relay, bool is_own);

#endif							/* OUTBOX_RELAY_MAKE_LINK_H */
