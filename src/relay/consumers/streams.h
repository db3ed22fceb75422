/*-------------------------------------------------------------------------
 *
 * streams.h
 *	  Read the streams to which consumers return messages.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: ask for new entries, have them recorded, trim the streams.
 * Process: relay.
 * Transaction: none may be open; functions have their own.
 * Memory: a part of the queue.
 * Errors: those of SQL; a WARNING where Redis refuses or has lost something.
 * Locks: those of outbox_begin_returned_step(), if they can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_STREAMS_H
#define OUTBOX_RELAY_STREAMS_H

#include "outbox.h"

#include "access/xlogdefs.h"
#include "clock.h"
#include "relay/base/link.h"
#include "relay/base/state.h"
#include "relay/consumers/read_position.h"

typedef struct ConsumerStream
{
	char	   *key;
	bool		checked;		/* its last id, on this connection */
	EntryId		read;			/* entries up to this one are recorded */
	EntryId		trimmed;		/* entries up to this one are removed */
	EntryId		trim;			/* entries up to this one are removed ... */
	OutboxTime	trim_at;		/* ... at this time; OUTBOX_NEVER: none */
} ConsumerStream;

typedef struct QueueConsumer
{
	OutboxTime	read_at;		/* when to read next */
	char	   *address;		/* of the Redis of which the positions are;
								 * NULL: they haven't been read from the table */
	bool		alone;			/* to be read by itself, see streams.c */
	int			look;			/* the number of the look under way; 0: none */
	bool		trim_refused;	/* the last one */
	char		trouble[OUTBOX_QUEUE_TEXT_SIZE];	/* why it can't be read */
	XLogRecPtr	lsn;			/* to be flushed before a stream is trimmed */
	ConsumerStream streams[OUTBOX_CONSUMER_STREAMS];
} QueueConsumer;

extern void outbox_consumer_init(RelayQueue *queue);

/* the link is down: the streams have to be checked on the next connection */
extern void outbox_consumer_is_cut_off(RelayQueue *queue);

/* milliseconds until a stream is to be read; LONG_MAX: none */
extern long outbox_ms_until_consumers(Relay *relay, OutboxTime now);

/* send the requests that are due */
extern void outbox_read_consumers(Relay *relay, OutboxTime now);

/* an answer could not be dealt with: read again later */
extern void outbox_consumer_failed(RelayQueue *queue, const char *error);

/* deal with the answer to one of them */
extern void outbox_consumer_answer(Relay *relay, const Request *request,
								   const OutboxReply *reply);

/* ... which is an error, or none that Redis gives */
extern void outbox_consumer_refused(Relay *relay, const Request *request,
									const char *error);

/* ... which says that the slot of a queue's streams is moving */
extern void outbox_consumer_waits_for_slot(const Request *request,
										   const char *why);

/* remove the streams of a dropped queue */
extern void outbox_send_remove_streams(RelayQueue *queue);

#endif							/* OUTBOX_RELAY_STREAMS_H */
