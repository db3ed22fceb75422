/*-------------------------------------------------------------------------
 *
 * catalog.h
 *	  The extension's relations.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: find them by name once, and notice when they change.
 * Process: backend and relay.
 * Transaction: the caller's.
 * Memory: static.
 * Errors: UNDEFINED_OBJECT from outbox_relid() if the extension is not installed
 *	  in this database.
 * Locks: those that outbox_lock_...() is asked for, to the transaction's end.
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
	OUTBOX_REL_RUN,
	OUTBOX_REL_SEQ,
	OUTBOX_REL_DELIVERED,
	OUTBOX_REL_APPLIED,
	OUTBOX_NRELATIONS
} OutboxRelation;

/* look all relations up; returns false if the extension is not installed */
extern bool outbox_catalog_load(void);

/* returns a relation's OID */
extern Oid	outbox_relid(OutboxRelation which);

/*
 * Take AccessShareLock.  Returns false, without waiting, if somebody holds a
 * lock that conflicts or the relation is gone.  The relay never waits for a
 * lock: it would deadlock with a user's DDL that waits for the relay's locks.
 */
extern bool outbox_lock_relation(OutboxRelation which);

/* the same with RowExclusiveLock */
extern bool outbox_lock_to_write(OutboxRelation which);

/* have all relations looked up again by the next use */
extern void outbox_catalog_forget(void);

/* returns a number that grows whenever one of the relations has changed */
extern uint64 outbox_catalog_epoch(void);

#endif							/* OUTBOX_CATALOG_H */
