/*-------------------------------------------------------------------------
 *
 * streams.h
 *	  The streams in which consumers answer, read.
 *
 * Purpose: read what consumers return, and trim what has been kept long
 *	  enough.
 * Process: relay.
 * Transaction: none may be open; answers have one of their own.
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

typedef struct ConsumerStream
{
	char	   *key;
	bool		checked;		/* on this connection */
	EntryId		read;			/* recorded up to this one */
	EntryId		trimmed;		/* gone up to this one */
	EntryId		trim;			/* to be removed up to this one at trim_at */
	OutboxTime	trim_at;		/* OUTBOX_NEVER: none */
} ConsumerStream;

typedef struct QueueConsumer
{
	OutboxTime	read_at;		/* when to read next */
	bool		known;			/* how far the streams have been read */
	bool		refused;		/* Redis refuses to let us read */
	XLogRecPtr	lsn;			/* flushed before anything is trimmed */
	ConsumerStream streams[OUTBOX_CONSUMER_STREAMS];
} QueueConsumer;

extern void outbox_consumer_init(RelayQueue *queue);

/* the link is down: what was known of the streams' ends is not any more */
extern void outbox_consumer_is_cut_off(RelayQueue *queue);

/* milliseconds until something is to be read; LONG_MAX: never */
extern long outbox_ms_until_consumers(Relay *relay, OutboxTime now);

/* ask for what consumers have answered, where it is time to */
extern void outbox_read_consumers(Relay *relay, OutboxTime now);
extern void outbox_consumer_answer(const Request *request,
								   const OutboxReply *reply);

/* the queue is dropped: remove its streams */
extern void outbox_send_remove_streams(RelayQueue *queue);

#endif							/* OUTBOX_RELAY_STREAMS_H */
