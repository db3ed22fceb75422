/*-------------------------------------------------------------------------
 *
 * tls_files.h
 *	  The CAs, certificates and keys of a connection.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: read what sslrootcert, sslcert and sslkey name.
 * Process: relay.
 * Transaction: none needed.
 * Memory: what is read belongs to the context; texts are palloc'ed.
 * Errors: none thrown for what is wrong with a file.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_TLS_FILES_H
#define OUTBOX_TLS_FILES_H

#include "outbox.h"

#include "redis/trouble.h"
#include "redis_url.h"

struct ssl_ctx_st;

extern bool outbox_tls_load_files(struct ssl_ctx_st *ctx,
								  const OutboxRedisUrl *url,
								  RedisTrouble *trouble);

/* the oldest error in OpenSSL's queue, which is emptied, as text */
extern const char *outbox_tls_reason(void);

/* does it say that the other end has closed the connection? */
extern bool outbox_tls_is_eof(unsigned long code);

#endif							/* OUTBOX_TLS_FILES_H */
