/*-------------------------------------------------------------------------
 *
 * staging.h
 *	  The append-only tables where committed messages wait.
 *
 * Purpose: insert a message; scan what is there; fetch one message.
 * Process: outbox_staging_insert() the backend, the rest the relay.
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

#include "executor/tuptable.h"
#include "storage/itemptr.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* columns of a staging table; outbox.deferred begins with the same ones */
enum
{
	Anum_staging_xid = 1,
	Anum_staging_seq,
	Anum_staging_enqueued_at,
	Anum_staging_id,
	Anum_staging_queue,
	Anum_staging_timeline,
	Anum_staging_attempts,
	Anum_staging_kind,
	Anum_staging_type,
	Anum_staging_key,
	Anum_staging_headers,
	Anum_staging_payload,
	Anum_staging_history
};

#define Natts_staging Anum_staging_history

/* the staging tables, open for reading */
typedef struct OutboxStaging
{
	Relation	table[OUTBOX_STAGING_TABLES];
	Relation	index[OUTBOX_STAGING_TABLES];
	TupleTableSlot *slot[OUTBOX_STAGING_TABLES];
	struct IndexFetchTableData *fetch[OUTBOX_STAGING_TABLES];
	Snapshot	snapshot;
} OutboxStaging;

/* where a row lies, as the index knows it */
typedef struct OutboxStagedEntry
{
	uint64		xid;
	uint64		seq;
	int32		queue;
	int			table;
	ItemPointerData tid;
} OutboxStagedEntry;

typedef void (*OutboxStagedVisit) (void *arg, const OutboxStagedEntry *entry);

/* fills in xid, seq, timeline and enqueued_at of the message */
extern void outbox_staging_insert(OutboxMessage *msg);

extern bool outbox_staging_open(OutboxStaging *staging, Snapshot snapshot);
extern void outbox_staging_close(OutboxStaging *staging);
extern void outbox_staging_scan(OutboxStaging *staging, int table,
								uint64 from, uint64 below,
								OutboxStagedVisit visit, void *arg);
extern bool outbox_staging_first_xid(OutboxStaging *staging, int table,
									 uint64 from, uint64 *xid);
extern bool outbox_staging_last_xid(OutboxStaging *staging, int table,
									uint64 *xid);
extern bool outbox_staging_visible(OutboxStaging *staging,
								   const OutboxStagedEntry *entry,
								   TimestampTz *enqueued_at);
extern bool outbox_staging_fetch(OutboxStaging *staging, int table,
								 ItemPointer tid, uint64 seq,
								 OutboxMessage *msg);

/* which table new rows go to; a hint, see the design notes */
extern int	outbox_staging_current(void);
extern void outbox_staging_set_current(int table);

#endif							/* OUTBOX_STAGING_H */
