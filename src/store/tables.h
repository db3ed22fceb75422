/*-------------------------------------------------------------------------
 *
 * tables.h
 *	  SQL over the extension's tables that must agree wherever it stands.
 *
 * Purpose: one spelling of each predicate, beside each other.  The install
 *	  script has the same ones in its indexes.
 * Process: backend and relay.  Transaction, memory, errors, locks: those of
 *	  the statements that the macros are part of.
 *
 * Parameters have names here, see query.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_TABLES_H
#define OUTBOX_TABLES_H

/* the columns of a staging table, of which others have more */
#define OUTBOX_STAGING_COLUMNS "xid, seq, enqueued_at, id, queue, timeline," \
	" attempts, kind, type, key, headers, payload, history, options"

#define OUTBOX_STAGED "(SELECT * FROM outbox.staging_1 UNION ALL" \
	" SELECT * FROM outbox.staging_2)"

/*
 * A position covers a row, see outbox_position_covers().  $prev, $cur and
 * $last are its snapshots, as text, and its seq.
 */
#define OUTBOX_COVERED(row) \
	"(pg_visible_in_snapshot(" row ".xid, $prev::pg_snapshot)" \
	" OR (pg_visible_in_snapshot(" row ".xid, $cur::pg_snapshot)" \
	" AND " row ".seq <= $last))"

/* reasons of deferred messages that are in a skip list */
#define OUTBOX_REASONS_SKIPPED "('retry', 'behind')"

/*
 * ... of those whose number some cursor knows: it is unique with the queue.
 * Where the search path is the caller's, "reason IN" has to be written as
 * "reason OPERATOR(pg_catalog.=) ANY (ARRAY[...])".
 */
#define OUTBOX_NUMBERED "'retry', 'behind', 'evacuated', 'applied'"
#define OUTBOX_REASONS_NUMBERED "(" OUTBOX_NUMBERED ")"
#define OUTBOX_REASONS_NUMBERED_ARRAY "[" OUTBOX_NUMBERED "]"

/* dead letters whose number some cursor knows; others came out of a dump */
#define OUTBOX_DEAD_NUMBERED "timeline > 0"

/* what messages of one key have in common, see outbox_key_hash() */
#define OUTBOX_KEY_HASH(key) "hashtextextended(" key " COLLATE \"C\", 0)"

#endif							/* OUTBOX_TABLES_H */
