/*-------------------------------------------------------------------------
 *
 * connection.h
 *	  One connection to Redis: connect, send, read; never wait.
 *
 * Purpose: bytes out and replies in, on a socket that the caller waits on.
 * Process: relay.
 * Transaction: none may be open while the caller waits on the socket.
 * Memory: a RedisConnection lives in the context that it was made in; what
 *	  belongs to a socket is gone after outbox_connection_close().
 * Errors: none thrown for what Redis or the network does: false is returned
 *	  and outbox_connection_error() says why, without secrets or payloads.  A
 *	  connection that has failed stays as it is, and takes and drops whatever
 *	  it is given, until it is closed.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CONNECTION_H
#define OUTBOX_CONNECTION_H

#include "outbox.h"

#include "lib/stringinfo.h"
#include "redis/reply.h"
#include "redis_url.h"

typedef struct RedisConnection RedisConnection;

/* in the current memory context; closed */
extern RedisConnection *outbox_connection_make(void);

/* begin to connect */
extern bool outbox_connection_open(RedisConnection *conn,
								   const OutboxRedisUrl *url);
extern void outbox_connection_close(RedisConnection *conn);

/* connected, as far as is known */
extern bool outbox_connection_is_open(const RedisConnection *conn);
extern const char *outbox_connection_error(const RedisConnection *conn);

/* what to wait for, and on which socket; PGINVALID_SOCKET: there is none */
extern pgsocket outbox_connection_socket(const RedisConnection *conn);
extern int	outbox_connection_events(const RedisConnection *conn);

/* another one for each socket: a new socket may have the old one's number */
extern uint64 outbox_connection_number(const RedisConnection *conn);

/* where the next command is written; what is in it is sent by and by */
extern StringInfo outbox_connection_out(RedisConnection *conn);

/* bytes that wait to be sent */
extern size_t outbox_connection_unsent(const RedisConnection *conn);

/* send what the socket takes */
extern bool outbox_connection_flush(RedisConnection *conn);

/* finish connecting, send what the socket takes, read what has arrived */
extern bool outbox_connection_io(RedisConnection *conn);

/* the next reply, or NULL if none is complete */
extern bool outbox_connection_reply(RedisConnection *conn, OutboxReply **reply);

#endif							/* OUTBOX_CONNECTION_H */
