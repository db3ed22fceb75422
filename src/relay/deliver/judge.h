/*-------------------------------------------------------------------------
 *
 * judge.h
 *	  Whose cursor is it?
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: decide by the runs that a cursor names and those of this database
 *	  whether what the cursor covers is part of this database's history.
 * Process: relay.
 * Transaction: none needed.
 * Memory: the current context.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_JUDGE_H
#define OUTBOX_RELAY_JUDGE_H

#include "outbox.h"

#include "store/run.h"

typedef enum VerdictKind
{
	VERDICT_OURS,				/* this run has moved it */
	VERDICT_GO_ON,				/* all that it covers is ours */
	VERDICT_CLIP,				/* ... up to Verdict.left */
	VERDICT_FENCED,				/* another server was promoted, and goes on */
	VERDICT_FOREIGN,			/* it covers what this database doesn't have */
	VERDICT_SET_BACK			/* ... and once had */
} VerdictKind;

typedef struct Verdict
{
	VerdictKind kind;
	XLogRecPtr	left;			/* where our history left the cursor's */
	bool		moved;			/* the cursor's run was at another place or of
								 * another system, and none was promoted since */
} Verdict;

/*
 * line: the runs that the cursor names; lsn: of its position; history: the runs
 * of this database, of which the last one is the server's own.
 */
extern Verdict outbox_judge(const OutboxHistory *line, XLogRecPtr lsn,
							const OutboxHistory *history);

#endif							/* OUTBOX_RELAY_JUDGE_H */
