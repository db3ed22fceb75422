/*-------------------------------------------------------------------------
 *
 * servers.h
 *	  To which Redis the links connect.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: give links their server's settings, and notice when these change.
 * Process: relay.
 * Transaction: outbox_read_servers() has its own; the rest needs none.
 * Memory: the relay's.
 * Errors: those of the catalog, from outbox_read_servers(); all stays as it was
 *	  then.
 * Locks: see redis_server.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_SERVERS_H
#define OUTBOX_RELAY_SERVERS_H

#include "outbox.h"

#include "relay/base/state.h"

/* notice changes from now on */
extern void outbox_servers_init(void);

/* outbox.redis_url, or a file that a server names, may have changed */
extern void outbox_servers_may_have_changed(void);

/* has anything changed since servers were read? */
extern bool outbox_servers_are_stale(const Relay *relay);

/*
 * Read servers again.  Links of which something else is wanted than before are
 * closed, and connect at once.  False if the extension is gone.
 */
extern bool outbox_read_servers(Relay *relay);

#endif							/* OUTBOX_RELAY_SERVERS_H */
