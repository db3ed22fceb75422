/*-------------------------------------------------------------------------
 *
 * transport.h
 *	  Bytes to and from Redis, without waiting.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: look a name up, connect to one of its addresses, speak TLS if that is
 *	  wanted, send and receive.
 * Process: relay.
 * Transaction: none may be open while the caller waits on the socket.
 * Memory: a RedisTransport lives in the context that it was made in; what it has
 *	  allocated elsewhere until outbox_transport_close().
 * Errors: none thrown for what Redis or the network does: see
 *	  outbox_transport_trouble().
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_TRANSPORT_H
#define OUTBOX_TRANSPORT_H

#include "outbox.h"

#include "clock.h"
#include "redis/trouble.h"
#include "redis_url.h"

typedef struct RedisTransport RedisTransport;

/* a closed one, in the current memory context */
extern RedisTransport *outbox_transport_make(void);

/* begin to connect one that is closed; false if that has failed at once */
extern bool outbox_transport_open(RedisTransport *t, const OutboxRedisUrl *url,
								  const OutboxRedisHost *host);
extern void outbox_transport_close(RedisTransport *t);

/* go on connecting; false if that has failed */
extern bool outbox_transport_connect(RedisTransport *t);

/* is it connected, and the handshake of TLS done? */
extern bool outbox_transport_is_open(const RedisTransport *t);

/* what connecting waits for, as the end of "no ..."; and a hint, or NULL */
extern const char *outbox_transport_awaits(const RedisTransport *t,
										   const char **hint);

/* milliseconds until outbox_transport_connect() has to be called at the latest */
extern long outbox_transport_ms(const RedisTransport *t, OutboxTime now);

/* what to wait on, or PGINVALID_SOCKET; and its events, if bytes are unsent */
extern pgsocket outbox_transport_socket(const RedisTransport *t);
extern int	outbox_transport_events(const RedisTransport *t, bool unsent);

/*
 * A number that is different for each socket, while a new socket may have the
 * descriptor of an old one.
 */
extern uint64 outbox_transport_number(const RedisTransport *t);

/*
 * Send or receive, when it is open.  Return how many bytes; 0 if there is
 * nothing to be done now; -1 if that has failed or the other end has closed the
 * connection.
 */
extern ssize_t outbox_transport_send(RedisTransport *t, const char *data,
									 size_t len);
extern ssize_t outbox_transport_receive(RedisTransport *t, char *buf,
										size_t size);

/* are there bytes that the socket does not have any more? */
extern bool outbox_transport_has_more(const RedisTransport *t);

/* why a function has said that something failed */
extern const RedisTrouble *outbox_transport_trouble(const RedisTransport *t);

#endif							/* OUTBOX_TRANSPORT_H */
