/*-------------------------------------------------------------------------
 *
 * published_places.h
 *	  Where the relay publishes the figures of its queues.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: shared memory for as many queues as a database has.
 * Process: relay and backend.
 * Transaction: none needed.
 * Memory: a segment of dynamic shared memory, which the relay has made.
 * Errors: outbox_published_room() throws if there is no memory.
 * Locks: OutboxShared.lock is held by the caller, but not for
 *	  outbox_published_room().
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_PUBLISHED_PLACES_H
#define OUTBOX_PUBLISHED_PLACES_H

#include "outbox.h"

#include "shmem.h"

/*
 * The relay's own places, n of them or more.  Those that there were before keep
 * what they had.
 */
extern OutboxPublished *outbox_published_room(OutboxSlot *slot, int n);

/*
 * For backends: a slot's places, slot->npublished of them, or NULL.  The segment is
 * to be given back by dsm_detach() when they have been read.
 */
extern const OutboxPublished *outbox_published_attach(const OutboxSlot *slot,
													  dsm_segment **segment);

#endif							/* OUTBOX_PUBLISHED_PLACES_H */
