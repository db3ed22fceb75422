/*-------------------------------------------------------------------------
 *
 * master.h
 *	  What Sentinels, and servers themselves, say of who is master.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: write the question to a Sentinel, and read answers.
 * Process: relay; pure.
 * Transaction: none needed.
 * Memory: an OutboxMaster is the caller's.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_MASTER_H
#define OUTBOX_MASTER_H

#include "outbox.h"

#include "lib/stringinfo.h"
#include "redis/limits.h"
#include "redis/reply.h"
#include "redis_url.h"

/* the longest name that DNS has, and a zero byte */
#define OUTBOX_HOST_SIZE	256

typedef struct OutboxMaster
{
	char		host[OUTBOX_HOST_SIZE]; /* a name or an address */
	int			port;
} OutboxMaster;

/* of an answer of a Sentinel, and of ROLE */
extern const OutboxReplyLimits outbox_sentinel_limits;
extern const OutboxReplyLimits outbox_role_limits;

/* write what a Sentinel is asked; returns how many answers there will be */
extern int	outbox_ask_sentinel(StringInfo out, const OutboxRedisUrl *url);

/*
 * Read the last of these answers.  Returns what is wrong with it, NULL if the
 * Sentinel names a master.
 */
extern const char *outbox_read_master(const OutboxReply *reply,
									  OutboxMaster *master);

/* could it be a name or an address? */
extern bool outbox_is_host(const char *host, size_t len);

/* returns the number of a port, 0 if it is none */
extern int	outbox_read_port(const char *digits, size_t len);

/* does the answer to ROLE say that it is a master? */
extern bool outbox_role_is_master(const OutboxReply *reply);

#endif							/* OUTBOX_MASTER_H */
