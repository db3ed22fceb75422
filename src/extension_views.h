/*-------------------------------------------------------------------------
 *
 * extension_views.h
 *	  Have queues' views dropped with the extension.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: DROP EXTENSION needs no CASCADE for what outbox has made.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: none.
 * Errors: those of the catalog.
 * Locks: RowExclusiveLock on pg_depend.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_EXTENSION_VIEWS_H
#define OUTBOX_EXTENSION_VIEWS_H

#include "outbox.h"

/* this view is dropped with the extension */
extern void outbox_depend_on_extension(Oid view);

/* so are all views that have the trigger of queues' views */
extern void outbox_views_depend_on_extension(void);

#endif							/* OUTBOX_EXTENSION_VIEWS_H */
