/*-------------------------------------------------------------------------
 *
 * tell.c
 *	  Tell who listens that messages were given up.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * PostgreSQL has all sessions that NOTIFY commit one after the other.  Whoever
 * hangs in its commit, because a synchronous standby is away for example, holds
 * up every other one.  So the relay doesn't notify in the transaction that
 * records a dead letter, but later in one of its own, which it gives up after
 * lock_timeout and tries again.  By then the dead letter is on disk.
 *
 * What was not told yet when the relay ends isn't told any more: notifications
 * are for people who watch, and outbox.dead_letters is what counts.  The same
 * goes if the notification queue is half full, because a session listens and
 * doesn't read, or if very many are untold.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/tell.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/async.h"
#include "lib/ilist.h"
#include "relay/base/mishap.h"
#include "relay/base/step.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/memutils.h"

#define NOTIFY_CHANNEL	"outbox_dead_letter"

/* untold at a time, and told in one transaction */
#define MAX_UNTOLD		10000
#define TELL_AT_ONCE	100

typedef struct Untold
{
	dlist_node	node;
	bool		committed;
	char		text[FLEXIBLE_ARRAY_MEMBER];
} Untold;

static dlist_head untold = DLIST_STATIC_INIT(untold);
static int	nuntold = 0;
static Mishap telling = {"notify of dead letters"};

static void
forget(Untold *one)
{
	dlist_delete(&one->node);
	nuntold--;
	pfree(one);
}

/*
 * Only what has been committed is told.
 */
static void
at_end_of_transaction(XactEvent event, void *arg)
{
	dlist_mutable_iter iter;

	if (nuntold == 0 ||
		(event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT))
		return;
	dlist_foreach_modify(iter, &untold)
	{
		Untold	   *one = dlist_container(Untold, node, iter.cur);

		if (event == XACT_EVENT_COMMIT)
			one->committed = true;
		else if (!one->committed)
			forget(one);
	}
}

void
outbox_tell_later(const char *queue, const char *id)
{
	static bool registered = false;
	StringInfoData text;
	Untold	   *one;

	if (nuntold == MAX_UNTOLD)
		return;
	if (!registered)
		RegisterXactCallback(at_end_of_transaction, NULL);
	registered = true;
	initStringInfo(&text);
	appendStringInfoString(&text, "{\"queue\": ");
	escape_json(&text, queue);
	appendStringInfo(&text, ", \"id\": \"%s\"}", id);
	one = MemoryContextAlloc(TopMemoryContext,
							 offsetof(Untold, text) + text.len + 1);
	one->committed = false;
	memcpy(one->text, text.data, text.len + 1);
	dlist_push_tail(&untold, &one->node);
	nuntold++;
}

/*
 * Tell the first of them, or forget them all.
 */
static void
tell(void)
{
	bool		may;
	int			n = 0;
	dlist_iter	iter;

	XLogFlush(XactLastCommitEnd);
	outbox_begin_step();
	may = DatumGetFloat8(OidFunctionCall0(F_PG_NOTIFICATION_QUEUE_USAGE)) <= 0.5;
	dlist_foreach(iter, &untold)
	{
		if (may && n == TELL_AT_ONCE)
			break;
		if (may)
			Async_Notify(NOTIFY_CHANNEL,
						 dlist_container(Untold, node, iter.cur)->text);
		n++;
	}
	outbox_end_step();
	while (n-- > 0)
		forget(dlist_head_element(Untold, node, &untold));
}

void
outbox_tell_dead_letters(OutboxTime now)
{
	MemoryContext context = CurrentMemoryContext;

	if (nuntold == 0 || !outbox_may_try(&telling, now))
		return;
	PG_TRY();
	{
		tell();
		outbox_has_not_failed(&telling, now);
	}
	PG_CATCH();
	{
		outbox_it_has_failed(&telling, context);
	}
	PG_END_TRY();
}
