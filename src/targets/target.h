/*-------------------------------------------------------------------------
 *
 * target.h
 *	  How a message becomes arguments of the apply script.
 *
 * Purpose: one encoder for each target.
 * Process: relay. Pure: no catalog, no socket.
 * Transaction: none needed.
 * Memory: appends to the caller's batch; scratch in the current context.
 * Errors: none of their own; what can't be sent was refused at enqueue.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_TARGET_H
#define OUTBOX_TARGET_H

#include "outbox.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/* arguments for the script, in the protocol's form, and how many */
typedef struct OutboxArgs
{
	StringInfoData data;
	int			count;
	TimestampTz now;			/* when the batch is made */

	/* streams: the run of messages with the same fields, see stream.c */
	int			run_shape;
	int			run_count;
	int			run_count_at;	/* where in data its number of messages is */
} OutboxArgs;

/* a piece of a message as Redis gets it */
typedef struct OutboxBytes
{
	const char *data;
	size_t		len;
} OutboxBytes;

/* the name of the script's branch that applies the target */
extern const char *outbox_target_branch(const OutboxQueue *queue);

extern void outbox_target_encode(OutboxArgs *args, const OutboxQueue *queue,
								 const OutboxMessage *msg);

/*
 * A message by itself: the number of its arguments, then these.
 */
extern void outbox_target_encode_alone(OutboxArgs *args,
									   const OutboxQueue *queue,
									   const OutboxMessage *msg);

/* one for each kind of target */
extern void outbox_encode_stream(OutboxArgs *args, const OutboxQueue *queue,
								 const OutboxMessage *msg);
extern void outbox_encode_stream_alone(OutboxArgs *args,
									   const OutboxQueue *queue,
									   const OutboxMessage *msg);
extern void outbox_encode_json(OutboxArgs *args, const OutboxMessage *msg);
extern void outbox_encode_asynq(OutboxArgs *args, const OutboxQueue *queue,
								const OutboxMessage *msg);

/* for the encoders */
extern void outbox_add_arg(OutboxArgs *args, const char *data, size_t len);
extern void outbox_add_number(OutboxArgs *args, int64 n);
extern OutboxBytes outbox_text_bytes(const struct varlena *text);
extern OutboxBytes outbox_utf8_bytes(const char *data, size_t len);
extern bool outbox_next_header(JsonbIterator **it, OutboxBytes *name,
							   OutboxBytes *value);
extern OutboxBytes outbox_headers_json(const OutboxMessage *msg);
extern OutboxBytes outbox_header(const OutboxMessage *msg, OutboxBytes name);
extern void outbox_uuid_text(const pg_uuid_t *uuid, char *buf);

/* a field of Watermill's entries, and no header */
#define OUTBOX_WATERMILL_UUID "_watermill_message_uuid"

#define OUTBOX_UUID_TEXT_LEN 36

#endif							/* OUTBOX_TARGET_H */
