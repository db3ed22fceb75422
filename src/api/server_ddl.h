/*-------------------------------------------------------------------------
 *
 * server_ddl.h
 *	  A server is renamed.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: queues keep their server when that gets another name.
 * Process: backend.
 * Transaction: that of the command.
 * Memory: none.
 * Errors: those of SQL.
 * Locks: RowExclusiveLock on outbox.queue.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SERVER_DDL_H
#define OUTBOX_SERVER_DDL_H

#include "outbox.h"

/* only from _PG_init() of a preloaded library */
extern void outbox_install_server_hook(void);

#endif							/* OUTBOX_SERVER_DDL_H */
