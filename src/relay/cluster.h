/*-------------------------------------------------------------------------
 *
 * cluster.h
 *	  Where queues are in a Redis Cluster.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: keep the map of a cluster, and follow its redirections.
 * Process: relay.
 * Transaction: none needed.
 * Memory: a part of the link.
 * Errors: none thrown.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_CLUSTER_H
#define OUTBOX_RELAY_CLUSTER_H

#include "outbox.h"

#include "clock.h"
#include "redis/cluster_map.h"
#include "relay/base/link.h"

typedef struct LinkCluster
{
	OutboxMaster node;			/* that the link is to, or was last */
	OutboxRedisHost host;		/* the same */

	/* of a seed */
	OutboxClusterMap *map;		/* NULL: there was none yet */
	int			next;			/* who is asked next */
	bool		is_asked;
	bool		is_wanted;		/* sooner than it would be asked for */
	bool		is_lacking;		/* a slot of ours has no node */
	bool		is_doubted;		/* it was asked for because of trouble */
	int			in_vain;		/* ... and was the same, in a row */
	OutboxTime	asked_at;
	OutboxTime	ask_at;

	bool		has_asynq;		/* it has queues of asynq */
	uint64		told;			/* the connection on which these were told; 0:
								 * none */

	/* of a node */
	OutboxTime	doubted_at;		/* when it had been silent for too long */
	OutboxTime	kept_until;		/* though no queue needs it; 0: it isn't */
} LinkCluster;

extern void outbox_link_cluster_init(Link *link);

/* a link that is down has got another server: is that a cluster? */
extern void outbox_cluster_begins(Link *link);

/* a link that is down is one to this node from now on */
extern void outbox_link_is_to_node(Link *link, Link *seed,
								   const OutboxMaster *node);

/* a link to a node is there until then, whether a queue needs it or not */
extern void outbox_link_is_kept(Link *link, OutboxTime until);

/* the node that has a slot, as far as the map of this seed knows; or NULL */
extern const OutboxMaster *outbox_node_of_slot(const Link *seed, int slot);

/* has anything changed in any map since this was asked last? */
extern bool outbox_maps_have_changed(void);

/* queues were read: has a seed any of asynq?  They are to be told again */
extern void outbox_cluster_has_queues(const Relay *relay, Link *link);

/* on this connection, have they not been told?  They are, then */
extern bool outbox_cluster_is_to_be_told(Link *seed, uint64 connection);

/* where a link that is down is to connect to */
extern const OutboxRedisHost *outbox_cluster_host(Link *link);

/* part of the handshake of a seed, and the answer */
extern void outbox_ask_for_map(Link *link, OutboxTime now);
extern void outbox_map_answer(Link *link, const OutboxReply *reply);

/* the map should be asked for soon; and again until a slot has a node */
extern void outbox_want_map(Link *seed);
extern void outbox_map_is_lacking(Link *seed);

/*
 * Does a node answer that the queue's slot is at another one, or on its way there?
 * Then the queue waits, or goes there.
 */
extern bool outbox_is_redirected(Relay *relay, Link *link,
								 const Request *request,
								 const OutboxReply *reply);

/*
 * One turn beside a link that is connected.  False if a seed is to ask another node,
 * without anything being wrong with the link.
 */
extern bool outbox_watch_cluster(Relay *relay, Link *link, OutboxTime now);

/* the link is about to end */
extern void outbox_leave_node(Link *link);

/* milliseconds until the map is to be asked for */
extern long outbox_ms_until_map(const Link *link, OutboxTime now);

#endif							/* OUTBOX_RELAY_CLUSTER_H */
