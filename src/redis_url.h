/*-------------------------------------------------------------------------
 *
 * redis_url.h
 *	  Where Redis is: a URL taken apart.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: read redis://[user[:password]@]host[:port][/db] and
 *	  unix:///path?db=n.
 * Process: all.  Transaction: none needed.
 * Memory: a parsed URL is one piece of memory, allocated as a setting's check
 *	  hook has to.
 * Errors: none thrown.  A complaint never quotes the URL, which may hold a
 *	  password.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_REDIS_URL_H
#define OUTBOX_REDIS_URL_H

#include "outbox.h"

typedef struct OutboxRedisUrl
{
	const char *url;			/* as it was given */
	const char *path;			/* a unix socket, or NULL */
	const char *host;
	int			port;
	const char *user;			/* or NULL */
	const char *password;		/* or NULL */
	int			db;
	const char *complaint;		/* why there is none to connect to; or NULL */
	char		buffer[FLEXIBLE_ARRAY_MEMBER];
} OutboxRedisUrl;

/* returns NULL for a URL that is wrong, and in *complaint a sentence about it */
extern OutboxRedisUrl *outbox_parse_redis_url(const char *url,
											  const char **complaint);

/* returns what stands for a URL where there is none; NULL if out of memory */
extern OutboxRedisUrl *outbox_no_redis_url(const char *complaint);

/* returns the URL with asterisks for the password, palloc'ed */
extern char *outbox_show_redis_url(const OutboxRedisUrl *url);

#endif							/* OUTBOX_REDIS_URL_H */
