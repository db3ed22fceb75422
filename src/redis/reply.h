/*-------------------------------------------------------------------------
 *
 * reply.h
 *	  What Redis has answered.
 *
 * Purpose: read a reply without knowing hiredis.
 * Process: relay.
 * Transaction: none needed.
 * Memory: hiredis's, by malloc, until outbox_reply_free().
 * Errors: none; what a reply has not is empty.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_REPLY_H
#define OUTBOX_REPLY_H

#include "outbox.h"

typedef struct redisReply OutboxReply;

extern bool outbox_reply_is_error(const OutboxReply *reply);
extern bool outbox_reply_is_array(const OutboxReply *reply);

/* of a string, a status or an error; never NULL */
extern const char *outbox_reply_string(const OutboxReply *reply);

/* of the string, which may contain zero bytes */
extern size_t outbox_reply_size(const OutboxReply *reply);

/* the number of an array's elements; 0 for anything else */
extern size_t outbox_reply_length(const OutboxReply *reply);
extern const OutboxReply *outbox_reply_element(const OutboxReply *reply,
											   size_t n);

/* an element that is a string, or a number in one; "" and 0 where it is not */
extern const char *outbox_reply_element_string(const OutboxReply *reply,
											   size_t n);
extern uint64 outbox_reply_element_number(const OutboxReply *reply, size_t n);

extern void outbox_reply_free(OutboxReply *reply);

#endif							/* OUTBOX_REPLY_H */
