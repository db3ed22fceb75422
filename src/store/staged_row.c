/*-------------------------------------------------------------------------
 *
 * staged_row.c
 *	  Rows of messages, looked at without reading them whole.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A payload may be long and lie in a toast table.  Who looks for some messages
 * among many reads no more of the others than what fits into their pages.
 *
 *-------------------------------------------------------------------------
 */
#include "store/staged_row.h"

#include "access/sysattr.h"
#include "access/xact.h"

bool
outbox_staged_id(OutboxStaging *staging, const OutboxStagedEntry *entry,
				 pg_uuid_t *id)
{
	TimestampTz at;
	bool		isnull;

	if (!outbox_staging_visible(staging, entry, &at))
		return false;
	*id = *DatumGetUUIDP(slot_getattr(staging->slot[entry->table], Anum_staging_id,
									  &isnull));
	return true;
}

/*
 * The id of this transaction may have been another transaction's before, where a
 * server was set back.
 */
bool
outbox_staged_by_us(OutboxStaging *staging, const OutboxStagedEntry *entry)
{
	bool		isnull;
	Datum		xmin = slot_getsysattr(staging->slot[entry->table],
									   MinTransactionIdAttributeNumber, &isnull);

	return TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
}

typedef struct Wanted
{
	OutboxStaging *staging;
	const OutboxStagedEntry *entry;
	bool		found;
} Wanted;

/*
 * A message has several entries if its row was updated.
 */
static OutboxWalk
look_at(void *arg, const OutboxStagedEntry *entry, OutboxStagedKey *key)
{
	Wanted	   *wanted = arg;
	TimestampTz at;

	if (entry->xid != wanted->entry->xid || entry->queue != wanted->entry->queue ||
		entry->seq != wanted->entry->seq)
		return OUTBOX_WALK_STOP;
	wanted->found = outbox_staging_visible(wanted->staging, entry, &at);
	return wanted->found ? OUTBOX_WALK_STOP : OUTBOX_WALK_ON;
}

bool
outbox_staging_has_row(OutboxStaging *staging, int table,
					   const OutboxStagedEntry *entry)
{
	OutboxStagedKey from = {entry->xid, entry->queue, entry->seq};
	Wanted		wanted = {staging, entry, false};

	(void) outbox_staging_walk(staging, table, &from, entry->xid + 1, look_at,
							   &wanted);
	return wanted.found;
}
