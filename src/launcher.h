/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  Which databases get a relay.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: start a relay for each database that has the extension, start it
 *	  again when it ends, stop it when the extension or database is dropped.
 * Process: outbox_register_launcher() in the postmaster.
 * Transaction: the launcher's own.
 * Memory: TopMemoryContext of the launcher.
 * Errors: they end the launcher; the postmaster starts it again.
 * Locks: OutboxShared.lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_LAUNCHER_H
#define OUTBOX_LAUNCHER_H

#include "outbox.h"

#include "postmaster/bgworker.h"

/* what the launcher tells a relay in bgw_extra */
typedef struct OutboxRelayArgs
{
	int32		slot;
	uint32		generation;
	Oid			database;
} OutboxRelayArgs;

StaticAssertDecl(sizeof(OutboxRelayArgs) <= BGW_EXTRALEN,
				 "OutboxRelayArgs fits into bgw_extra");

/* have the postmaster start the launcher */
extern void outbox_register_launcher(void);

extern PGDLLEXPORT void outbox_launcher_main(Datum main_arg);

#endif							/* OUTBOX_LAUNCHER_H */
