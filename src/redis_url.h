/*-------------------------------------------------------------------------
 *
 * redis_url.h
 *	  Where Redis is: a URL taken apart.
 *
 * Purpose: read redis://[user[:password]@]host[:port][/db] and
 *	  unix:///path?db=n.
 * Process: all.  Transaction: none needed.
 * Memory: one piece, allocated as a setting's check hook has to.
 * Errors: NULL, and a sentence about what is wrong.  It never quotes the URL,
 *	  which may hold a password.
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
	char		buffer[FLEXIBLE_ARRAY_MEMBER];
} OutboxRedisUrl;

extern OutboxRedisUrl *outbox_parse_redis_url(const char *url,
											  const char **complaint);

/* without the password; palloc'ed */
extern char *outbox_show_redis_url(const OutboxRedisUrl *url);

#endif							/* OUTBOX_REDIS_URL_H */
