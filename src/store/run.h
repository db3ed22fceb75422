/*-------------------------------------------------------------------------
 *
 * run.h
 *	  The runs of servers that a database's history consists of.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: keep them in outbox.run; write the last ones into a cursor and read
 *	  them there.
 * Process: relay, and the backend of CREATE EXTENSION.
 * Transaction: the caller's, with SPI connected, for the table; none for text.
 * Memory: palloc'ed in the current context.
 * Errors: those of SQL.
 * Locks: those of the statements.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RUN_H
#define OUTBOX_RUN_H

#include "outbox.h"

#include "lib/stringinfo.h"
#include "server_run.h"

/* runs that a cursor names */
#define OUTBOX_LINE_RUNS	8

/* the oldest run comes first */
typedef struct OutboxHistory
{
	int			n;
	OutboxRun  *runs;
} OutboxHistory;

/* add a run to the table, unless it is the newest one there */
extern void outbox_record_run(const OutboxRun *run);

extern OutboxHistory *outbox_read_history(MemoryContext context);

/* does the table have runs before this one? */
extern bool outbox_has_run_before(const char *id);

/* append the last runs, without their places */
extern void outbox_line_print(StringInfo out, const OutboxHistory *history);

/* read these; false if the text is no list of runs */
extern bool outbox_line_parse(const char *text, OutboxHistory *line);

#endif							/* OUTBOX_RUN_H */
