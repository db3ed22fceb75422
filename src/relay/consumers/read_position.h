/*-------------------------------------------------------------------------
 *
 * read_position.h
 *	  How far the streams of consumers have been read.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: the ids of entries; read and write the positions of a queue.
 * Process: relay.
 * Transaction: outbox_load_read_positions() has its own; to write is in the
 *	  caller's.
 * Memory: texts are palloc'ed in the current context.
 * Errors: those of SQL.
 * Locks: on outbox.consumer_position, if it can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_READ_POSITION_H
#define OUTBOX_RELAY_READ_POSITION_H

#include "outbox.h"

#include "relay/base/state.h"

typedef enum ConsumerStreamKind
{
	STREAM_RETRY,
	STREAM_DEAD
} ConsumerStreamKind;

#define OUTBOX_CONSUMER_STREAMS (STREAM_DEAD + 1)

/* the id of an entry */
typedef struct EntryId
{
	uint64		ms;
	uint64		n;
} EntryId;

extern bool outbox_parse_entry_id(const char *text, EntryId *id);
extern char *outbox_entry_id_text(EntryId id);
extern bool outbox_entry_is_before(EntryId a, EntryId b);
extern EntryId outbox_next_entry_id(EntryId id);

/*
 * How far a relay has read each stream in the Redis that the queue's link connects
 * to; unchanged where there is nothing.
 * False if the table is locked.
 */
extern bool outbox_load_read_positions(const RelayQueue *queue, EntryId *read);
extern void outbox_write_read_positions(const RelayQueue *queue,
										const EntryId *read);

#endif							/* OUTBOX_RELAY_READ_POSITION_H */
