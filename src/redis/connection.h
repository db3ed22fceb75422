/*-------------------------------------------------------------------------
 *
 * connection.h
 *	  One connection to Redis: connect, send, read, without waiting.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: send bytes and read replies, on a socket that the caller waits on.
 * Process: relay.
 * Transaction: none may be open while the caller waits on the socket.
 * Memory: a RedisConnection lives in the context that it was made in; its
 *	  socket and what hiredis has allocated until outbox_connection_close().
 * Errors: none thrown for what Redis or the network does: false is returned
 *	  and outbox_connection_error() says why, without secrets or payloads.  A
 *	  connection that has failed stays so until it is closed; commands may be
 *	  written to it and are dropped.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CONNECTION_H
#define OUTBOX_CONNECTION_H

#include "outbox.h"

#include "clock.h"
#include "lib/stringinfo.h"
#include "redis/limits.h"
#include "redis/reply.h"
#include "redis_url.h"

typedef struct RedisConnection RedisConnection;

/* a closed connection, in the current memory context */
extern RedisConnection *outbox_connection_make(void);

/*
 * Begin to connect to a host as the URL says; if it has the path of a socket, to
 * that.
 */
extern bool outbox_connection_open(RedisConnection *conn,
								   const OutboxRedisUrl *url,
								   const OutboxRedisHost *host);

/* close it, in whatever state it is */
extern void outbox_connection_close(RedisConnection *conn);

/* true if it is connected, as far as is known */
extern bool outbox_connection_is_open(const RedisConnection *conn);

/* why the last function returned false; what can be done about it, or NULL */
extern const char *outbox_connection_error(const RedisConnection *conn);
extern const char *outbox_connection_hint(const RedisConnection *conn);

/* it took too long to be connected, and has failed */
extern void outbox_connection_give_up(RedisConnection *conn, int seconds);

/*
 * While it is being connected: in how many milliseconds outbox_connection_io()
 * has to be called at the latest.
 */
extern long outbox_connection_ms(const RedisConnection *conn, OutboxTime now);

/* the socket to wait on, or PGINVALID_SOCKET, and the events to wait for */
extern pgsocket outbox_connection_socket(const RedisConnection *conn);
extern int	outbox_connection_events(const RedisConnection *conn);

/*
 * A number that is different for each socket, while a new socket may have the
 * descriptor of an old one.
 */
extern uint64 outbox_connection_number(const RedisConnection *conn);

/* the buffer that commands are appended to */
extern StringInfo outbox_connection_out(RedisConnection *conn);

/* the number of bytes in the buffer that have not been sent */
extern size_t outbox_connection_unsent(const RedisConnection *conn);

/* the number of bytes that have arrived since it was opened */
extern uint64 outbox_connection_received(const RedisConnection *conn);

/*
 * Send what the socket takes; false if it takes nothing any more.  Then what the
 * other end said before can still be read.
 */
extern bool outbox_connection_flush(RedisConnection *conn);

/*
 * Finish connecting, send what the socket takes, read what has arrived; false
 * if the connection has failed.
 */
extern bool outbox_connection_io(RedisConnection *conn);

/*
 * The next reply, NULL if none is complete; false if the connection has failed,
 * or the reply is beyond these limits.
 */
extern bool outbox_connection_reply(RedisConnection *conn,
									const OutboxReplyLimits *limits,
									OutboxReply **reply);

#endif							/* OUTBOX_CONNECTION_H */
