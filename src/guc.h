/*-------------------------------------------------------------------------
 *
 * guc.h
 *	  Settings.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: define them, keep their values.
 * Process: all.  Transaction: none needed.  Memory: the settings machinery's.
 * Errors: a value that cannot be used is refused where it is set.  Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_GUC_H
#define OUTBOX_GUC_H

#include "outbox.h"

#include "redis_url.h"

extern int	outbox_max_message_size;	/* bytes */
extern const OutboxRedisUrl *outbox_redis_server;	/* until the next reload */
extern int	outbox_retention;	/* seconds */
extern bool outbox_wait_for_standby;

/* define the settings; to be called once, when the library is loaded */
extern void outbox_define_settings(void);

#endif							/* OUTBOX_GUC_H */
