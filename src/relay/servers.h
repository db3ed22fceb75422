/*-------------------------------------------------------------------------
 *
 * servers.h
 *	  To which Redis the links connect.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: make a link for each server that queues name, give it the server's
 *	  settings, and notice when these change.
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

#include "clock.h"
#include "redis/master.h"
#include "relay/base/link.h"
#include "relay/base/state.h"

/* make the links, and notice changes from now on */
extern void outbox_servers_init(Relay *relay);

/* the link to the server of this name, as queues have it; made if need be */
extern Link *outbox_link_to(Relay *relay, const char *name);

/* the link that is to serve a queue: that to its server, or to a node of it */
extern Link *outbox_home_of(Relay *relay, RelayQueue *queue);

/* the queue is served by this link from now on, as soon as it can be */
extern void outbox_queue_goes_to(RelayQueue *queue, Link *home);

/* let queues go that have nothing under way where they were */
extern void outbox_let_queues_leave(Relay *relay);

/* the link to a node of a cluster, which is there until then at least */
extern Link *outbox_keep_node(Relay *relay, Link *seed,
							  const OutboxMaster *node, OutboxTime until);

/* one turn of each link */
extern void outbox_run_links(Relay *relay, OutboxTime now);

/* close links that no queue needs any more */
extern void outbox_find_servers_in_use(Relay *relay);

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
