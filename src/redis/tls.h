/*-------------------------------------------------------------------------
 *
 * tls.h
 *	  TLS on a socket that does not block.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: make sure who is at the other end, and move bytes.
 * Process: relay.
 * Transaction: none needed.
 * Memory: OpenSSL's and some of the given context, until outbox_tls_free().
 * Errors: none thrown.  What is wrong is said in a RedisTrouble, without
 *	  secrets and payloads.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_TLS_H
#define OUTBOX_TLS_H

#include "outbox.h"

#include "redis/trouble.h"
#include "redis_url.h"

/* for an end of the handshake that says nothing */
#define OUTBOX_HINT_NO_TLS \
	"The port may be one without TLS: redis:// is for these."

typedef struct RedisTls RedisTls;

/*
 * Read the files that the URL names, and be ready for a connection to this
 * host.  NULL if anything is wrong with them.
 */
extern RedisTls *outbox_tls_make(const OutboxRedisUrl *url,
								 const OutboxRedisHost *host,
								 MemoryContext context,
								 RedisTrouble *trouble);

/* the socket is connected; it stays the caller's */
extern bool outbox_tls_attach(RedisTls *tls, pgsocket sock,
							  RedisTrouble *trouble);

/* go on with the handshake: false if it has failed, *done when it is done */
extern bool outbox_tls_handshake(RedisTls *tls, bool *done,
								 RedisTrouble *trouble);

/*
 * Send or receive.  Return how many bytes; 0 if it can't be done before the
 * events of outbox_tls_events(); -1 if it has failed, or the other end has
 * closed the connection.
 */
extern ssize_t outbox_tls_send(RedisTls *tls, const char *data, size_t len,
							   RedisTrouble *trouble);
extern ssize_t outbox_tls_receive(RedisTls *tls, char *buf, size_t size,
								  RedisTrouble *trouble);

/* has it bytes to be received, whatever the socket has? */
extern bool outbox_tls_has_more(const RedisTls *tls);

/* which events of the socket to wait for, with or without bytes to be sent */
extern int	outbox_tls_events(const RedisTls *tls, bool to_send);

extern void outbox_tls_free(RedisTls *tls);

#endif							/* OUTBOX_TLS_H */
