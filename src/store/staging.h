/*-------------------------------------------------------------------------
 *
 * staging.h
 *	  The append-only tables where committed messages wait.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: insert a message; scan the tables by index; fetch one message.
 * Process: outbox_staging_insert(), _add() and _identify() backend and
 *	  relay; a backend also looks at messages (api/messages.c); the rest the relay.
 * Transaction: the caller's; an open OutboxStaging must be closed in the
 *	  transaction in which it was opened.
 * Memory: fetched messages point into the slot or the current context, and
 *	  are good until the next fetch.
 * Errors: those of table access.
 * Locks: RowExclusiveLock to the end of the transaction for an insert,
 *	  AccessShareLock while open for a scan.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_STAGING_H
#define OUTBOX_STAGING_H

#include "outbox.h"

#include "access/xlogdefs.h"
#include "executor/tuptable.h"
#include "storage/itemptr.h"
#include "store/message_row.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/*
 * The staging tables, open for reading; if asked for, outbox.deferred and
 * outbox.dead_letter too.
 */
typedef struct OutboxStaging
{
	int			ntables;
	Relation	table[OUTBOX_TABLES];
	Relation	index[OUTBOX_TABLES];
	TupleTableSlot *slot[OUTBOX_TABLES];
	struct IndexFetchTableData *fetch[OUTBOX_TABLES];
	Snapshot	snapshot;
} OutboxStaging;

/* an entry of an index, and where its row lies */
typedef struct OutboxStagedEntry
{
	uint64		xid;
	uint64		seq;
	int32		queue;
	int			table;
	ItemPointerData tid;
} OutboxStagedEntry;

/* called for each entry of a scan; false ends the scan */
typedef bool (*OutboxStagedVisit) (void *arg, const OutboxStagedEntry *entry);

/* a place in an index, in its order */
typedef struct OutboxStagedKey
{
	uint64		xid;
	int32		queue;
	uint64		seq;
} OutboxStagedKey;

/* how a walk goes on */
typedef enum OutboxWalk
{
	OUTBOX_WALK_ON,
	OUTBOX_WALK_TO_KEY,			/* to the first entry not before *key */
	OUTBOX_WALK_STOP			/* before this entry */
} OutboxWalk;

/* called for each entry of a walk; key is set for OUTBOX_WALK_TO_KEY */
typedef OutboxWalk (*OutboxWalkVisit) (void *arg,
									   const OutboxStagedEntry *entry,
									   OutboxStagedKey *key);

/* the types of the columns of staging */
extern const Oid outbox_staging_types[Natts_staging];

/* fill in a message's Natts_staging values and nulls */
extern void outbox_staging_values(const OutboxMessage *msg, Datum *values,
								  bool *nulls);

/* fill in the message's xid, seq and lsn, which are new, and enqueued_at */
extern void outbox_staging_identify(OutboxMessage *msg, TimestampTz now);

/* as many messages are inserted at a time, at most */
#define OUTBOX_STAGING_CHUNK 100

/* insert messages that have these into the current table */
extern void outbox_staging_add(const OutboxMessage *msgs, int n);

/* do both */
extern void outbox_staging_insert(OutboxMessage *msgs, int n);

/*
 * Open the first ntables tables.  Returns false, and opens none, if somebody
 * holds a lock that conflicts.
 */
extern bool outbox_staging_open(OutboxStaging *staging, Snapshot snapshot,
								int ntables);

extern void outbox_staging_close(OutboxStaging *staging);

/*
 * The same in a backend: wait for the locks, and let go of them at the end.  The
 * snapshot has to be set when the locks are there.  An error if a table has been
 * changed by hand.
 */
extern void outbox_staging_open_waiting(OutboxStaging *staging, int ntables);
extern void outbox_staging_close_unlocking(OutboxStaging *staging);

/*
 * True if a table has no block: then it has no row that a snapshot sees which was
 * taken before.
 */
extern bool outbox_staging_is_empty(OutboxStaging *staging, int table);

/*
 * Visit the entries of transactions from "from" on and below "below".  Only the
 * index is read, so entries of transactions that rolled back are among them.
 */
extern void outbox_staging_scan(OutboxStaging *staging, int table,
								uint64 from, uint64 below,
								OutboxStagedVisit visit, void *arg);

/*
 * The same from a key on, in pieces: false if the visit has stopped it, and then
 * *from is where to go on.
 */
extern bool outbox_staging_walk(OutboxStaging *staging, int table,
								OutboxStagedKey *from, uint64 below,
								OutboxWalkVisit visit, void *arg);

/* get the least xid in a table, not below "from"; returns false if none */
extern bool outbox_staging_first_xid(OutboxStaging *staging, int table,
									 uint64 from, uint64 *xid);

/* get the greatest xid in a table; returns false if the table is empty */
extern bool outbox_staging_last_xid(OutboxStaging *staging, int table,
									uint64 *xid);

/* has a table an entry of this message? */
extern bool outbox_staging_has(OutboxStaging *staging, int table,
							   const OutboxStagedEntry *entry);

/* get the time of an entry's row; returns false if no row is visible */
extern bool outbox_staging_visible(OutboxStaging *staging,
								   const OutboxStagedEntry *entry,
								   TimestampTz *enqueued_at);

/* get the place in WAL at which it was written, likewise */
extern bool outbox_staging_lsn(OutboxStaging *staging,
							   const OutboxStagedEntry *entry,
							   XLogRecPtr *lsn);

/*
 * Fetch one message.  Returns false if its transaction rolled back.  (The place
 * may have been used again since then, so the number is compared.)
 */
extern bool outbox_staging_fetch(OutboxStaging *staging, int table,
								 ItemPointer tid, uint64 seq,
								 OutboxMessage *msg);

/* returns the table that takes new rows; it is only advice, see staging.c */
extern int	outbox_staging_current(void);
extern void outbox_staging_set_current(int table);

#endif							/* OUTBOX_STAGING_H */
