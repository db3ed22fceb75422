/*-------------------------------------------------------------------------
 *
 * partition.h
 *	  A queue's partitions: their numbers, and their places in Redis.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: choose a message's partition; name the partitions' keys.
 * Process: both.  Pure: no catalog, no socket.
 * Transaction: none needed.
 * Memory: what is returned is palloc'ed in the current context.
 * Errors: a key that has no form in UTF-8.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_PARTITION_H
#define OUTBOX_PARTITION_H

#include "outbox.h"

#include "nodes/pg_list.h"

#define OUTBOX_MAX_PARTITIONS	1024

/* returns the id of the queue that a partition belongs to */
static inline int32
outbox_queue_of(const OutboxQueue *queue)
{
	return queue->id - queue->partition;
}

/* is this the id of the queue, or of one of its partitions? */
static inline bool
outbox_queue_has_id(const OutboxQueue *queue, int32 id)
{
	return id >= queue->id && id - queue->id < queue->partitions;
}

/* returns the checksum by which Redis Cluster finds slots */
extern uint16 outbox_crc16(const char *data, size_t len);

/* returns which partition a message with this key, or this number, goes to */
extern int	outbox_partition_of_key(const OutboxQueue *queue,
									const struct varlena *key);
extern int	outbox_partition_of_seq(const OutboxQueue *queue, uint64 seq);

/* find the hash tag of a key in Redis; false if it has none */
extern bool outbox_find_tag(const char *redis_key, const char **tag, int *len);

/* returns the slot of a key in Redis Cluster; and of one that is in UTF-8 */
extern int	outbox_slot_of(const char *redis_key);
extern int	outbox_slot_of_bytes(const char *key);

/* returns the redis_key of a partition; that of the queue if it has only one */
extern char *outbox_partition_redis_key(const OutboxQueue *queue, int partition);

/* returns what to call a queue or a partition in a message */
extern char *outbox_queue_title(const OutboxQueue *queue);

/* returns a partition as if it was a queue */
extern OutboxQueue *outbox_make_partition(const OutboxQueue *queue, int partition);

/* returns the partitions of these queues, those of a queue in order */
extern List *outbox_partition_list(const List *queues);

#endif							/* OUTBOX_PARTITION_H */
