/*-------------------------------------------------------------------------
 *
 * hold.h
 *	  Hold all messages until an operator has decided.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: remember that nothing may be delivered, and why.
 * Process: relay.
 * Transaction: outbox_write_hold() in the caller's, with SPI connected;
 *	  outbox_hold_for_good() has its own; the rest needs none.
 * Memory: static.
 * Errors: a WARNING when the relay begins to be held.
 * Locks: outbox_hold_for_good() locks outbox.relay_state, if that can be had.
 *
 * The reasons are OUTBOX_HELD_... of outbox.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_HOLD_H
#define OUTBOX_RELAY_HOLD_H

#include "outbox.h"

#include "clock.h"
#include "shmem.h"

/* deliver nothing, as the database says so; "why" explains the reason */
extern void outbox_hold(const char *reason, const char *why);

/* write into the database that nothing may be delivered */
extern void outbox_write_hold(const char *reason, const char *why);

/*
 * Deliver nothing, because of a cursor in Redis, and have the database say so on
 * disk before anybody is told.  False if outbox.relay_state is locked.
 */
extern bool outbox_hold_for_good(const char *reason, const char *why);

/* another server has taken over: deliver nothing as long as this relay runs */
extern void outbox_fence(const char *why);

/* no reason is left in the database; "all": nor is one in Redis */
extern void outbox_stop_holding(bool all);

/* outbox_enable() was told to deliver nothing, at this time; or to deliver */
extern void outbox_turn_off(const char *since);
extern void outbox_turn_on(void);

/*
 * Deliver nothing until this time, as another server may be doing that.  Only
 * the first call in a relay's life waits; later ones return false.
 */
extern bool outbox_watch_until(OutboxTime until, const char *why);

/* has the time come? */
extern void outbox_check_watch(OutboxTime now);

/* where messages would go, to be said with the reason */
extern void outbox_hold_destination(const char *where);

/* nothing is delivered, for one of these reasons */
extern bool outbox_is_held(void);

/* ... which is that delivery is turned off, and no other */
extern bool outbox_is_only_off(void);

/* what is shown while the relay is held */
extern OutboxRelayState outbox_hold_state(void);
extern const char *outbox_hold_reason(void);

#endif							/* OUTBOX_RELAY_HOLD_H */
