/*-------------------------------------------------------------------------
 *
 * connection.h
 *	  The connection to Redis.
 *
 * Purpose: connect, send, read, classify; never wait.
 * Process: relay; one connection.
 * Transaction: none may be open while its caller waits on the socket.
 * Memory: hiredis's, by malloc; a reply is freed by outbox_reply_free().
 * Errors: none thrown for what Redis or the network does: false is returned
 *	  and outbox_redis_error() says why, without secrets or payloads.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_REDIS_H
#define OUTBOX_REDIS_H

#include "outbox.h"

#include "lib/stringinfo.h"
#include "redis_url.h"

/* what an error reply is about */
typedef enum OutboxErrorClass
{
	OUTBOX_ERROR_SERVER,		/* the server cannot now */
	OUTBOX_ERROR_OPERATOR,		/* the operator must act */
	OUTBOX_ERROR_REDIRECT,		/* a cluster */
	OUTBOX_ERROR_NOSCRIPT,		/* the script is gone: load it again */
	OUTBOX_ERROR_QUEUE,			/* this queue is broken */
	OUTBOX_ERROR_MESSAGE		/* this message is bad */
} OutboxErrorClass;

typedef struct redisReply OutboxReply;

extern bool outbox_redis_connect(const OutboxRedisUrl *url);
extern void outbox_redis_disconnect(void);
extern bool outbox_redis_connected(void);
extern const char *outbox_redis_error(void);
extern void outbox_redis_set_error(const char *error);

extern pgsocket outbox_redis_socket(void);
extern int	outbox_redis_wait_events(void);
extern uint64 outbox_redis_number(void);
extern size_t outbox_redis_unsent(void);
extern bool outbox_redis_flush(void);
extern bool outbox_redis_io(void);

extern void outbox_redis_append(const char *data, size_t len);
extern bool outbox_redis_reply(OutboxReply **reply);

extern bool outbox_reply_is_error(const OutboxReply *reply);
extern bool outbox_reply_is_array(const OutboxReply *reply);
extern const char *outbox_reply_string(const OutboxReply *reply);
extern size_t outbox_reply_size(const OutboxReply *reply);
extern size_t outbox_reply_length(const OutboxReply *reply);
extern const OutboxReply *outbox_reply_element(const OutboxReply *reply,
											   size_t n);
extern void outbox_reply_free(OutboxReply *reply);

extern OutboxErrorClass outbox_classify_error(const char *error);

/* does Redis refuse this message or queue, rather than fail itself? */
extern bool outbox_is_refusal(const char *error);
extern void outbox_clean_error(char *dst, const char *error, size_t size);

/* commands as Redis reads them */
extern void outbox_resp_command(StringInfo out, int argc);
extern void outbox_resp_arg(StringInfo out, const char *data, size_t len);
extern void outbox_resp_string(StringInfo out, const char *s);

#endif							/* OUTBOX_REDIS_H */
