/*-------------------------------------------------------------------------
 *
 * message_args.h
 *	  Parts of a message, and arguments for a script.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: read the parts of a message that several encoders need; append
 *	  arguments.
 * Process: relay.  Pure: no catalog, no socket.
 * Transaction: none needed.
 * Memory: appends to the caller's arguments; scratch in the current context.
 * Errors: none of its own; what cannot be sent was refused at enqueue.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_MESSAGE_ARGS_H
#define OUTBOX_MESSAGE_ARGS_H

#include "outbox.h"

#include "convert.h"
#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/* arguments for a script, in the form of Redis's protocol */
typedef struct OutboxArgs
{
	StringInfoData data;
	int			count;
	TimestampTz now;			/* the time at which the batch is made */

	/* for streams: the current run of messages, see stream.c */
	int			run_shape;
	int			run_count_at;	/* the place of its number of messages in data */
} OutboxArgs;

/* append one argument */
extern void outbox_add_arg(OutboxArgs *args, const char *data, size_t len);
extern void outbox_add_number(OutboxArgs *args, int64 n);

/* get the next header, in UTF-8; returns false after the last one */
extern bool outbox_next_header(JsonbIterator **it, OutboxBytes *name,
							   OutboxBytes *value);

/* returns the headers as JSON in UTF-8; {} if there are none */
extern OutboxBytes outbox_headers_json(const OutboxMessage *msg);

/* returns one header, in the server's encoding; data NULL if there is none */
extern OutboxBytes outbox_header(const OutboxMessage *msg, OutboxBytes name);

/* the option of asynq's and Watermill's messages that is their id there */
#define OUTBOX_OPTION_MESSAGE_ID "message_id"

/* returns an option that is a string, in the server's encoding; len 0 for none */
extern OutboxBytes outbox_text_option(const struct varlena *options,
									  const char *name);

#endif							/* OUTBOX_MESSAGE_ARGS_H */
