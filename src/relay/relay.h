/*-------------------------------------------------------------------------
 *
 * relay.h
 *	  The worker that delivers one database's messages: the loop.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: the entry point that the launcher names to the postmaster.
 * Process: relay.
 * Transaction: one for each step.
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

/* runs until the extension is dropped, SIGTERM or an error */
extern PGDLLEXPORT void outbox_relay_main(Datum main_arg);

#endif							/* OUTBOX_RELAY_H */
