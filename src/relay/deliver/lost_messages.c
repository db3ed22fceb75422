/*-------------------------------------------------------------------------
 *
 * lost_messages.c
 *	  Redis has lost acknowledged messages of a queue.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Redis keeps the cursor beside the data and loses it with the data: if the
 * count of a cursor is less than what was acknowledged, messages were lost.
 * Nothing has to be done about that, since messages that the cursor doesn't
 * cover are sent again if they are still retained.  This file only counts how
 * many are sent again and how many are gone, for a WARNING.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/lost_messages.h"
#include "queue/partition.h"

static QueueLoss *
mine(const RelayQueue *queue)
{
	return unconstify(QueueLoss *, queue->loss);
}

void
outbox_loss_init(RelayQueue *queue)
{
	queue->loss = outbox_make_part(queue, sizeof(QueueLoss));
}

static void
forget(QueueLoss *loss)
{
	outbox_snap_unref(loss->before.prev);
	outbox_snap_unref(loss->before.cur);
	memset(loss, 0, sizeof(QueueLoss));
}

void
outbox_loss_free(RelayQueue *queue)
{
	forget(mine(queue));
}

void
outbox_note_loss(RelayQueue *queue, uint64 lost, const OutboxPosition *before)
{
	QueueLoss  *loss = mine(queue);

	loss->lost += lost;
	if (loss->before.prev != NULL)
		return;
	loss->before = *before;
	outbox_snap_ref(before->prev);
	outbox_snap_ref(before->cur);
}

void
outbox_count_resent(RelayQueue *queue, uint64 xid, uint64 seq)
{
	QueueLoss  *loss = mine(queue);

	if (loss->lost > 0 && outbox_position_covers(&loss->before, xid, seq))
		loss->resent++;
}

void
outbox_report_loss(RelayQueue *queue)
{
	QueueLoss  *loss = mine(queue);
	uint64		resent = Min(loss->resent, loss->lost);

	if (loss->lost == 0)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("Redis has lost " UINT64_FORMAT " acknowledged messages of %s",
					loss->lost, outbox_queue_title(queue->settings)),
			 errdetail(UINT64_FORMAT " are retained and sent again, "
					   UINT64_FORMAT " are beyond the retention.",
					   resent, loss->lost - resent)));
	forget(loss);
}
