/*-------------------------------------------------------------------------
 *
 * message_id.h
 *	  The ids of messages.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: give a message its id.
 * Process: backend.
 * Transaction: none needed.
 * Memory: scratch in the current context.
 * Errors: INVALID_PARAMETER_VALUE; INTERNAL_ERROR if there is no randomness.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_MESSAGE_ID_H
#define OUTBOX_MESSAGE_ID_H

#include "outbox.h"

/*
 * Set the id: the caller's, one made from the option "message_id", or a new one
 * of now.  The caller has filled in options, and id or the nil UUID.
 */
extern void outbox_identify_message(const OutboxQueue *queue, OutboxMessage *msg,
									TimestampTz now);

#endif							/* OUTBOX_MESSAGE_ID_H */
