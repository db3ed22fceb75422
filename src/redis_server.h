/*-------------------------------------------------------------------------
 *
 * redis_server.h
 *	  Which Redis a name stands for: a foreign server, or outbox.redis_url.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: make a link's settings of a server's name.
 * Process: backend and relay.
 * Transaction: the caller's.
 * Memory: a result is a context of its own, which outbox_forget_server() frees.
 * Errors: those of the catalog.  What makes a server unusable is not thrown, it
 *	  is its fault.  Neither a fault nor an address has anything of the user
 *	  mapping.
 * Locks: those that are held while a row of a catalog is read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_REDIS_SERVER_H
#define OUTBOX_REDIS_SERVER_H

#include "outbox.h"

#include "redis_url.h"

/* the server of queues that name none; without it, outbox.redis_url is */
#define OUTBOX_DEFAULT_SERVER	"outbox_default"

/* options of a server and of its user mappings */
#define OUTBOX_OPTION_URL		"url"
#define OUTBOX_OPTION_WAIT_REPLICAS	"wait_replicas"
#define OUTBOX_OPTION_WAIT_TIMEOUT	"wait_timeout"
#define OUTBOX_OPTION_USER		"user"
#define OUTBOX_OPTION_PASSWORD	"password"
#define OUTBOX_OPTION_PASSWORD_FILE	"password_file"
#define OUTBOX_OPTION_SENTINEL_USER	"sentinel_user"
#define OUTBOX_OPTION_SENTINEL_PASSWORD	"sentinel_password"
#define OUTBOX_OPTION_SSLROOTCERT	"sslrootcert"
#define OUTBOX_OPTION_SSLHOST	"sslhost"
#define OUTBOX_OPTION_SSLCERT	"sslcert"
#define OUTBOX_OPTION_SSLKEY	"sslkey"

typedef struct OutboxRedisServer
{
	MemoryContext context;
	const char *name;			/* NULL: it is that of outbox.redis_url */
	const OutboxRedisUrl *url;	/* with user and password */
	const char *address;		/* host:port/db */
	const char *fault;			/* why it can't be connected to; or NULL */
	int			wait_replicas;	/* that must have what is to be forgotten */
	int			wait_timeout;	/* milliseconds, until it is said that they
								 * haven't */
} OutboxRedisServer;

/* is it waited for replicas?  Not yet, if the server is not known: NULL */
static inline bool
outbox_waits_for_replicas(const OutboxRedisServer *server)
{
	return server != NULL && server->wait_replicas > 0;
}

/*
 * Returns what a server's name stands for.  Passwords are read only if they are
 * asked for, which is for the relay.
 */
extern OutboxRedisServer *outbox_resolve_server(MemoryContext parent,
												const char *name,
												bool passwords);

/* returns the server if it is one of ours, else InvalidOid */
extern Oid	outbox_find_redis_server(const char *name);

/*
 * Returns what the url of a server must not have, as the end of "it has ...", or
 * NULL.  Everybody can read it, and whoever owns the server can change it.
 */
extern const char *outbox_not_in_server_url(const OutboxRedisUrl *url);

/* is there a server of this name, of the extension's wrapper? */
extern bool outbox_has_server(const char *name);

extern void outbox_forget_server(OutboxRedisServer *server);

/* is it reached and logged in to in the same way? */
extern bool outbox_same_server(const OutboxRedisServer *a,
							   const OutboxRedisServer *b);

/* returns the address, and which setting or server has it; palloc'ed */
extern char *outbox_describe_server(const OutboxRedisServer *server);

#endif							/* OUTBOX_REDIS_SERVER_H */
