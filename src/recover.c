/*-------------------------------------------------------------------------
 *
 * recover.c
 *	  A queue's cursor, as Redis has it.
 *
 * Design notes
 *
 * At every connect, and whenever a queue's cursor isn't where it was expected
 * or the queue stood still, its cursor is read and the queue goes on from
 * there.  Redis is believed: what it has lost is behind its cursor no longer,
 * and is sent again if it is still retained.
 *
 *		no cursor		nothing is covered
 *		our timeline	go on
 *		an older one	we were promoted since.  Transaction ids and numbers
 *						that the lost primary used beyond what reached us will
 *						be given out again, so the snapshots are clipped to
 *						the rows that did; then the position is written back
 *						as ours, which fences the old primary
 *		a newer one		we are the old primary: stop
 *		our timeline, but ahead of our WAL
 *						this database was set back: hold
 *
 * Writing back is a compare-and-set; if somebody else was faster the cursor is
 * read again.
 *
 *-------------------------------------------------------------------------
 */
#include "relay.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define RETRY_DELAY_MS		1000
#define RETRY_MAX_DELAY_MS	10000

/*
 * The queue stands still for a while: Redis refuses it, not the server.
 */
void
outbox_block_queue(Relay *relay, RelayQueue *queue, const char *error)
{
	int			delay = RETRY_DELAY_MS << Min(queue->failures, 4);
	char	   *text;

	outbox_discard_plan(queue);
	queue->finished = false;
	queue->state = QUEUE_BLOCKED;
	queue->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												  Min(delay, RETRY_MAX_DELAY_MS));
	outbox_clean_error(queue->error, error, sizeof(queue->error));
	text = psprintf("queue \"%s\" stands still: %s", queue->settings.name,
					queue->error);
	outbox_set_error(relay->slot, text);
	ereport(queue->failures++ == 0 ? WARNING : DEBUG1,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("%s", text),
			 errhint("It is tried again until Redis takes it.")));
}

/*
 * The queue goes on from a position that Redis has.
 */
void
outbox_queue_flows(Relay *relay, RelayQueue *queue, OutboxPosition *pos,
				   uint64 count)
{
	StringInfoData text;
	OutboxPosition old = queue->acked;

	if (old.prev != NULL && queue->acked_count > count)
	{
		queue->lost += queue->acked_count - count;
		if (queue->before_loss.prev == NULL)
		{
			queue->before_loss = old;
			outbox_snap_ref(old.prev);
			outbox_snap_ref(old.cur);
		}
	}
	queue->acked = *pos;
	outbox_snap_ref(pos->prev);
	outbox_snap_ref(pos->cur);
	outbox_snap_unref(old.prev);
	outbox_snap_unref(old.cur);
	queue->acked_count = count;
	outbox_snap_unref(queue->settled);
	queue->settled = outbox_snap_ref(pos->prev);

	outbox_set_tick(queue, pos->prev, pos->cur, pos->lsn, pos->seq);
	outbox_discard_plan(queue);
	queue->sent_seq = pos->seq;

	initStringInfo(&text);
	outbox_position_print(&text, pos->timeline, pos->lsn, pos->prev, pos->cur);
	if (queue->expect_pos != NULL)
		pfree(queue->expect_pos);
	queue->expect_pos = MemoryContextStrdup(queue->context, text.data);
	queue->expect_seq = pos->seq;
	queue->expect_count = count;

	queue->state = QUEUE_FLOWING;
	relay->look = true;
	relay->recount = true;		/* what was counted went by the old position */
}

/*
 * One more than the greatest transaction id that has reached us from a
 * timeline up to this one.
 */
static uint64
reused_from(TimeLineID timeline)
{
	Oid			types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum((int32) timeline)};
	uint64		result = 0;

	outbox_begin_step();
	SPI_connect();
	SPI_execute_with_args("(SELECT xid FROM outbox.staging_1 WHERE timeline <= $1"
						  " ORDER BY xid DESC LIMIT 1) UNION ALL "
						  "(SELECT xid FROM outbox.staging_2 WHERE timeline <= $1"
						  " ORDER BY xid DESC LIMIT 1)",
						  1, types, values, NULL, true, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		uint64		xid = DatumGetUInt64(SPI_getbinval(SPI_tuptable->vals[i],
													   SPI_tuptable->tupdesc,
													   1, &isnull));

		result = Max(result, xid + 1);
	}
	SPI_finish();
	outbox_end_step();
	return result;
}

static void
clip_position(Relay *relay, OutboxPosition *pos)
{
	uint64		below = reused_from(pos->timeline);
	MemoryContext old = MemoryContextSwitchTo(relay->context);
	OutboxSnap *prev = outbox_snap_clip(pos->prev, below);
	OutboxSnap *cur = outbox_snap_clip(pos->cur, below);

	MemoryContextSwitchTo(old);
	outbox_snap_unref(pos->prev);
	outbox_snap_unref(pos->cur);
	pos->prev = prev;
	pos->cur = cur;
}

/*
 * Read a position.  Snapshots outlive the turn of the loop, everything else
 * here doesn't.
 */
static bool
read_position(Relay *relay, const char *pos_text, const char *seq_text,
			  OutboxPosition *pos)
{
	MemoryContext old = MemoryContextSwitchTo(relay->context);
	bool		ok = true;

	memset(pos, 0, sizeof(OutboxPosition));
	if (pos_text[0] == '\0')
	{
		pos->timeline = relay->timeline;
		pos->prev = outbox_snap_make(0, 0, NULL);
		pos->cur = outbox_snap_make(0, 0, NULL);
	}
	else
		ok = outbox_position_parse(pos_text, seq_text, pos);
	MemoryContextSwitchTo(old);
	return ok;
}

static void
use_cursor(Relay *relay, RelayQueue *queue, const char *pos_text,
		   const char *seq_text, uint64 count)
{
	OutboxPosition pos;

	if (!read_position(relay, pos_text, seq_text, &pos))
		outbox_block_queue(relay, queue,
						   psprintf("cursor key %s in Redis holds no cursor",
									queue->cursor_key));
	else if (pos_text[0] == '\0')
		outbox_send_takeover(relay, queue, "", "", &pos, 0);
	else if (pos.timeline > relay->timeline)
		outbox_hold(relay, OUTBOX_FENCED,
					psprintf("a server on timeline %u has taken over, this one is on %u",
							 pos.timeline, relay->timeline));
	else if (pos.timeline < relay->timeline)
	{
		clip_position(relay, &pos);
		pos.timeline = relay->timeline;
		pos.lsn = GetFlushRecPtr(NULL);
		outbox_send_takeover(relay, queue, pos_text, seq_text, &pos, count);
	}
	else if (pos.lsn > GetXLogInsertRecPtr())
		outbox_hold(relay, OUTBOX_HELD,
					"this database has been set back: Redis has a later position");
	else
		outbox_queue_flows(relay, queue, &pos, count);

	outbox_snap_unref(pos.prev);
	outbox_snap_unref(pos.cur);
}

/*
 * Go on from the cursor in an answer to HMGET pos seq count.
 */
void
outbox_recover_queue(Relay *relay, RelayQueue *queue, const OutboxReply *reply)
{
	if (outbox_reply_length(reply) != 3)
	{
		outbox_block_queue(relay, queue, "unexpected reply to HMGET");
		return;
	}
	use_cursor(relay, queue,
			   outbox_reply_string(outbox_reply_element(reply, 0)),
			   outbox_reply_string(outbox_reply_element(reply, 1)),
			   strtoull(outbox_reply_string(outbox_reply_element(reply, 2)),
						NULL, 10));
}
