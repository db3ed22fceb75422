/*-------------------------------------------------------------------------
 *
 * messages.c
 *	  The messages that the calling role may see, and their states.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Who may SELECT from the tables of messages sees all of them: the owner,
 * pg_read_all_data.  pg_monitor sees that they are there.  Anybody else sees what
 * its own transaction has enqueued, of queues to which it may enqueue.
 *
 * Staging is read as the relay reads it, by index and without SQL: SQL would keep
 * the locks until the transaction ends, and a staging table that somebody has
 * locked is not emptied.  The transaction's own messages are a range of that index,
 * so they cost the same beside a million of others'.
 *
 * The locks come first, then what the relay has published, then the snapshot,
 * which is not the caller's: a table that was emptied before we had its lock was
 * copied before, and the snapshot sees the copies.  As for any volatile function
 * it sees what the calling command itself has done.
 *
 * A message may have a row in staging and a record in outbox.deferred or
 * outbox.dead_letter; then the record says what the message's state is.
 *
 * If an error ends this, the end of the transaction lets go of all.
 *
 *-------------------------------------------------------------------------
 */
#include "api/messages.h"

#include "access/xact.h"
#include "api/progress.h"
#include "catalog.h"
#include "catalog/pg_authid.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "queue/partition.h"
#include "queue/queue.h"
#include "queue/view.h"
#include "storage/bufmgr.h"
#include "store/deferred.h"
#include "store/query.h"
#include "store/staged_row.h"
#include "store/staging.h"
#include "store/tables.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* rows fetched from outbox.deferred at a time */
#define ROWS 100

/* of the query for these, after the columns of staging */
enum
{
	COLUMN_REASON = Natts_staging + 1,
	COLUMN_DUE_AT,
	COLUMN_XMIN
};

/* a queue or a partition, by its id */
typedef struct Known
{
	int32		id;
	const OutboxQueue *queue;
	const OutboxQueueProgress *progress;	/* or NULL */
	bool		may_enqueue;
} Known;

typedef struct Search
{
	const pg_uuid_t *id;		/* NULL: all */
	OutboxFoundVisit visit;
	void	   *arg;

	/* what the caller may see */
	bool		all;
	bool		monitor;
	uint64		own;			/* its transaction's id; 0: it has none */

	HTAB	   *queues;			/* of Known */
	OutboxProgress progress;
	OutboxStaging *staging;
	bool		any[OUTBOX_TABLES]; /* has the table any page? */
	MemoryContext scratch;
} Search;

static bool
may_read(OutboxRelation which, Oid role)
{
	return pg_class_aclcheck(outbox_relid(which), role, ACL_SELECT) == ACLCHECK_OK;
}

static void
look_at_rights(Search *search, Oid role)
{
	FullTransactionId own = GetTopFullTransactionIdIfAny();

	search->all = may_read(OUTBOX_REL_STAGING_1, role) &&
		may_read(OUTBOX_REL_STAGING_2, role) &&
		may_read(OUTBOX_REL_DEFERRED, role);
	search->monitor = has_privs_of_role(role, ROLE_PG_MONITOR);
	search->own = FullTransactionIdIsValid(own) ? U64FromFullTransactionId(own) : 0;
}

static void
list_queues(Search *search, Oid role)
{
	HASHCTL		ctl = {.keysize = sizeof(int32),.entrysize = sizeof(Known)};
	ListCell   *lc;

	ctl.hcxt = CurrentMemoryContext;
	search->queues = hash_create("queues of messages", 64, &ctl,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	foreach(lc, outbox_queue_list())
	{
		const OutboxQueue *queue = lfirst(lc);
		bool		may_enqueue = outbox_may_enqueue(queue, role);

		for (int i = 0; i < queue->partitions; i++)
		{
			const OutboxQueue *partition = outbox_make_partition(queue, i);
			Known	   *known = hash_search(search->queues, &partition->id,
											HASH_ENTER, NULL);

			known->queue = partition;
			known->progress = outbox_progress_of(&search->progress, partition->id);
			known->may_enqueue = may_enqueue;
		}
	}
}

/*
 * The state of a message in staging, or copied from there.  Where its row lies is
 * nothing to who looks: one in staging waits as an evacuated one does.
 */
static const char *
state_of(const Search *search, const Known *known, const OutboxMessage *msg)
{
	if (known->progress != NULL && known->progress->position.prev != NULL &&
		outbox_position_covers(&known->progress->position, msg->xid, msg->seq))
		return OUTBOX_MESSAGE_DELIVERED;
	return search->progress.held ? OUTBOX_MESSAGE_HELD : OUTBOX_MESSAGE_WAITING;
}

/*
 * What a copied database has of it was delivered by the original.
 */
static const char *
state_of_applied(const Search *search, const Known *known)
{
	return search->progress.held &&
		(known->progress == NULL || known->progress->position.prev == NULL) ?
		OUTBOX_MESSAGE_HELD : OUTBOX_MESSAGE_DELIVERED;
}

/*
 * The state of a message with this reason in outbox.deferred; NULL for one that was
 * copied from staging.
 */
static const char *
state_of_deferred(const char *reason)
{
	return strcmp(reason, "evacuated") == 0 ? NULL :
		strcmp(reason, "delayed") == 0 ? OUTBOX_MESSAGE_DELAYED :
		strcmp(reason, "restored") == 0 ? OUTBOX_MESSAGE_HELD :
		OUTBOX_MESSAGE_RETRYING;
}

/*
 * Does the caller see a message, and what is in it?
 */
static bool
may_see(const Search *search, const Known *known, bool own, bool *hidden)
{
	*hidden = !search->all && !(own && known->may_enqueue);
	return !*hidden || search->monitor;
}

/*
 * state is that of a record; NULL for a message in staging, or copied from there.
 */
static void
show(Search *search, const Known *known, const OutboxMessage *msg, bool hidden,
	 const char *state, TimestampTz due_at)
{
	OutboxFound found = {
		.queue = known->queue,
		.msg = msg,
		.state = state != NULL ? state : state_of(search, known, msg),
		.due_at = due_at,
		.as_of = known->progress != NULL ? known->progress->as_of :
		search->progress.as_of,
		.hidden = hidden
	};

	search->visit(search->arg, &found);
}

/*
 * Is there a record of a message in staging?
 */
static bool
has_record(const Search *search, const OutboxStagedEntry *entry)
{
	for (int i = OUTBOX_STAGING_TABLES; i < OUTBOX_TABLES; i++)
		if (search->any[i] && outbox_staging_has_row(search->staging, i, entry))
			return true;
	return false;
}

static bool
visit_staged(void *arg, const OutboxStagedEntry *entry)
{
	Search	   *search = arg;
	const Known *known = hash_search(search->queues, &entry->queue, HASH_FIND, NULL);
	ItemPointerData tid = entry->tid;
	MemoryContext old;
	OutboxMessage msg;
	pg_uuid_t	id;
	bool		hidden;

	if (known == NULL || !outbox_staged_id(search->staging, entry, &id) ||
		(search->id != NULL && memcmp(&id, search->id, sizeof(id)) != 0) ||
		!may_see(search, known, entry->xid == search->own &&
				 outbox_staged_by_us(search->staging, entry), &hidden) ||
		has_record(search, entry))
		return true;

	old = MemoryContextSwitchTo(search->scratch);
	if (outbox_staging_fetch(search->staging, entry->table, &tid, entry->seq, &msg))
		show(search, known, &msg, hidden, NULL, 0);
	MemoryContextSwitchTo(old);
	MemoryContextReset(search->scratch);
	return true;
}

static void
find_staged(Search *search)
{
	bool		others = search->all || search->monitor;

	for (int i = 0; i < OUTBOX_STAGING_TABLES; i++)
		outbox_staging_scan(search->staging, i, others ? 0 : search->own,
							others ? PG_UINT64_MAX : search->own + 1,
							visit_staged, search);
}

static void
visit_deferred(Search *search, HeapTuple row, TupleDesc desc)
{
	OutboxMessage msg;
	const Known *known;
	char	   *reason = SPI_getvalue(row, desc, COLUMN_REASON);
	TransactionId xmin;
	Datum		due_at;
	bool		no_due_at;
	bool		isnull;
	bool		hidden;

	outbox_row_message(row, desc, &msg);
	xmin = DatumGetTransactionId(SPI_getbinval(row, desc, COLUMN_XMIN, &isnull));
	due_at = SPI_getbinval(row, desc, COLUMN_DUE_AT, &no_due_at);
	known = hash_search(search->queues, &msg.queue, HASH_FIND, NULL);
	if (known == NULL ||
		!may_see(search, known, msg.xid == search->own &&
				 TransactionIdIsCurrentTransactionId(xmin), &hidden))
		return;

	if (strcmp(reason, "applied") == 0)
		show(search, known, &msg, hidden, state_of_applied(search, known), 0);
	else
		show(search, known, &msg, hidden, state_of_deferred(reason),
			 no_due_at ? 0 : DatumGetTimestampTz(due_at));
}

/*
 * The transaction's own ones are delayed: so an id is found by its index.
 */
static const char *
deferred_query(const Search *search)
{
	bool		others = search->all || search->monitor;

	return psprintf("SELECT *, xmin FROM outbox.deferred WHERE %s AND %s",
					others ? "true" : "reason = 'delayed' AND xid = $1::text::xid8",
					search->id != NULL ? "id = $2" : "true");
}

static void
find_deferred(Search *search)
{
	Oid			types[] = {TEXTOID, UUIDOID};
	Datum		values[] = {outbox_xid_text(search->own), UUIDPGetDatum(search->id)};
	const char *nulls = search->id != NULL ? "  " : " n";
	Portal		portal = SPI_cursor_open_with_args(NULL, deferred_query(search), 2, types,
												   values, nulls, true, 0);
	MemoryContext old;

	do
	{
		SPI_cursor_fetch(portal, true, ROWS);
		old = MemoryContextSwitchTo(search->scratch);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			visit_deferred(search, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
			MemoryContextReset(search->scratch);
		}
		MemoryContextSwitchTo(old);
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
}

static void
look_for_pages(Search *search)
{
	for (int i = 0; i < OUTBOX_TABLES; i++)
		search->any[i] = RelationGetNumberOfBlocks(search->staging->table[i]) > 0;
}

void
outbox_find_messages(const pg_uuid_t *id, OutboxFoundVisit visit, void *arg)
{
	Search		search = {.id = id,.visit = visit,.arg = arg};
	Oid			role = GetUserId();
	OutboxStaging staging;
	OutboxCaller caller;

	look_at_rights(&search, role);
	if (!search.all && !search.monitor && search.own == 0)
		return;
	search.staging = &staging;
	search.scratch = AllocSetContextCreate(CurrentMemoryContext, "outbox message",
										   ALLOCSET_DEFAULT_SIZES);
	outbox_staging_open_waiting(&staging, OUTBOX_TABLES);
	outbox_read_published(&search.progress);
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	staging.snapshot = GetActiveSnapshot();
	look_for_pages(&search);

	outbox_connect(&caller);
	outbox_read_written(&search.progress);
	list_queues(&search, role);
	find_staged(&search);
	find_deferred(&search);
	outbox_finish(&caller);

	PopActiveSnapshot();
	outbox_staging_close_unlocking(&staging);
	MemoryContextDelete(search.scratch);
}
