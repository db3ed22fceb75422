/*-------------------------------------------------------------------------
 *
 * limits.c
 *	  How large a reply of Redis may be.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * hiredis parses, and believes what it reads: it allocates an array for the
 * number of elements that is announced, follows arrays within arrays as deep as
 * they come (1.0 to 1.2 free them by recursion, so that a million of them is
 * the end of the process and of the server), and collects a string or a line
 * until it ends.  What sends such things need not be Redis, and need not mean
 * harm.
 *
 * The reader calls a function for each array and each string that it makes.
 * Those for arrays and strings are replaced: they count, and return NULL if
 * there is too much.  The reader then fails, as if there were no memory, before
 * it has allocated anything.
 *
 * The reader makes a string when all its bytes have arrived.  Until then they
 * are in its buffer, so the length of the buffer is limited, too.  All else that
 * it waits for is a line: it looks for the end of a line from its beginning
 * each time, so that a long one would cost much time.  Lines are short.
 *
 *-------------------------------------------------------------------------
 */
#include "redis/limits.h"

#include <hiredis/hiredis.h>

#include "compat.h"

/* the longest line: a number, a status or an error */
#define LINE_MAX_BYTES	(64 * 1024)

#define COMPLAINT_SIZE	128

struct OutboxReplyGuard
{
	redisReplyObjectFunctions functions;
	const redisReplyObjectFunctions *hiredis;	/* hiredis's own ones */
	OutboxReplyLimits limits;
	uint64		elements;		/* of the reply, so far */
	uint64		bytes;
	char		complaint[COMPLAINT_SIZE];	/* "": none */
};

OutboxReplyGuard *
outbox_guard_make(void)
{
	return palloc0(sizeof(OutboxReplyGuard));
}

static void
too_many_bytes(OutboxReplyGuard *guard)
{
	snprintf(guard->complaint, COMPLAINT_SIZE,
			 "a reply has more than " UINT64_FORMAT " bytes",
			 guard->limits.bytes);
}

static void *
make_array(const redisReadTask *task, OUTBOX_HIREDIS_COUNT count)
{
	OutboxReplyGuard *guard = task->privdata;
	uint64		n = (uint64) count;
	int			depth = 1;

	for (const redisReadTask *t = task->parent; t != NULL; t = t->parent)
		depth++;
	if (depth > guard->limits.depth)
		snprintf(guard->complaint, COMPLAINT_SIZE,
				 "a reply has arrays more than %d deep", guard->limits.depth);
	else if (guard->elements + n > guard->limits.elements)
		snprintf(guard->complaint, COMPLAINT_SIZE,
				 "a reply has more than " UINT64_FORMAT " elements",
				 guard->limits.elements);
	else
	{
		guard->elements += n;
		return guard->hiredis->createArray(task, count);
	}
	return NULL;
}

static void *
make_string(const redisReadTask *task, char *str, size_t len)
{
	OutboxReplyGuard *guard = task->privdata;

	if (guard->bytes + len > guard->limits.bytes)
	{
		too_many_bytes(guard);
		return NULL;
	}
	guard->bytes += len;
	return guard->hiredis->createString(task, str, len);
}

void
outbox_guard_reader(OutboxReplyGuard *guard, redisReader *reader)
{
	guard->hiredis = reader->fn;
	guard->functions = *reader->fn;
	guard->functions.createArray = make_array;
	guard->functions.createString = make_string;
	reader->fn = &guard->functions;
	reader->privdata = guard;
	guard->complaint[0] = '\0';
	outbox_guard_next(guard);
}

void
outbox_guard_limits(OutboxReplyGuard *guard, const OutboxReplyLimits *limits)
{
	guard->limits = *limits;
}

void
outbox_guard_next(OutboxReplyGuard *guard)
{
	guard->elements = 0;
	guard->bytes = 0;
}

/*
 * Is what the reader waits for the end of a line that is too long?
 */
static bool
is_long_line(const redisReader *reader)
{
	const char *begin = reader->buf + reader->pos;

	if (reader->len - reader->pos <= LINE_MAX_BYTES)
		return false;
	for (size_t i = 0; i + 1 < LINE_MAX_BYTES; i++)
		if (begin[i] == '\r' && begin[i + 1] == '\n')
			return false;
	return true;
}

const char *
outbox_guard_complaint(OutboxReplyGuard *guard, const redisReader *reader)
{
	if (guard->complaint[0] == '\0' && !reader->err)
	{
		if (is_long_line(reader))
			snprintf(guard->complaint, COMPLAINT_SIZE,
					 "a reply has a line of more than %d bytes", LINE_MAX_BYTES);
		else if (guard->bytes + reader->len - reader->pos >
				 guard->limits.bytes + LINE_MAX_BYTES)
			too_many_bytes(guard);
	}
	return guard->complaint[0] != '\0' ? guard->complaint : NULL;
}
