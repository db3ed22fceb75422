/*-------------------------------------------------------------------------
 *
 * redis_url.h
 *	  Where Redis is: a URL taken apart.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: read scheme://[user[:password]@]host[:port][,host...][/path][?key=value&...]
 *	  for the schemes redis, rediss, unix, and redis and rediss with +sentinel
 *	  and +cluster.
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

#include "redis_url_parts.h"

/*
 * Returns NULL for a URL that is wrong, and in *complaint a sentence about it.
 */
extern OutboxRedisUrl *outbox_parse_redis_url(const char *url,
											  const char **complaint);

/* returns what stands for a URL where there is none; NULL if out of memory */
extern OutboxRedisUrl *outbox_no_redis_url(const char *complaint);

/* does a URL, be it right or wrong, have a user or a password? */
extern bool outbox_redis_url_has_login(const char *url);

/* returns the URL with asterisks for what is secret, palloc'ed */
extern char *outbox_show_redis_url(const OutboxRedisUrl *url);

/*
 * Returns who is connected to, without users and parameters, palloc'ed:
 * host:port/db, or a URL of any other scheme.
 */
extern char *outbox_redis_address(const OutboxRedisUrl *url);

#endif							/* OUTBOX_REDIS_URL_H */
