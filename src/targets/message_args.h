/*-------------------------------------------------------------------------
 *
 * message_args.h
 *	  Parts of a message, and arguments for a script.
 *
 * Purpose: what all encoders share.
 * Process: relay. Pure: no catalog, no socket.
 * Transaction: none needed.
 * Memory: appends to the caller's batch; scratch in the current context.
 * Errors: none of their own; what can't be sent was refused at enqueue.
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

extern void outbox_add_arg(OutboxArgs *args, const char *data, size_t len);
extern void outbox_add_number(OutboxArgs *args, int64 n);

/* the next of the headers, in UTF-8; false if there are no more */
extern bool outbox_next_header(JsonbIterator **it, OutboxBytes *name,
							   OutboxBytes *value);

/* the headers as JSON; {} if there are none */
extern OutboxBytes outbox_headers_json(const OutboxMessage *msg);

/* one of the headers, in the server's encoding; data NULL: it isn't there */
extern OutboxBytes outbox_header(const OutboxMessage *msg, OutboxBytes name);

#endif							/* OUTBOX_MESSAGE_ARGS_H */
