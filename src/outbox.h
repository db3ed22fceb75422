/*-------------------------------------------------------------------------
 *
 * outbox.h
 *	  The words that every file of outbox shares.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: define what a queue and a message are.
 * Process: all.  Transaction: none needed.
 * Memory: the structs' pointers belong to whoever fills them in.
 * Errors: none.  Locks: none.
 *
 * queue     a named destination with its settings
 * message   one enqueued payload with its type, key and headers
 * key       messages of a queue with the same key keep their order
 * partition	a part of a queue that has a place in Redis and a cursor of its own
 * staging   the append-only tables where committed messages wait
 * seq       a message's number, from one sequence with CACHE 1
 * relay     the background worker that delivers one database's messages
 * launcher  the static worker that starts a relay for each database that has
 *			 the extension
 * tick      a queue's messages that are visible in one snapshot and not in an
 *			 earlier one
 * run       one life of a server's shared memory, see server_run.h
 * position  how far a queue has got: LSN, two snapshots and a seq
 * cursor    the position that Redis has, a hash beside the data
 * covered   within a position
 * skip list the seqs of messages that the cursor covers and Redis has not applied
 * applied   covered and not in the skip list
 * deferred  the table of messages that cannot wait in staging, as they are not
 *			 due, refused, behind a refused one, or evacuated
 * evacuated moved out of staging, because the queue stands still
 * dead letter	a message that was given up, kept with its history
 * target    how a message becomes Redis commands
 *
 * docs/protocol.md explains them.
 *
 * Where a message is, as users read it: states in outbox.messages, columns of
 * outbox.queue_status.  Where its row lies has no word there.
 *
 * waiting   its turn has not come
 * delayed   it is not due yet
 * retrying  Redis has refused it, or a refused one with the same key is before it
 * held      it waits for outbox_release(), as all of the database does
 * delivered Redis has it
 * dead letter	it was given up
 *
 * A relay is held or fenced, a queue is blocked or paused, a message is refused by
 * Redis and returned by a consumer.  (In src/relay a key is held whose messages are
 * behind a refused one: held.h.)
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

/* the number of slots that a Redis Cluster has */
#define OUTBOX_CLUSTER_SLOTS	16384

/* the number of staging tables; outbox.staging_1 is number 0 */
#define OUTBOX_STAGING_TABLES	2

/* the other tables that have messages with a seq, numbered after staging */
#define OUTBOX_TABLE_DEFERRED	OUTBOX_STAGING_TABLES
#define OUTBOX_TABLE_DEAD_LETTER (OUTBOX_STAGING_TABLES + 1)
#define OUTBOX_TABLES			(OUTBOX_STAGING_TABLES + 2)

/* what a queue's payloads are; of a staged one, the column "kind" */
#define OUTBOX_PAYLOAD_BYTEA	'b'
#define OUTBOX_PAYLOAD_JSON		'j'
#define OUTBOX_PAYLOAD_TEXT		't'

/* why a row is in outbox.deferred, by the first letter of its reason */
#define OUTBOX_DELAYED		'd' /* staged at due_at */
#define OUTBOX_RETRIED		'r' /* tried again at due_at */
#define OUTBOX_BEHIND		'b' /* waits behind a retried one of its key */
#define OUTBOX_EVACUATED	'e' /* its queue stands still, staging was emptied */
#define OUTBOX_APPLIED		'a' /* delivered at due_at, retained */
#define OUTBOX_DEAD			'x' /* it is a dead letter */

/* where a message is, see above */
#define OUTBOX_MESSAGE_WAITING	"waiting"
#define OUTBOX_MESSAGE_DELAYED	"delayed"
#define OUTBOX_MESSAGE_RETRYING "retrying"
#define OUTBOX_MESSAGE_HELD		"held"
#define OUTBOX_MESSAGE_DELIVERED	"delivered"

/*
 * Why all messages of a database are held, as outbox.status shows it and
 * outbox_release() wants it.
 */
#define OUTBOX_HELD_COPY		"copy"	/* CREATE DATABASE has copied it */
#define OUTBOX_HELD_RESTORED	"restored"	/* from a dump or a backup */
#define OUTBOX_HELD_SET_BACK	"set back"	/* Redis knows a later state of it */
#define OUTBOX_HELD_FOREIGN		"foreign"	/* Redis knows another history */
#define OUTBOX_HELD_FENCED		"fenced"	/* another server was promoted */

/* how a message becomes Redis commands */
typedef enum OutboxTarget
{
	OUTBOX_TARGET_STREAM,		/* XADD */
	OUTBOX_TARGET_LIST,			/* RPUSH */
	OUTBOX_TARGET_PUBLISH,		/* PUBLISH */
	OUTBOX_TARGET_ASYNQ,		/* a task, see asynq.c */
	OUTBOX_TARGET_WATERMILL,	/* XADD, see stream.c */
	OUTBOX_TARGET_COMMANDS,		/* the queue's commands, see commands.c */
	OUTBOX_TARGET_FUNCTION,		/* the queue's function, see script.c */
	OUTBOX_TARGET_CELERY,		/* a job, see jobs.c; so are the next */
	OUTBOX_TARGET_SIDEKIQ,
	OUTBOX_TARGET_RQ,
	OUTBOX_TARGET_DRAMATIQ
} OutboxTarget;

/* what a list or a channel gets of a message */
typedef enum OutboxFormat
{
	OUTBOX_FORMAT_NONE,			/* the target has no formats */
	OUTBOX_FORMAT_JSON,			/* one JSON object */
	OUTBOX_FORMAT_RAW			/* the payload's bytes */
} OutboxFormat;

/* what a message says on request beside itself */
#define OUTBOX_FIELD_ENQUEUED_AT	1
#define OUTBOX_FIELD_QUEUE			2

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
	int32		id;				/* rows have it; see partition.h */
	int			partitions;		/* their number */
	int			partition;		/* which one; only in partition lists, else 0 */
	char	   *name;
	Oid			view;			/* with the rights, see view.h */
	OutboxTarget target;
	OutboxFormat format;
	char		payload_type;	/* OUTBOX_PAYLOAD_... */
	int			fields;			/* OUTBOX_FIELD_..., added up */
	char	   *redis_key;
	int64		maxlen;			/* 0: no limit */
	OutboxOnFailure on_failure;
	int			max_attempts;
	int64		retry_delay;	/* microseconds, like all times here */
	double		retry_backoff;
	int64		retry_max_delay;
	int64		expires_after;	/* 0: never */
	TimestampTz paused_at;		/* 0: not paused */
	TimestampTz created_at;		/* stays when the queue gets a new id */
	struct varlena *options;	/* jsonb or NULL, see options.h */
	struct OutboxTemplate *template;	/* the commands in options, compiled;
										 * only in the relay, else NULL */
	bool		consumer_retry; /* consumers return messages in streams */
	char	   *server;			/* NULL: the default one */
	char	   *moving_from;	/* its server until the cursor is moved; or
								 * NULL */
} OutboxQueue;

/*
 * A message as a row of staging.  The varlena members are detoasted before a
 * target gets them.  Text is in the server's encoding, payload is as Redis gets
 * it.
 */
typedef struct OutboxMessage
{
	uint64		xid;			/* the top transaction's full id */
	uint64		seq;
	TimestampTz enqueued_at;
	pg_uuid_t	id;
	uint64		lsn;			/* WAL was flushed up to here when the row was
								 * written; 0: out of a dump */
	int32		queue;
	int16		attempts;
	char		kind;
	struct varlena *type;		/* text or NULL */
	struct varlena *key;		/* text or NULL */
	struct varlena *headers;	/* jsonb or NULL */
	struct varlena *payload;	/* bytea */
	struct varlena *history;	/* jsonb or NULL */
	struct varlena *options;	/* jsonb or NULL, see options.h */
	char		reason;			/* why the row is deferred, see above; or 0 */
} OutboxMessage;

#endif							/* OUTBOX_H */
