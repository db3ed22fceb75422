/*-------------------------------------------------------------------------
 *
 * outbox.h
 *	  The words that every file of outbox shares.
 *
 * queue     a named destination with its settings
 * message   one enqueued payload with its type, key and headers
 * staging   the append-only tables where committed messages wait
 * seq       a message's number, from one sequence with CACHE 1
 * relay     the background worker that delivers one database's messages
 * launcher  the static worker that starts a relay for each database that has
 *			 the extension
 * tick      the messages that became visible between two snapshots
 * cursor    how far Redis has got, kept in Redis beside the data
 * covered   within the cursor's position
 * skipped   covered, but not applied yet
 * deferred  the table of messages that can't just wait in staging
 * dead letter	a message given up on, kept with its history
 * target    how a message becomes Redis commands
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_H
#define OUTBOX_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"

#define OUTBOX_SCHEMA		"outbox"
#define OUTBOX_EXTENSION	"outbox"

/* the longest queue name, in characters */
#define OUTBOX_MAX_QUEUE_NAME	200

/* the number of staging tables; outbox.staging_1 is number 0 */
#define OUTBOX_STAGING_TABLES	2

/* the tables that messages of the past may be in: staging and these */
#define OUTBOX_TABLE_DEFERRED	OUTBOX_STAGING_TABLES
#define OUTBOX_TABLE_DEAD_LETTER (OUTBOX_STAGING_TABLES + 1)
#define OUTBOX_TABLES			(OUTBOX_STAGING_TABLES + 2)

/* what the payload was given as, the column "kind" of staging */
#define OUTBOX_KIND_BYTEA	'b'
#define OUTBOX_KIND_JSONB	'j'
#define OUTBOX_KIND_TEXT	't'

/* why a row is in outbox.deferred, by the first letter of its reason */
#define OUTBOX_DELAYED		'd' /* staged at due_at */
#define OUTBOX_RETRIED		'r' /* tried again at due_at */
#define OUTBOX_BEHIND		'b' /* behind another one of its key */
#define OUTBOX_EVACUATED	'e' /* its queue stands still, staging was emptied */
#define OUTBOX_APPLIED		'a' /* delivered at due_at, retained */
#define OUTBOX_DEAD			'x' /* it is a dead letter */

/* how a message becomes Redis commands */
typedef enum OutboxTarget
{
	OUTBOX_TARGET_STREAM,		/* XADD */
	OUTBOX_TARGET_LIST,			/* RPUSH */
	OUTBOX_TARGET_PUBLISH,		/* PUBLISH */
	OUTBOX_TARGET_ASYNQ,		/* a task, see asynq.c */
	OUTBOX_TARGET_WATERMILL,	/* XADD, see stream.c */
	OUTBOX_TARGET_COMMANDS,		/* commands of the queue's, see commands.c */
	OUTBOX_TARGET_FUNCTION		/* a function of the queue's, see script.c */
} OutboxTarget;

/* what a list's or a channel's message consists of */
typedef enum OutboxFormat
{
	OUTBOX_FORMAT_NONE,			/* the target has no formats */
	OUTBOX_FORMAT_JSON,			/* one JSON object */
	OUTBOX_FORMAT_RAW			/* the payload's bytes */
} OutboxFormat;

/* what happens to a message that Redis refuses */
typedef enum OutboxOnFailure
{
	OUTBOX_BLOCK,				/* the queue stands still */
	OUTBOX_RETRY,				/* it is tried again later */
	OUTBOX_DEAD_LETTER			/* it is set aside */
} OutboxOnFailure;

/* a queue's settings, a row of outbox.queue */
typedef struct OutboxQueue
{
	int32		id;
	char	   *name;
	OutboxTarget target;
	OutboxFormat format;
	char	   *redis_key;
	int64		maxlen;			/* 0: no limit */
	OutboxOnFailure on_failure;
	int			max_attempts;
	int64		retry_delay;	/* microseconds, like all times here */
	double		retry_backoff;
	int64		retry_max_delay;
	int64		expires_after;	/* 0: never */
	TimestampTz paused_at;		/* 0: not paused */
	struct varlena *options;	/* jsonb or NULL, see options.h */
	struct OutboxTemplate *template;	/* of them, in the relay; or NULL */
	bool		consumer_retry; /* consumers answer through streams */
} OutboxQueue;

/*
 * A message as a row of staging.  The varlena members are detoasted where a
 * target gets them; text is in the server's encoding, payload is as Redis
 * gets it.
 */
typedef struct OutboxMessage
{
	uint64		xid;			/* the top transaction's full id */
	uint64		seq;
	TimestampTz enqueued_at;
	pg_uuid_t	id;
	int32		queue;
	int32		timeline;
	int16		attempts;
	char		kind;
	struct varlena *type;		/* text or NULL */
	struct varlena *key;		/* text or NULL */
	struct varlena *headers;	/* jsonb or NULL */
	struct varlena *payload;	/* bytea */
	struct varlena *history;	/* jsonb or NULL */
	struct varlena *options;	/* jsonb or NULL, see options.h */
	char		reason;			/* of a deferred row, see above; else 0 */
} OutboxMessage;

#endif							/* OUTBOX_H */
