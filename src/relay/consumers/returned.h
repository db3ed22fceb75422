/*-------------------------------------------------------------------------
 *
 * returned.h
 *	  Record a message that a consumer has returned.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: have the message delivered again or give it up; delete old records.
 * Process: relay.
 * Transaction: the caller's, but outbox_forget_returned() has its own.
 * Memory: nothing is kept.
 * Errors: those of SQL; a WARNING for an entry without a usable payload.
 * Locks: those of outbox_begin_returned_step(), if they can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_RETURNED_H
#define OUTBOX_RELAY_RETURNED_H

#include "outbox.h"

#include "clock.h"
#include "redis/reply.h"
#include "relay/base/state.h"
#include "relay/consumers/read_position.h"

/* begin a step with the locks to record returned messages, if they can be had */
extern bool outbox_begin_returned_step(void);

/*
 * Record what was read from a queue's streams, and in *read how far they are read
 * now, in one transaction; *most becomes the number of entries of the stream that
 * had more.  False if the locks can't be had.
 */
extern bool outbox_record_returned(RelayQueue *queue, const char *dead_key,
								   const OutboxReply *reply, EntryId *read,
								   TimestampTz now, size_t *most);

/*
 * Delete the records of messages that have been staged again on purpose.  SPI
 * is connected, outbox.returned is locked.
 */
extern void outbox_forget_messages(int32 queue, Datum *ids, int n);

/* to be called now and then: delete old records */
extern void outbox_forget_returned(OutboxTime now);

#endif							/* OUTBOX_RELAY_RETURNED_H */
