/*-------------------------------------------------------------------------
 *
 * position.c
 *	  Snapshots as sets of transactions, and the cursor's position.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Sequence numbers are drawn before commit, so a position cannot be a number n,
 * "all up to n have been sent": a transaction that drew a lower number may
 * commit later.  But a snapshot says which transactions had ended when it was
 * taken.  A tick is the difference of two such sets.  Within a tick the numbers
 * give the order: messages that were enqueued after another transaction's
 * commit have greater numbers than that transaction's.
 *
 * A position is therefore a pair of snapshots and a number.  Its text,
 *
 *		lsn prev cur token		0/16B3748 740:742:740 740:745:740,743 5c0e3d1f9a7b2c44.7
 *
 * is compared in Redis as bytes, so a position must have exactly one spelling:
 * snapshots are written in the form of pg_snapshot (xmin:xmax:xip,...), with
 * xip sorted, and xmin the first of xip or else xmax.  The token is the one of the
 * connection that moved the cursor there (server_run.h).
 *
 * Everything here is a function of its arguments.
 *
 *-------------------------------------------------------------------------
 */
#include "store/position.h"

#include "lib/qunique.h"

OutboxSnap *
outbox_snap_make(uint64 xmax, int nxip, const uint64 *xip)
{
	OutboxSnap *snap;

	snap = palloc(offsetof(OutboxSnap, xip) + nxip * sizeof(uint64));
	snap->refcount = 1;
	snap->xmax = xmax;
	snap->nxip = nxip;
	if (nxip > 0)
		memcpy(snap->xip, xip, nxip * sizeof(uint64));
	return snap;
}

int
outbox_compare_xids(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

/*
 * While a transaction is being prepared PostgreSQL may list it twice.
 */
OutboxSnap *
outbox_snap_from_list(uint64 xmax, int nxip, uint64 *xip)
{
	qsort(xip, nxip, sizeof(uint64), outbox_compare_xids);
	nxip = (int) qunique(xip, nxip, sizeof(uint64), outbox_compare_xids);
	return outbox_snap_make(xmax, nxip, xip);
}

OutboxSnap *
outbox_snap_clip(const OutboxSnap *snap, uint64 below, const OutboxSnap *then)
{
	uint64		xmax = Min(snap->xmax, below);
	uint64	   *xip = palloc((snap->nxip + then->nxip + 1) * sizeof(uint64));
	OutboxSnap *result;
	int			n = 0;

	for (int i = 0; i < snap->nxip; i++)
		if (snap->xip[i] < xmax)
			xip[n++] = snap->xip[i];
	for (int i = 0; i < then->nxip; i++)
		if (then->xip[i] < xmax)
			xip[n++] = then->xip[i];
	result = outbox_snap_from_list(xmax, n, xip);
	pfree(xip);
	return result;
}

OutboxSnap *
outbox_snap_ref(OutboxSnap *snap)
{
	snap->refcount++;
	return snap;
}

void
outbox_snap_unref(OutboxSnap *snap)
{
	if (snap != NULL && --snap->refcount == 0)
		pfree(snap);
}

bool
outbox_snap_sees(const OutboxSnap *snap, uint64 xid)
{
	int			low = 0;
	int			high = snap->nxip;

	if (xid >= snap->xmax)
		return false;

	while (low < high)
	{
		int			mid = (low + high) / 2;

		if (snap->xip[mid] == xid)
			return false;
		if (snap->xip[mid] < xid)
			low = mid + 1;
		else
			high = mid;
	}
	return true;
}

bool
outbox_snap_contains(const OutboxSnap *snap, const OutboxSnap *other)
{
	if (snap->xmax < other->xmax)
		return false;
	for (int i = 0; i < snap->nxip; i++)
		if (outbox_snap_sees(other, snap->xip[i]))
			return false;
	return true;
}

bool
outbox_position_contains(const OutboxPosition *pos, const OutboxPosition *other)
{
	return outbox_snap_contains(pos->prev, other->cur) ||
		(outbox_snap_contains(pos->prev, other->prev) &&
		 outbox_snap_contains(pos->cur, other->cur) && pos->seq >= other->seq);
}

bool
outbox_position_covers(const OutboxPosition *pos, uint64 xid, uint64 seq)
{
	return outbox_snap_sees(pos->prev, xid) ||
		(seq <= pos->seq && outbox_snap_sees(pos->cur, xid));
}

void
outbox_snap_print(StringInfo out, const OutboxSnap *snap)
{
	appendStringInfo(out, UINT64_FORMAT ":" UINT64_FORMAT ":",
					 snap->nxip > 0 ? snap->xip[0] : snap->xmax, snap->xmax);
	for (int i = 0; i < snap->nxip; i++)
		appendStringInfo(out, "%s" UINT64_FORMAT, i > 0 ? "," : "",
						 snap->xip[i]);
}

void
outbox_position_print(StringInfo out, XLogRecPtr lsn, const OutboxSnap *prev,
					  const OutboxSnap *cur, const char *token)
{
	appendStringInfo(out, "%X/%X ", LSN_FORMAT_ARGS(lsn));
	outbox_snap_print(out, prev);
	appendStringInfoChar(out, ' ');
	outbox_snap_print(out, cur);
	appendStringInfoChar(out, ' ');
	appendStringInfoString(out, token);
}

/*
 * Read one decimal number and the character that must follow it.
 */
static bool
parse_number(const char **s, char after, uint64 *result)
{
	char	   *end;

	if (**s < '0' || **s > '9')
		return false;
	errno = 0;
	*result = strtoull(*s, &end, 10);
	if (errno != 0 || *end != after)
		return false;
	*s = after != '\0' ? end + 1 : end;
	return true;
}

static OutboxSnap *
parse_snap(const char **s, char after)
{
	OutboxSnap *snap;
	uint64		xmin;
	uint64		xmax;
	int			n = 0;

	if (!parse_number(s, ':', &xmin) || !parse_number(s, ':', &xmax))
		return NULL;

	for (const char *p = *s; *p != '\0' && *p != after; p++)
		n += (*p == ',') || p == *s;

	snap = palloc(offsetof(OutboxSnap, xip) + n * sizeof(uint64));
	snap->refcount = 1;
	snap->xmax = xmax;
	snap->nxip = n;
	for (int i = 0; i < n; i++)
	{
		if (!parse_number(s, i < n - 1 ? ',' : after, &snap->xip[i]) ||
			snap->xip[i] >= xmax ||
			(i > 0 && snap->xip[i] <= snap->xip[i - 1]))
			return NULL;
	}
	if (n == 0)
	{
		if (**s != after)
			return NULL;
		*s += (after != '\0');
	}
	return xmin == (n > 0 ? snap->xip[0] : xmax) ? snap : NULL;
}

bool
outbox_position_parse(const char *pos, const char *seq,
					  OutboxPosition *result)
{
	uint32		hi;
	uint32		lo;
	int			used = 0;

	if (sscanf(pos, "%X/%X %n", &hi, &lo, &used) != 2 || used == 0)
		return false;
	pos += used;

	result->lsn = ((uint64) hi) << 32 | lo;
	result->prev = parse_snap(&pos, ' ');
	result->cur = result->prev != NULL ? parse_snap(&pos, ' ') : NULL;
	return result->cur != NULL && parse_number(&seq, '\0', &result->seq);
}
