/*-------------------------------------------------------------------------
 *
 * judge.c
 *	  Whose cursor is it?
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A cursor names the last runs of the history of the server that moved it, and
 * how far that server's WAL had got.  We have our own runs.
 *
 *		base		the newest run that both have
 *		left		up to here we have what base wrote: where the run after base
 *					in our history begins, or where our timeline left base's, if
 *					no relay recorded a run in between
 *		reached		up to here they have what base wrote: the cursor's LSN if
 *					base is the run that moved it, else where the run after base
 *					in the cursor's line begins
 *
 *		the cursor's run is our current one						ours
 *		no base, or base is our current run: they came after us	fenced, foreign
 *		base is the cursor's run and reached <= left			go on
 *		a standby of base was promoted to a timeline that is
 *		newer than the cursor's, and reached >= left			clip
 *		else			fenced, if their timeline is newer than ours; set back, if
 *						base is the cursor's run; foreign
 *
 * "Fenced" is for the old primary after a failover, and ends by itself when that
 * server becomes the newer one.  "Set back" and "foreign" are for an operator.
 *
 * This is one function of its arguments and of pg_wal's timeline history; the
 * rules are those of test/model.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/judge.h"

#include "access/timeline.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"

static int
find_run(const OutboxHistory *history, const char *id)
{
	for (int i = history->n - 1; i >= 0; i--)
		if (strcmp(history->runs[i].id, id) == 0)
			return i;
	return -1;
}

/*
 * Where the next record will be is behind the header of a page if the last one has
 * filled the page before it; where that one ends is before the header.  A cursor's LSN
 * is the former, and a run begins at the latter after a crash: here both are the end.
 */
static XLogRecPtr
end_of_record(XLogRecPtr lsn)
{
	uint64		offset = lsn % XLOG_BLCKSZ;
	XLogRecPtr	page = lsn - offset;

	return offset <= (XLogSegmentOffset(page, wal_segment_size) == 0 ?
					  SizeOfXLogLongPHD : SizeOfXLogShortPHD) ? page : lsn;
}

/*
 * Up to where we have what a run of ours has written.
 */
static XLogRecPtr
left_at(const OutboxHistory *history, int base)
{
	const OutboxRun *run = &history->runs[base];
	const OutboxRun *after = &history->runs[base + 1];
	const OutboxRun *current = &history->runs[history->n - 1];
	XLogRecPtr	left = after->start;
	ListCell   *lc;

	/* pg_upgrade begins to count timelines anew */
	if (after->system != run->system || current->system != run->system)
		return left;
	foreach(lc, readTimeLineHistory(current->timeline))
	{
		const TimeLineHistoryEntry *entry = lfirst(lc);

		if (entry->tli > run->timeline)
			left = Min(left, entry->begin);
	}
	return left;
}

Verdict
outbox_judge(const OutboxHistory *line, XLogRecPtr lsn,
			 const OutboxHistory *history)
{
	const OutboxRun *ours = &history->runs[history->n - 1];
	const OutboxRun *theirs = &line->runs[line->n - 1];
	bool		newer = theirs->system == ours->system &&
	theirs->timeline > ours->timeline;
	Verdict		verdict = {0};
	const OutboxRun *base;
	const OutboxRun *after;
	XLogRecPtr	left;
	XLogRecPtr	reached;
	int			common;			/* base's place in the line, */
	int			n = -1;			/* ... and in our history */

	if (strcmp(theirs->id, ours->id) == 0)
		return verdict;

	for (common = line->n - 1; common >= 0; common--)
		if ((n = find_run(history, line->runs[common].id)) >= 0)
			break;
	verdict.kind = newer ? VERDICT_FENCED : VERDICT_FOREIGN;
	if (common < 0 || n == history->n - 1)
		return verdict;

	base = &history->runs[n];
	after = base + 1;
	verdict.left = left_at(history, n);
	left = end_of_record(verdict.left);
	reached = end_of_record(common == line->n - 1 ? lsn : line->runs[common + 1].start);

	if (common == line->n - 1 && reached <= left)
	{
		bool		promoted = ours->system == theirs->system &&
		ours->timeline > theirs->timeline;

		verdict.kind = VERDICT_GO_ON;
		verdict.moved = !promoted && strcmp(base->place, ours->place) != 0;
	}
	else if (after->system == base->system && base->system == theirs->system &&
			 after->timeline > base->timeline &&
			 after->timeline > theirs->timeline && reached >= left)
		verdict.kind = VERDICT_CLIP;
	else if (!newer && common == line->n - 1)
		verdict.kind = VERDICT_SET_BACK;
	return verdict;
}
