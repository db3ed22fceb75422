/*-------------------------------------------------------------------------
 *
 * staged_row.h
 *	  Rows of messages, looked at without reading them whole.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: a message's id, whose it is, and whether there is a record of it.
 * Process: backend.
 * Transaction: the caller's, which has opened the tables.
 * Memory: none.
 * Errors: those of table access.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_STAGED_ROW_H
#define OUTBOX_STAGED_ROW_H

#include "outbox.h"

#include "store/staging.h"

/* get the id of an entry's row; returns false if no row is visible */
extern bool outbox_staged_id(OutboxStaging *staging,
							 const OutboxStagedEntry *entry, pg_uuid_t *id);

/* after that: has this transaction inserted the row? */
extern bool outbox_staged_by_us(OutboxStaging *staging,
								const OutboxStagedEntry *entry);

/* has another table a row of this message that is visible? */
extern bool outbox_staging_has_row(OutboxStaging *staging, int table,
								   const OutboxStagedEntry *entry);

#endif							/* OUTBOX_STAGED_ROW_H */
