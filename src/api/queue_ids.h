/*-------------------------------------------------------------------------
 *
 * queue_ids.h
 *	  Ids for a queue and its partitions.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: draw them from outbox.queue_id.
 * Process: backend.
 * Transaction: the caller's, with SPI connected as the tables' owner.
 * Memory: none.
 * Errors: OBJECT_NOT_IN_PREREQUISITE_STATE for a sequence that was changed.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_QUEUE_IDS_H
#define OUTBOX_QUEUE_IDS_H

#include "outbox.h"

/* returns the first of so many ids that follow each other and are new */
extern int32 outbox_new_queue_ids(int partitions);

#endif							/* OUTBOX_QUEUE_IDS_H */
