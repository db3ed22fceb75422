/*-------------------------------------------------------------------------
 *
 * shape.h
 *	  Whether our relations are as outbox has made them.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: refuse a relation that somebody has changed by hand, and say how.
 * Process: backend and relay.
 * Transaction: the caller's.
 * Memory: texts are in the current context.
 * Errors: OBJECT_NOT_IN_PREREQUISITE_STATE from outbox_need_shape().
 * Locks: the caller has locked the relation and, in the relay, its indexes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SHAPE_H
#define OUTBOX_SHAPE_H

#include "outbox.h"

#include "catalog.h"
#include "utils/relcache.h"

/* has the relation been found to have its shape since the catalog changed? */
extern bool outbox_shape_is_checked(OutboxRelation which);

/* see whether it has its shape; returns how it has been changed by hand */
extern char *outbox_check_shape(Relation rel, OutboxRelation which);

/* the same, as an error, unless it was seen before */
extern void outbox_need_shape(Relation rel, OutboxRelation which);

#endif							/* OUTBOX_SHAPE_H */
