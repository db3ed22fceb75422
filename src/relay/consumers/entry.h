/*-------------------------------------------------------------------------
 *
 * entry.h
 *	  An entry that a consumer has added to one of its streams.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: make a message of the entry.
 * Process: relay.  Reads the catalog only for conversions, where the server's
 *	  encoding isn't UTF-8.
 * Transaction: the caller's.
 * Memory: results are palloc'ed in the current context.
 * Errors: none for whatever the entry holds.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CONSUMER_ENTRY_H
#define OUTBOX_CONSUMER_ENTRY_H

#include "outbox.h"

#include "redis/reply.h"

typedef struct ConsumerEntry
{
	OutboxMessage msg;			/* id, kind, type, key, headers, payload */
	int			attempt;		/* the number of the delivery; 0: not known */
	const char *error;			/* the consumer's words, in the server's
								 * encoding */
	const char *fault;			/* what is wrong with the entry; or NULL */
} ConsumerEntry;

/* read an entry's fields, an array of names and values in turn */
extern void outbox_parse_entry(const OutboxReply *fields, ConsumerEntry *entry);

#endif							/* OUTBOX_CONSUMER_ENTRY_H */
