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

/* begin a step with the locks to record returned messages, if they can be had */
extern bool outbox_begin_returned_step(void);

/*
 * Record the message in an entry with these fields, to be delivered again or,
 * with is_dead, to be given up at once.  "where" names the entry in the log.
 */
extern void outbox_take_returned(RelayQueue *queue, const OutboxReply *fields,
								 const char *where, bool is_dead,
								 TimestampTz now);

/*
 * Delete the records of messages that have been staged again on purpose.  SPI
 * is connected, outbox.returned is locked.
 */
extern void outbox_forget_messages(int32 queue, Datum *ids, int n);

/* to be called now and then: delete old records */
extern void outbox_forget_returned(OutboxTime now);

#endif							/* OUTBOX_RELAY_RETURNED_H */
