/*-------------------------------------------------------------------------
 *
 * database_ddl.h
 *	  What is done to a database or to the extension, and what the relay does.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: a relay is not in the way of commands for which nobody may be
 *	  connected to its database; the launcher hears of databases.
 * Process: the hooks are set in the postmaster and called in backends.
 * Transaction: the caller's.
 * Memory: nothing is kept.
 * Errors: those of the command.
 * Locks: OutboxShared.lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_DATABASE_DDL_H
#define OUTBOX_DATABASE_DDL_H

#include "outbox.h"

/* set the hooks; only from _PG_init() of a preloaded library */
extern void outbox_install_ddl_hooks(void);

#endif							/* OUTBOX_DATABASE_DDL_H */
