/*-------------------------------------------------------------------------
 *
 * sentinel.h
 *	  Where a link's server is, if Sentinels know it.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: ask Sentinels for the master before a link connects, and now and then
 *	  while it is connected.
 * Process: relay.
 * Transaction: none may be open while the relay waits for an answer.
 * Memory: a part of the link.
 * Errors: none thrown for what Sentinels do.  That no master is known is the
 *	  link's trouble.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_SENTINEL_H
#define OUTBOX_RELAY_SENTINEL_H

#include "outbox.h"

#include "clock.h"
#include "redis/connection.h"
#include "relay/base/link.h"

extern void outbox_link_sentinel_init(Link *link);

/* do Sentinels know where the link's server is? */
extern bool outbox_has_sentinels(const Link *link);

/*
 * Where a link that is down, or asking, is to connect to.  NULL if that is not
 * known yet: the link is asking, or it is in trouble as no Sentinel knows it.
 */
extern const OutboxRedisHost *outbox_find_master(Link *link, OutboxTime now);

/*
 * Where a link that serves one queue is to connect to: where the one is connected
 * that serves the others.  And has it been connected to that, if they had been?
 */
extern const OutboxRedisHost *outbox_follow_master(Link *link,
												   const Link *home);
extern bool outbox_follows_master(const Link *link, const Link *home);

/* part of the handshake: it has to be a master */
extern void outbox_send_role(Link *link);
extern void outbox_role_answer(Link *link, const OutboxReply *reply);

/*
 * One turn beside a link that connects or is connected: is its server still the
 * master?  Else the link is cut.
 */
extern void outbox_watch_master(Link *link, OutboxTime now);

/* the link is about to end; and it has another server from now on */
extern void outbox_leave_master(Link *link);
extern void outbox_forget_master(Link *link);

/* milliseconds until one of these functions has something to do */
extern long outbox_ms_until_sentinel(const Link *link, OutboxTime now);

/* the connection to a Sentinel; NULL if none has been made */
extern RedisConnection *outbox_sentinel_connection(const Link *link);

/* returns where the link is connected to, else where its server is; palloc'ed */
extern char *outbox_link_address(const Link *link);

/* show it, if Sentinels know it */
extern void outbox_show_address(Relay *relay, const Link *link);

#endif							/* OUTBOX_RELAY_SENTINEL_H */
