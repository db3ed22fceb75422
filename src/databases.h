/*-------------------------------------------------------------------------
 *
 * databases.h
 *	  The launcher's list of databases.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: which databases there are, what the launcher has done about each, and
 *	  whose turn it is.
 * Process: launcher.
 * Transaction: outbox_scan_databases() has its own.
 * Memory: TopMemoryContext.
 * Errors: those of reading pg_database.
 * Locks: OutboxShared.lock; pg_database to read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_DATABASES_H
#define OUTBOX_DATABASES_H

#include "outbox.h"

#include "clock.h"
#include "nodes/pg_list.h"
#include "postmaster/bgworker.h"
#include "shmem.h"

typedef enum DatabaseState
{
	DB_DUE,						/* start a relay at next_try */
	DB_STARTED,					/* registered, not seen yet */
	DB_RUNNING,
	DB_WITHOUT					/* does not have the extension */
} DatabaseState;

typedef struct Database
{
	Oid			oid;
	NameData	name;			/* for the log */
	DatabaseState state;
	bool		exists;			/* in the last look at pg_database */
	OutboxSlot *slot;			/* kept while the database has a relay */
	BackgroundWorkerHandle *handle;
	OutboxTime	started;
	OutboxTime	next_try;		/* due at this time */
	int			failures;		/* in a row, of relays that ended soon */
	bool		told_of_no_worker;	/* the log has it */
} Database;

/* of Database */
extern List *outbox_databases;

/* NULL if it is not in the list */
extern Database *outbox_find_database(Oid oid);

extern Database *outbox_add_database(Oid oid, DatabaseState state);

/*
 * Read pg_database: new databases are due; those are forgotten that are dropped,
 * or are templates now, or take no connections.
 */
extern void outbox_scan_databases(void);

/* a relay is to be started at this time */
extern void outbox_set_due(Database *db, OutboxTime when);

/*
 * The databases that have to be given a relay now, the one that has waited
 * longest first; lowers *wait to the milliseconds until the next one has to be.
 */
extern List *outbox_due_databases(OutboxTime now, long *wait);

/* a slot for this database, NULL if all are in use; give it back */
extern OutboxSlot *outbox_slot_for(const Database *db);
extern void outbox_give_slot_back(Database *db);

#endif							/* OUTBOX_DATABASES_H */
