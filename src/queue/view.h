/*-------------------------------------------------------------------------
 *
 * view.h
 *	  The views in schema outbox_queues, which carry the rights on queues.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: find a queue's view, and check the right to enqueue.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: names are palloc'ed in the current context.
 * Errors: INSUFFICIENT_PRIVILEGE, UNDEFINED_SCHEMA.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_VIEW_H
#define OUTBOX_VIEW_H

#include "outbox.h"

#include "extension_views.h"

/* returns the view's name, without its schema */
extern char *outbox_view_name(int32 id, const char *queue);

/* returns its name with the schema, quoted */
extern char *outbox_view_full_name(int32 id, const char *queue);

/* returns its OID, or InvalidOid if there is none; the catalog is read */
extern Oid	outbox_view_find(int32 id, const char *queue);

/* may the role enqueue to the queue? */
extern bool outbox_may_enqueue(const OutboxQueue *queue, Oid role);

/* ... an error unless it may */
extern void outbox_need_right(const OutboxQueue *queue, Oid role);

#endif							/* OUTBOX_VIEW_H */
