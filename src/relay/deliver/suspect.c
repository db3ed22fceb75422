/*-------------------------------------------------------------------------
 *
 * suspect.c
 *	  Queues that the shared link is better without, and why.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Redis closes the connection on which it is sent an argument that is larger than
 * its proto-max-bulk-len; proxies have limits of their own.  The messages of all
 * queues share a link, and each new link would be closed again at the same
 * message.
 *
 *		shared link ──► alone ──► convicted ──► the queue's policy
 *			  ▲			  │
 *			  └───────────┘ has done well
 *
 * Answers come in order, so the connection ended at the oldest request that was
 * not answered.  If that happens twice in a row to the same queue, it goes to a
 * link of its own, with one message at a time.  This blames nobody: a queue that
 * was under way when Redis died twice goes there, too, does well, and comes back.
 *
 * A message is convicted when its queue's own link has ended three times in a
 * row while nothing but this message was under way on it, each of these
 * connections had answered before (the cursor was moved on it), and each time the
 * server lived on.  The witness of that is the shared link: it was connected
 * before the end, was sent a PING after it, and has answered that.  If Redis
 * dies, the shared link ends, too, and nothing is counted.  One time is enough if
 * Redis has answered this very request with "Protocol error".
 *
 * The convicted message is refused as if Redis had answered with an error, by
 * the queue's policy, and is skipped by a call that names its seq only.  If
 * an earlier request was applied after all, that call finds another cursor.
 * A queue with the policy to stand still does so, and tries the message alone
 * again and again.  A message that was convicted before is always sent alone.
 *
 * A cursor with many skipped messages may take long to read, and the answers
 * to all other queues would wait behind it.  It is read on a link of its own, too.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/suspect.h"

#include "redis/errors.h"
#include "relay/base/queues.h"
#include "relay/deliver/plan.h"
#include "relay/deliver/queue_state.h"
#include "utils/memutils.h"

/* ends of the shared link at one queue, until it gets a link of its own */
#define CUTS_TO_BE_ALONE	2

/* ends of its own link at one message, until that is convicted */
#define ENDS_TO_CONVICT		3

/* messages that are answered alone before the queue goes back */
#define CLEAN_TO_GO_BACK	OUTBOX_BATCH_MESSAGES

static List *suspects = NIL;

static QueueSuspect *
mine(const RelayQueue *queue)
{
	outbox_wake_queue(queue);
	return unconstify(QueueSuspect *, queue->suspect);
}

void
outbox_suspect_init(RelayQueue *queue)
{
	queue->suspect = outbox_make_part(queue, sizeof(QueueSuspect));
}

void
outbox_suspect_free(RelayQueue *queue)
{
	suspects = list_delete_ptr(suspects, queue);
}

List *
outbox_suspects(void)
{
	return suspects;
}

static void
set_suspect(RelayQueue *queue, bool alone, bool slow)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	mine(queue)->alone = alone;
	mine(queue)->slow = slow;
	if (outbox_wants_own_link(queue))
		suspects = list_append_unique_ptr(suspects, queue);
	else
		suspects = list_delete_ptr(suspects, queue);
	MemoryContextSwitchTo(old);
}

void
outbox_cursor_is_slow(RelayQueue *queue)
{
	set_suspect(queue, queue->suspect->alone, true);
}

void
outbox_send_alone(RelayQueue *queue)
{
	set_suspect(queue, true, queue->suspect->slow);
	mine(queue)->clean = 0;
}

void
outbox_suspect_is_named(RelayQueue *queue)
{
	mine(queue)->is_named = true;
}

void
outbox_shared_link_was_cut(RelayQueue *queue)
{
	QueueSuspect *suspect = mine(queue);

	if (++suspect->cuts >= CUTS_TO_BE_ALONE || suspect->is_named)
		outbox_send_alone(queue);
	suspect->is_named = false;
}

uint64
outbox_message_under_way(const Request *request)
{
	if (request == NULL || request->count != 1)
		return 0;
	switch (request->kind)
	{
		case REQUEST_BATCH:
		case REQUEST_SKIP:
		case REQUEST_RETRY:
			return request->entries[0].seq;
		default:
			return 0;
	}
}

static SuspectMessage *
find_message(const RelayQueue *queue, uint64 seq)
{
	for (int i = 0; i < OUTBOX_SUSPECTS; i++)
		if (queue->suspect->messages[i].seq == seq && seq != 0)
			return &mine(queue)->messages[i];
	return NULL;
}

static SuspectMessage *
add_message(RelayQueue *queue, uint64 seq)
{
	QueueSuspect *suspect = mine(queue);
	SuspectMessage *message = &suspect->messages[suspect->next];

	suspect->next = (suspect->next + 1) % OUTBOX_SUSPECTS;
	*message = (SuspectMessage) {.seq = seq};
	return message;
}

void
outbox_own_link_was_cut(RelayQueue *queue, uint64 seq, const char *why,
						Link *witness)
{
	QueueSuspect *suspect = mine(queue);

	suspect->clean = 0;
	suspect->asked_for = 0;
	if (seq == 0 || witness->state < LINK_READY)
	{
		suspect->is_named = false;
		return;
	}
	outbox_clean_error(suspect->why, why, sizeof(suspect->why));
	suspect->asked_for = seq;
	suspect->witness = outbox_connection_number(witness->connection);
	outbox_send_command(witness, REQUEST_IGNORED, NULL, 1,
						(const char *const[]) {"PING"});
	suspect->answers = witness->answers + witness->inflight;
}

bool
outbox_judge_suspect(RelayQueue *queue, const Link *witness)
{
	QueueSuspect *suspect = mine(queue);
	SuspectMessage *message = find_message(queue, suspect->asked_for);

	if (suspect->asked_for == 0)
		return true;
	if (outbox_connection_number(witness->connection) != suspect->witness)
	{
		/* the server may have died */
		if (message != NULL)
			message->ends = 0;
	}
	else if (witness->answers < suspect->answers)
		return false;
	else
	{
		if (message == NULL)
			message = add_message(queue, suspect->asked_for);
		message->is_convicted = ++message->ends >= ENDS_TO_CONVICT ||
			suspect->is_named;
	}
	suspect->asked_for = 0;
	suspect->is_named = false;
	return true;
}

void
outbox_suspect_is_answered(RelayQueue *queue, const Request *request)
{
	QueueSuspect *suspect = mine(queue);
	SuspectMessage *message;

	suspect->cuts = 0;
	if (!suspect->alone)
		return;
	suspect->clean += request->count + request->skipped;
	message = find_message(queue, outbox_message_under_way(request));
	if (message != NULL)
		*message = (SuspectMessage) {0};
}

bool
outbox_is_cleared(const RelayQueue *queue)
{
	const QueuePlan *plan = queue->plan;

	return !queue->suspect->alone || queue->suspect->clean >= CLEAN_TO_GO_BACK ||
		(plan->fresh && plan->finished && !outbox_has_planned(queue));
}

void
outbox_suspect_goes_back(RelayQueue *queue)
{
	set_suspect(queue, false, queue->suspect->slow);
}

bool
outbox_is_convicted(const RelayQueue *queue, uint64 seq)
{
	const SuspectMessage *message;

	/* nothing else sends its messages alone */
	if (!queue->suspect->alone || queue->settings->on_failure == OUTBOX_BLOCK)
		return false;
	message = find_message(queue, seq);
	return message != NULL && message->is_convicted;
}

const char *
outbox_conviction(const RelayQueue *queue)
{
	return psprintf("ERR the connection ends whenever this message is sent: %s",
					queue->suspect->why);
}

void
outbox_suspect_is_sentenced(RelayQueue *queue, uint64 seq)
{
	SuspectMessage *message = find_message(queue, seq);

	message->was_convicted = true;
	message->is_convicted = false;
	message->ends = 0;
}

bool
outbox_was_convicted(const RelayQueue *queue, uint64 seq)
{
	const SuspectMessage *message = find_message(queue, seq);

	return message != NULL && message->was_convicted;
}
