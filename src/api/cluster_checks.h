/*-------------------------------------------------------------------------
 *
 * cluster_checks.h
 *	  A queue's server may be a Redis Cluster.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: refuse a queue that can't be delivered to one.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: none that stays.
 * Errors: FEATURE_NOT_SUPPORTED.
 * Locks: OutboxShared.lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CLUSTER_CHECKS_H
#define OUTBOX_CLUSTER_CHECKS_H

#include "outbox.h"

/*
 * Of the queue, as it will be, these are looked at: name, target, redis_key,
 * partitions, consumer_retry, server, options.
 */
extern void outbox_check_cluster(const OutboxQueue *queue);

#endif							/* OUTBOX_CLUSTER_CHECKS_H */
