/*-------------------------------------------------------------------------
 *
 * publish.h
 *	  Publish the state of each queue.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: write to shared memory what outbox.status, outbox.queue_status and
 *	  outbox_drop_queue() read.
 * Process: relay.
 * Transaction: none needed.
 * Memory: shared, see published_places.h.
 * Errors: lack of shared memory.
 * Locks: OutboxShared.lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_PUBLISH_H
#define OUTBOX_RELAY_PUBLISH_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/state.h"

/* publish the counts and the state of each queue; true */
extern bool outbox_publish_queues(Relay *relay, OutboxTime now);

/* subtract what was delivered since then from the published total */
extern void outbox_publish_waiting(Relay *relay);

#endif							/* OUTBOX_RELAY_PUBLISH_H */
