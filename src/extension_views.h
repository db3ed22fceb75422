/*-------------------------------------------------------------------------
 *
 * extension_views.h
 *	  Have queues' views dropped with the extension.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: DROP EXTENSION needs no CASCADE for what outbox has made, and that keeps
 *	  its name.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: none.
 * Errors: those of the catalog; OBJECT_NOT_IN_PREREQUISITE_STATE for a view's name.
 * Locks: RowExclusiveLock on pg_depend.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_EXTENSION_VIEWS_H
#define OUTBOX_EXTENSION_VIEWS_H

#include "outbox.h"

#include "nodes/parsenodes.h"

/* the schema of queues' views */
#define OUTBOX_VIEWS "outbox_queues"

/* this view is dropped with the extension */
extern void outbox_depend_on_extension(Oid view);

/* so are all views that have the trigger of queues' views */
extern void outbox_views_depend_on_extension(void);

/* an error if the command renames a view, or moves it to another schema */
extern void outbox_views_keep_their_names(Node *command);

#endif							/* OUTBOX_EXTENSION_VIEWS_H */
