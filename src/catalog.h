/*-------------------------------------------------------------------------
 *
 * catalog.h
 *	  The extension's relations.
 *
 * Purpose: find them by name once, and notice when they change.
 * Process: backend and relay.
 * Transaction: the caller's.
 * Memory: static.
 * Errors: UNDEFINED_OBJECT if the extension isn't in this database.
 * Locks: none kept.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CATALOG_H
#define OUTBOX_CATALOG_H

#include "outbox.h"

typedef enum OutboxRelation
{
	OUTBOX_REL_STAGING_1,
	OUTBOX_REL_STAGING_2,
	OUTBOX_REL_STAGING_1_INDEX,
	OUTBOX_REL_STAGING_2_INDEX,
	OUTBOX_REL_QUEUE,
	OUTBOX_REL_QUEUE_INDEX,
	OUTBOX_REL_DEFERRED,
	OUTBOX_REL_DEFERRED_INDEX,
	OUTBOX_REL_DEAD_LETTER,
	OUTBOX_REL_DEAD_LETTER_INDEX,
	OUTBOX_REL_RESEND_REQUEST,
	OUTBOX_REL_QUEUE_TOTAL,
	OUTBOX_REL_RETURNED,
	OUTBOX_REL_CONSUMER_POSITION,
	OUTBOX_REL_RELAY_STATE,
	OUTBOX_REL_SEQ,
	OUTBOX_REL_DELIVERED,
	OUTBOX_REL_APPLIED,
	OUTBOX_NRELATIONS
} OutboxRelation;

/* false if the extension isn't there */
extern bool outbox_catalog_load(void);

extern Oid	outbox_relid(OutboxRelation which);

/*
 * Take AccessShareLock if nobody is in the way and the relation exists.  The
 * relay never waits for a lock: a user's DDL that waits for one of the relay's
 * would be a deadlock.
 */
extern bool outbox_lock_relation(OutboxRelation which);

/* likewise, RowExclusiveLock */
extern bool outbox_lock_to_write(OutboxRelation which);

/* look all up again next time */
extern void outbox_catalog_forget(void);

/* moves on whenever one of the relations has changed */
extern uint64 outbox_catalog_epoch(void);

#endif							/* OUTBOX_CATALOG_H */
