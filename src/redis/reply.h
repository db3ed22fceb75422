/*-------------------------------------------------------------------------
 *
 * reply.h
 *	  A reply of Redis.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: read a reply without including hiredis.
 * Process: relay.
 * Transaction: none needed.
 * Memory: allocated by hiredis with malloc, until outbox_reply_free().
 * Errors: none; what a reply does not have is empty.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_REPLY_H
#define OUTBOX_REPLY_H

#include "outbox.h"

typedef struct redisReply OutboxReply;

/* what a reply is, as bits of a set */
#define OUTBOX_REPLY_ERROR		(1 << 0)
#define OUTBOX_REPLY_STATUS		(1 << 1)
#define OUTBOX_REPLY_STRING		(1 << 2)
#define OUTBOX_REPLY_INTEGER	(1 << 3)
#define OUTBOX_REPLY_ARRAY		(1 << 4)
#define OUTBOX_REPLY_NIL		(1 << 5)
#define OUTBOX_REPLY_OTHER		(1 << 6)	/* of a protocol not asked for */
#define OUTBOX_REPLY_ANY		((1 << 6) - 1)	/* all but OTHER */

/* one of them */
extern int	outbox_reply_type(const OutboxReply *reply);
extern bool outbox_reply_is_error(const OutboxReply *reply);
extern bool outbox_reply_is_array(const OutboxReply *reply);

/* the number of an integer, 0 of anything else */
extern int64 outbox_reply_integer(const OutboxReply *reply);

/* the text of a string, a status or an error; "" of anything else */
extern const char *outbox_reply_string(const OutboxReply *reply);

/* the length of that text, which may contain zero bytes */
extern size_t outbox_reply_size(const OutboxReply *reply);

/* the number of an array's elements, 0 of anything else; and an element */
extern size_t outbox_reply_length(const OutboxReply *reply);
extern const OutboxReply *outbox_reply_element(const OutboxReply *reply,
											   size_t n);

/* is it an array, and each of its elements one of these types? */
extern bool outbox_reply_is_array_of(const OutboxReply *reply, int types);

/* the text of an element, and the number in it; "" and 0 if there is none */
extern const char *outbox_reply_element_string(const OutboxReply *reply,
											   size_t n);
extern uint64 outbox_reply_element_number(const OutboxReply *reply, size_t n);

extern void outbox_reply_free(OutboxReply *reply);

#endif							/* OUTBOX_REPLY_H */
