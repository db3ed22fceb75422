/*-------------------------------------------------------------------------
 *
 * enqueue.h
 *	  Enqueueing from C, for outbox_enqueue() and for triggers.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: check a message and stage it.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: results are palloc'ed in the current context.
 * Errors: PROGRAM_LIMIT_EXCEEDED, INVALID_PARAMETER_VALUE, those of encoding
 *	  conversion and of staging.
 * Locks: those of staging.  The caller has locked the queue, see
 *	  outbox_queue_use().
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_ENQUEUE_H
#define OUTBOX_ENQUEUE_H

#include "outbox.h"

#include "fmgr.h"
#include "utils/jsonb.h"

/* an error unless this is an object of strings that have a form in UTF-8 */
extern void outbox_check_headers(Jsonb *headers);

/* an error if nothing can be written here */
extern void outbox_check_can_enqueue(const char *function);

/*
 * Returns the time at which a message is due, of the arguments for a delay and a
 * time; 0 for now.
 */
extern TimestampTz outbox_due_argument(FunctionCallInfo fcinfo, int delay,
									   int deliver_at);

/* returns the time as it is meant for outbox_enqueue_message() */
extern TimestampTz outbox_due_at(TimestampTz deliver_at);

/* may a payload be null? */
extern bool outbox_takes_null(const OutboxQueue *queue);

/* returns a value's bytes; NULL for a null, an error where there must be none */
extern struct varlena *outbox_payload_or_null(const OutboxQueue *queue, Oid type,
											  Datum value, bool isnull);

/* returns text that has a form in UTF-8, or an error */
extern struct varlena *outbox_utf8_text(Datum value);

/*
 * Returns how many bytes payload and key of a message may have, by the limit, its
 * type and what the target adds; 0 if none.
 */
extern size_t outbox_message_room(const OutboxQueue *queue, const OutboxMessage *msg);

/*
 * Complete the message's options and check its size, give it an id if it has
 * none (the nil UUID), stage it or defer it until it is due, and have the relay
 * woken.  The caller has filled in kind, payload, type, key and headers, whose
 * text must have a form in UTF-8, and the options as they were given.  due is 0
 * for now.
 */
extern void outbox_enqueue_message(const OutboxQueue *queue, OutboxMessage *msg,
								   TimestampTz due);

/* the same for OUTBOX_STAGING_CHUNK messages at most, in their order */
extern void outbox_enqueue_messages(const OutboxQueue *queue, OutboxMessage *msgs,
									int n, TimestampTz due);

#endif							/* OUTBOX_ENQUEUE_H */
