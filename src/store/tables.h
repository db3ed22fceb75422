/*-------------------------------------------------------------------------
 *
 * tables.h
 *	  SQL about the extension's tables that several statements share.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: one spelling of each predicate.  The partial indexes in the install
 *	  script have the same predicates.
 * Process: backend and relay.
 * Transaction, memory, errors, locks: those of the statements that use the
 *	  macros.
 *
 * Parameters have names, see query.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_TABLES_H
#define OUTBOX_TABLES_H

/* the columns of a staging table; outbox.deferred and dead_letter have more */
#define OUTBOX_STAGING_COLUMNS "xid, seq, enqueued_at, id, lsn, queue," \
	" attempts, kind, type, key, headers, payload, history, options"

/* is a row's queue this queue, a row of outbox.queue, or one of its partitions? */
#define OUTBOX_IS_OF_QUEUE(id, queue) "(" id " BETWEEN " queue ".id AND " \
	queue ".id + " queue ".partitions - 1)"

#define OUTBOX_STAGED "(SELECT * FROM outbox.staging_1 UNION ALL" \
	" SELECT * FROM outbox.staging_2)"

/*
 * True for rows that a position covers, like outbox_position_covers().  $prev,
 * $cur and $last are the position's snapshots, as text, and its seq.
 */
#define OUTBOX_COVERED(row) \
	"(pg_visible_in_snapshot(" row ".xid, $prev::pg_snapshot)" \
	" OR (pg_visible_in_snapshot(" row ".xid, $cur::pg_snapshot)" \
	" AND " row ".seq <= $last))"

/* the reasons of deferred messages that are in a skip list */
#define OUTBOX_REASONS_SKIPPED "('retry', 'behind')"

/*
 * The reasons of deferred messages whose seq a cursor may have covered; queue
 * and seq are unique for these.
 */
#define OUTBOX_NUMBERED "'retry', 'behind', 'evacuated', 'applied'"
#define OUTBOX_REASONS_NUMBERED "(" OUTBOX_NUMBERED ")"

/* dead letters with a seq of this database; the others came out of a dump */
#define OUTBOX_DEAD_NUMBERED "lsn > '0/0'"

/* the oid of the database that one is connected to */
#define OUTBOX_THIS_DATABASE \
	"(SELECT oid FROM pg_database WHERE datname = current_database())"

/* a hash of a message's key, the same as outbox_key_hash() */
#define OUTBOX_KEY_HASH(key) "hashtextextended(" key " COLLATE \"C\", 0)"

#endif							/* OUTBOX_TABLES_H */
