/*-------------------------------------------------------------------------
 *
 * cluster_map.h
 *	  Which node of a Redis Cluster has which slot.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: read what nodes say of it, and remember it.
 * Process: relay; pure.
 * Transaction: none needed.
 * Memory: a map and its nodes are palloc'ed in the current context; a node that a
 *	  redirection names is added in the map's.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CLUSTER_MAP_H
#define OUTBOX_CLUSTER_MAP_H

#include "outbox.h"

#include "redis/limits.h"
#include "redis/master.h"
#include "redis/reply.h"
#include "redis_url.h"

typedef struct OutboxClusterMap
{
	int			nnodes;
	int			size;			/* of the array */
	OutboxMaster *nodes;
	int16		slots[OUTBOX_CLUSTER_SLOTS];	/* which of them; -1: none */
} OutboxClusterMap;

/* of the answer to CLUSTER SLOTS */
extern const OutboxReplyLimits outbox_cluster_map_limits;

/*
 * Read that answer, of the node that was asked as this host.  Returns NULL and what
 * is wrong with it, or a map.
 */
extern OutboxClusterMap *outbox_read_cluster_map(const OutboxReply *reply,
												 const OutboxRedisHost *asked,
												 const char **complaint);

extern void outbox_cluster_map_free(OutboxClusterMap *map);

/* returns the node that has a slot, NULL if none is known */
extern const OutboxMaster *outbox_cluster_map_node(const OutboxClusterMap *map,
												   int slot);

/* its address as text */
extern char *outbox_node_address(const OutboxMaster *node);

/*
 * Of the nodes that have slots, by their addresses: the first one that is not
 * before this address, or, if beyond, is behind it; NULL if there is none.
 */
extern const OutboxMaster *outbox_cluster_map_from(const OutboxClusterMap *map,
												   const char *address,
												   bool beyond);

/* how many slots have a node? */
extern int	outbox_cluster_map_covers(const OutboxClusterMap *map);

/*
 * Read "MOVED slot host:port", of a node that was asked as this host.  False if it
 * is none; the port is 0 if it does not say where.
 */
extern bool outbox_read_moved(const char *error, const OutboxRedisHost *asked,
							  int *slot, OutboxMaster *node);

/* the slot is there now */
extern void outbox_cluster_map_correct(OutboxClusterMap *map, int slot,
									   const OutboxMaster *node);

extern bool outbox_same_node(const OutboxMaster *a, const OutboxMaster *b);

#endif							/* OUTBOX_CLUSTER_MAP_H */
