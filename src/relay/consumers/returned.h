/*-------------------------------------------------------------------------
 *
 * returned.h
 *	  What becomes of a message that a consumer returns.
 *
 * Purpose: record it, to be delivered again or given up; forget what is old.
 * Process: relay.
 * Transaction: the caller's, but outbox_forget_returned() has its own.
 * Memory: nothing is kept.
 * Errors: those of SQL; a WARNING for an entry that is no message.
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

/* begin a step in which messages may be returned; false if it can't be now */
extern bool outbox_begin_returned_step(void);

/*
 * Record what a consumer has returned: the fields of an entry; where it was,
 * for messages to users; whether it is to be given up at once.
 */
extern void outbox_take_returned(RelayQueue *queue, const OutboxReply *fields,
								 const char *where, bool is_dead,
								 TimestampTz now);

/*
 * What was returned of these messages is of the past: they have been staged
 * again.  SPI is connected, outbox.returned is locked.
 */
extern void outbox_forget_messages(int32 queue, Datum *ids, int n);

/* now and then: forget what is a day old */
extern void outbox_forget_returned(OutboxTime now);

#endif							/* OUTBOX_RELAY_RETURNED_H */
