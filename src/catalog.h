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
 *	  in this database; see outbox_owner().
 * Locks: none are taken.
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
	OUTBOX_REL_DEFERRED_NUMBERS,
	OUTBOX_REL_DEAD_LETTER,
	OUTBOX_REL_DEAD_LETTER_INDEX,
	OUTBOX_REL_RESEND_REQUEST,
	OUTBOX_REL_QUEUE_TOTAL,
	OUTBOX_REL_RETURNED,
	OUTBOX_REL_RETURNED_N,
	OUTBOX_REL_CONSUMER_POSITION,
	OUTBOX_REL_RELAY_STATE,
	OUTBOX_REL_DELIVERY,
	OUTBOX_REL_RUN,
	OUTBOX_REL_BACKFILL,
	OUTBOX_REL_SEQ,
	OUTBOX_REL_DELIVERED,
	OUTBOX_REL_APPLIED,
	OUTBOX_NRELATIONS
} OutboxRelation;

/* what is shown of a relation that is in the way, see lock.h */
#define OUTBOX_OBSTACLE_SIZE 256

/* look all relations up; returns false if the extension is not installed */
extern bool outbox_catalog_load(void);

/* returns a relation's OID */
extern Oid	outbox_relid(OutboxRelation which);

/* returns the owner of all relations; an error if they have several */
extern Oid	outbox_owner(void);

/*
 * Looks all relations up again if one has changed.  True if this relation and the
 * owner are those that were found before.
 */
extern bool outbox_catalog_has_still(OutboxRelation which);

/* returns a relation's name without its schema */
extern const char *outbox_relation_text(OutboxRelation which);

/* have all relations looked up again by the next use */
extern void outbox_catalog_forget(void);

/* returns a number that grows whenever one of the relations has changed */
extern uint64 outbox_catalog_epoch(void);

#endif							/* OUTBOX_CATALOG_H */
