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
#include "relay/relay.h"

#include "access/xlog.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define RETRY_DELAY_MS		250
#define RETRY_MAX_DELAY_MS	10000

/*
 * The id of a message of the queue's plan, as text; NULL if it can't be told.
 */
static char *
planned_id(RelayQueue *queue, uint64 seq)
{
	OutboxStaging staging;
	OutboxMessage msg;
	char	   *id = NULL;

	outbox_begin_step();
	if (outbox_catalog_load() &&
		outbox_staging_open(&staging, GetActiveSnapshot(), OUTBOX_TABLES))
	{
		for (int i = 0; i < queue->nplan && id == NULL; i++)
		{
			PlanEntry  *e = &queue->plan[i];
			ItemPointerData tid;

			ItemPointerSet(&tid, e->block, e->offset);
			if (e->seq == seq &&
				outbox_staging_fetch(&staging, e->table, &tid, seq, &msg))
			{
				id = MemoryContextAlloc(queue->context, OUTBOX_UUID_TEXT_LEN + 1);
				outbox_uuid_text(&msg.id, id);
			}
		}
		outbox_staging_close(&staging);
	}
	outbox_end_step();
	return id;
}

/*
 * The queue stands still for a while: Redis refuses it, or the message with
 * this number (0: none in particular).
 */
void
outbox_block_queue(Relay *relay, RelayQueue *queue, uint64 seq,
				   const char *error)
{
	TimestampTz now = GetCurrentTimestamp();
	int			delay = RETRY_DELAY_MS << Min(queue->failures, 6);
	char	   *id = seq != 0 ? planned_id(queue, seq) : NULL;
	char	   *text;

	outbox_discard_plan(queue);
	queue->finished = false;
	queue->state = QUEUE_BLOCKED;
	queue->retry_at = TimestampTzPlusMilliseconds(now, Min(delay, RETRY_MAX_DELAY_MS));
	if (queue->still_since == 0)
		queue->still_since = now;
	outbox_clean_error(queue->last_error, error, sizeof(queue->last_error));
	queue->last_error_at = now;
	if (id != NULL)
	{
		snprintf(queue->why, sizeof(queue->why), "message %s: %s", id,
				 queue->last_error);
		pfree(id);
	}
	else
		strlcpy(queue->why, queue->last_error, sizeof(queue->why));
	text = psprintf("queue \"%s\" stands still: %s", queue->settings.name,
					queue->why);
	outbox_set_error(relay->slot, text);
	ereport(queue->failures++ == 0 ? WARNING : DEBUG1,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("%s", text),
			 errhint("It is tried again until Redis takes it.")));
}

/*
 * The queue stands still until it is resumed.  Answers that are on their way
 * are ignored: its cursor will be read again.
 */
void
outbox_stop_queue(RelayQueue *queue)
{
	outbox_discard_plan(queue);
	queue->finished = false;
	queue->failures = 0;
	queue->state = QUEUE_PAUSED;
	queue->still_since = queue->settings.paused_at;
	queue->why[0] = '\0';
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

	outbox_snap_unref(queue->purge_snap);
	queue->purge_snap = NULL;
	queue->past_ticks = 2;
	queue->careful_inflight = false;
	queue->careful |= queue->held_keys != NULL;
	queue->state = QUEUE_FLOWING;
	if (queue->settings.paused_at != 0)
		outbox_stop_queue(queue);
	relay->look = true;
	relay->recount = true;		/* what was counted went by the old position */
}

/*
 * One more than the greatest transaction id that has reached us from a
 * timeline up to this one.  Restored rows have another server's.
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
						  " ORDER BY xid DESC LIMIT 1) UNION ALL "
						  "(SELECT xid FROM outbox.deferred WHERE timeline <= $1"
						  " AND reason IN ('retry', 'behind', 'evacuated', 'applied')"
						  " ORDER BY xid DESC LIMIT 1) UNION ALL "
						  "(SELECT xid FROM outbox.dead_letter WHERE timeline <= $1"
						  " AND timeline > 0 ORDER BY xid DESC LIMIT 1)",
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

/*
 * Go on from a position of our own timeline, in memory already clipped if it
 * was of an older one.
 */
static void
go_on(Relay *relay, RelayQueue *queue, const RelayCursor *cursor,
	  OutboxPosition *pos, bool older)
{
	int			ndrop;
	uint64	   *drop;

	if (!outbox_reconcile(queue, cursor, pos, older, &ndrop, &drop))
	{
		outbox_block_queue(relay, queue, 0,
						   "outbox.deferred or outbox.dead_letter is locked");
		return;
	}
	if (older)
	{
		pos->timeline = relay->timeline;
		pos->lsn = GetFlushRecPtr(NULL);
	}
	if (older || cursor->pos[0] == '\0' || ndrop > 0)
		outbox_send_takeover(relay, queue, cursor, pos, ndrop, drop);
	else
		outbox_queue_flows(relay, queue, pos, cursor->count);
}

static void
use_cursor(Relay *relay, RelayQueue *queue, const RelayCursor *cursor)
{
	OutboxPosition pos;

	if (!read_position(relay, cursor->pos, cursor->seq, &pos))
		outbox_block_queue(relay, queue, 0,
						   psprintf("cursor key %s in Redis holds no cursor",
									queue->cursor_key));
	else if (cursor->pos[0] == '\0')
		go_on(relay, queue, cursor, &pos, false);
	else if (pos.timeline > relay->timeline)
		outbox_hold(relay, OUTBOX_FENCED,
					psprintf("a server on timeline %u has taken over, this one is on %u",
							 pos.timeline, relay->timeline));
	else if (pos.timeline < relay->timeline)
	{
		clip_position(relay, &pos);
		go_on(relay, queue, cursor, &pos, true);
	}
	else if (pos.lsn > GetXLogInsertRecPtr())
		outbox_hold(relay, OUTBOX_HELD,
					"this database has been set back: Redis has a later position");
	else
		go_on(relay, queue, cursor, &pos, false);

	outbox_snap_unref(pos.prev);
	outbox_snap_unref(pos.cur);
}

/*
 * Go on from the cursor in an answer to HGETALL.
 */
void
outbox_recover_queue(Relay *relay, RelayQueue *queue, const OutboxReply *reply)
{
	RelayCursor cursor = {"", "", 0, 0, NULL, NULL};
	size_t		n = outbox_reply_is_array(reply) ? outbox_reply_length(reply) : 0;

	cursor.skips = palloc((n / 2 + 1) * sizeof(uint64));
	cursor.errors = palloc((n / 2 + 1) * sizeof(char *));
	for (size_t i = 0; i + 1 < n; i += 2)
	{
		const char *field = outbox_reply_string(outbox_reply_element(reply, i));
		const char *value = outbox_reply_string(outbox_reply_element(reply, i + 1));

		if (strcmp(field, "pos") == 0)
			cursor.pos = value;
		else if (strcmp(field, "seq") == 0)
			cursor.seq = value;
		else if (strcmp(field, "count") == 0)
			cursor.count = strtoull(value, NULL, 10);
		else if (field[0] == 's' && field[1] >= '0' && field[1] <= '9')
		{
			cursor.skips[cursor.nskips] = strtoull(field + 1, NULL, 10);
			cursor.errors[cursor.nskips++] = value;
		}
	}
	use_cursor(relay, queue, &cursor);
}
