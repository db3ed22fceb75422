/*-------------------------------------------------------------------------
 *
 * sent.c
 *	  What is noted when a batch is sent, and when it is answered.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Batches of a queue are pipelined: before the answer to a batch has come, the
 * next batch is made for the position to which the first one moves the cursor.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/sent.h"

#include "relay/base/shown.h"
#include "relay/base/wanted.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/plan.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/suspect.h"
#include "utils/memutils.h"

void
outbox_send_call(RelayQueue *queue, const ScriptCall *call)
{
	ScriptCall	expecting = *call;
	char		seq[OUTBOX_UINT64_SIZE];

	(void) outbox_uint64_text(queue->cursor->expect_seq, seq);
	expecting.expect_text = queue->cursor->expect_text;
	expecting.expect_seq = seq;
	expecting.expect_count = queue->cursor->expect_count;
	outbox_call_script(queue, &expecting);
}

Request *
outbox_expect_batch(RequestKind kind, RelayQueue *queue, int count)
{
	const QueuePlan *plan = queue->plan;
	Request    *request = outbox_expect_answer(queue->link, kind, queue);

	request->finishes = plan->finished;
	request->to.prev = outbox_snap_ref(plan->prev);
	request->to.cur = outbox_snap_ref(plan->cur);
	request->to.seq = plan->sent_seq;
	request->count = count;
	outbox_expect_cursor(queue, outbox_tick_text(queue), plan->sent_seq,
						 kind == REQUEST_BATCH ? count : 0);
	return request;
}

void
outbox_keep_entries(Request *request, const PlanEntry *entries, int n)
{
	Size		size = n * sizeof(PlanEntry);

	request->entries = MemoryContextAlloc(GetMemoryChunkContext(request), size);
	memcpy(request->entries, entries, size);
}

void
outbox_batch_is_covered(RelayQueue *queue, const Request *request)
{
	outbox_cursor_moved(queue, request);
	outbox_queue_delivers(queue);
	/* it had no room for another batch, and took no part in a plan */
	if (queue->requests->inflight >= outbox_link_depth(queue->link))
		outbox_want_plan(PLAN_MISSED);
}

void
outbox_batch_is_applied(Relay *relay, RelayQueue *queue,
						const Request *request, int count)
{
	outbox_link_is_up(queue->link);
	outbox_suspect_is_answered(queue, request);
	outbox_cursor_applied(queue, count);
	outbox_show_delivered(relay, queue, count, request->oldest,
						  request->newest);
}
