/*-------------------------------------------------------------------------
 *
 * relay.h
 *	  The worker that delivers one database's messages: the loop.
 *
 * Purpose: its entry point, which the launcher names to the postmaster.
 * Process: relay.
 * Transaction: none but within a step.
 * Memory: see base/state.h.
 * Errors: thrown errors end the worker, which is started again and recovers
 *	  from Redis.
 * Locks: none are waited for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_H
#define OUTBOX_RELAY_H

#include "outbox.h"

extern PGDLLEXPORT void outbox_relay_main(Datum main_arg);

#endif							/* OUTBOX_RELAY_H */
