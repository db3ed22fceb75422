/*-------------------------------------------------------------------------
 *
 * published.h
 *	  Figures of a queue's partitions, added up.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: make one of several OutboxPublished.
 * Process: relay and backend.  Pure.
 * Transaction: none needed.
 * Memory: none.
 * Errors: none.
 * Locks: those of the structs, if they are in shared memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_PUBLISHED_H
#define OUTBOX_PUBLISHED_H

#include "outbox.h"

#include "shmem.h"

/* OutboxPublished.partition of figures that are those of several */
#define OUTBOX_PARTITIONS_TOGETHER	(-1)

/*
 * Add the figures of a partition to those of the queue, or of its other partitions.
 * The state is the worst one, with its reason; latencies are the longest ones.
 */
extern void outbox_published_add(OutboxPublished *queue, const OutboxPublished *partition);

/* in the order of queues and partitions */
extern void outbox_published_sort(OutboxPublished *published, int n);

#endif							/* OUTBOX_PUBLISHED_H */
