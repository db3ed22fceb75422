/*-------------------------------------------------------------------------
 *
 * nodes.h
 *	  Links to the nodes of Redis Clusters.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: give nodes links, and tell asynq's tools which queues there are.
 * Process: relay.
 * Transaction: none needed.
 * Memory: the relay's.
 * Errors: none thrown.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_NODES_H
#define OUTBOX_RELAY_NODES_H

#include "outbox.h"

#include "redis/cluster_map.h"
#include "relay/base/link.h"
#include "relay/base/state.h"

/* the link to a node of this seed's cluster; made if need be */
extern Link *outbox_link_to_node(Relay *relay, Link *seed,
								 const OutboxMaster *node);

/* such a link is closed, and forgets its cluster */
extern void outbox_leave_node_link(Relay *relay, Link *link);

/* the same of all of a seed; true if queues are to leave them */
extern bool outbox_leave_nodes(Relay *relay, Link *seed);

/* is it to the node where asynq's tools look for queues, and are there any? */
extern bool outbox_has_asynq_queues(const Relay *relay, const Link *link);

/* one turn of a seed's: add queues of asynq to the set of all if they are not */
extern void outbox_run_asynq_queues(Relay *relay, Link *seed);

#endif							/* OUTBOX_RELAY_NODES_H */
