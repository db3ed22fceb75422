/*-------------------------------------------------------------------------
 *
 * cluster_fault.h
 *	  Which queues can be delivered to a Redis Cluster.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: say why one can't be.
 * Process: backend and relay.  Pure: no catalog, no socket.
 * Transaction: none needed.
 * Memory: none, or palloc'ed in the current context.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CLUSTER_FAULT_H
#define OUTBOX_CLUSTER_FAULT_H

#include "outbox.h"

/*
 * Returns why not, and in *hint what can be done, or NULL.  redis_key must be in
 * UTF-8.  Which keys a queue's commands name is not looked at here.
 */
extern const char *outbox_cluster_fault(const OutboxQueue *queue,
										const char **hint);

#endif							/* OUTBOX_CLUSTER_FAULT_H */
