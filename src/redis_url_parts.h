/*-------------------------------------------------------------------------
 *
 * redis_url_parts.h
 *	  The parts of a URL of Redis.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: say which parts there are, copy and compare them.
 * Process: all.  Transaction: none needed.
 * Memory: a copy is palloc'ed.
 * Errors: none thrown.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_REDIS_URL_PARTS_H
#define OUTBOX_REDIS_URL_PARTS_H

#include "outbox.h"

#include "lib/stringinfo.h"

/* hosts that a URL may name */
#define OUTBOX_MAX_HOSTS	16

/* who answers at the hosts */
typedef enum OutboxRedisKind
{
	OUTBOX_REDIS_SINGLE,		/* the Redis that gets the messages */
	OUTBOX_REDIS_SENTINEL,		/* Sentinels, which know where it is */
	OUTBOX_REDIS_CLUSTER		/* some nodes of a cluster */
} OutboxRedisKind;

typedef struct OutboxRedisHost
{
	const char *name;			/* or an address, without brackets */
	int			port;
} OutboxRedisHost;

typedef struct OutboxRedisUrl
{
	const char *url;			/* as it was given */
	OutboxRedisKind kind;
	bool		tls;			/* of all connections */
	const char *path;			/* a unix socket instead of hosts, or NULL */
	int			nhosts;
	OutboxRedisHost hosts[OUTBOX_MAX_HOSTS];
	const char *master;			/* as the Sentinels call it, or NULL */
	int			db;
	const char *user;			/* or NULL */
	const char *password;		/* or NULL */

	/* parameters, or NULL */
	const char *password_file;	/* has the password */
	const char *sentinel_user;	/* of the Sentinels */
	const char *sentinel_password;
	const char *sslrootcert;	/* a file with the CAs; NULL: the system's */
	const char *sslcert;		/* files with our certificate and its key */
	const char *sslkey;
	const char *sslhost;		/* whose certificate it must be; NULL: the
								 * host's */

	const char *wait_replicas;	/* numbers, see outbox_parse_wait() */
	const char *wait_timeout;

	const char *complaint;		/* why there is none to connect to; or NULL */
	char		buffer[FLEXIBLE_ARRAY_MEMBER];
} OutboxRedisUrl;

/* for which URLs a parameter is */
typedef enum OutboxUrlUse
{
	OUTBOX_FOR_ALL,
	OUTBOX_FOR_SENTINEL,
	OUTBOX_FOR_TLS
} OutboxUrlUse;

typedef struct OutboxUrlParameter
{
	const char *name;
	size_t		offset;			/* of the member */
	OutboxUrlUse use;
	bool		is_file;
	bool		is_secret;
} OutboxUrlParameter;

#define OUTBOX_URL_PARAMETERS	9

/* all parameters but that of unix sockets, "db", which is a number */
extern const OutboxUrlParameter outbox_url_parameters[OUTBOX_URL_PARAMETERS];

/* returns the member for a parameter, by its number */
extern const char **outbox_url_parameter(const OutboxRedisUrl *url, int n);

/*
 * Append the parameters as they are in the URL, with their question mark, but
 * asterisks for those that are secret.
 */
extern void outbox_show_url_parameters(StringInfo out, const char *query);

/*
 * Read wait_replicas, a number, and wait_timeout, milliseconds or with a unit: ms, s.
 * NULL stands for what is not given.  Returns what is wrong, or NULL.
 */
extern const char *outbox_parse_wait(const char *replicas, const char *timeout,
									 int *n, int *ms);

/* returns a copy in the current memory context */
extern OutboxRedisUrl *outbox_copy_redis_url(const OutboxRedisUrl *url);

/* are they connected to in the same way? */
extern bool outbox_same_redis_url(const OutboxRedisUrl *a,
								  const OutboxRedisUrl *b);

#endif							/* OUTBOX_REDIS_URL_PARTS_H */
