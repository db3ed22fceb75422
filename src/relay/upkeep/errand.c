/*-------------------------------------------------------------------------
 *
 * errand.c
 *	  Cursors are marked, and errands of backends done.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * When a database is dropped, its cursors stay in Redis: nobody is left who could
 * remove them.  So each cursor has a mark, the system identifier of the server, the
 * oid of the database, and when it was last in use by the clock of Redis.  A cursor
 * is marked when it has been read, and once an hour.  That is not part of the
 * scripts that move cursors, as it would cost something with each batch; a mark says
 * nothing about what was delivered, and is never read for that.
 *
 * A backend that looks for cursors (api/cursors.c) has no connection to Redis.  It
 * asks the relay for one answer at a time, through the slot.  Each is a short
 * script, and the backend keeps the place at which SCAN goes on, so the relay has
 * nothing to remember, and nothing to end if the backend goes away.  The answer to
 * an errand that has been given up is not kept: the errand has another number.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/errand.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "redis/errors.h"
#include "relay/base/hold.h"
#include "relay/base/link.h"
#include "relay/base/queues.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/script.h"

#define MARK_INTERVAL_MS	(3600 * 1000)

/* marks that are sent at a time */
#define MARKS_AT_ONCE		64

/* what was sent and is not answered; 0: nothing */
static uint32 sent_errand = 0;
static uint64 sent_connection;

bool
outbox_mark_cursors(Relay *relay, OutboxTime now)
{
	char	   *owner = psprintf(UINT64_FORMAT " %u", GetSystemIdentifier(),
								 MyDatabaseId);
	int			n = 0;
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->link->state != LINK_UP || queue->listed->dropped ||
			queue->cursor->acked.prev == NULL ||
			now < queue->cursor->mark_at)
			continue;
		if (n++ == MARKS_AT_ONCE || !outbox_link_may_send(queue->link))
			return true;
		outbox_mark_cursor(queue, owner);
		outbox_cursor_is_marked(queue, outbox_in_ms(now, MARK_INTERVAL_MS));
	}
	return false;
}

/*
 * The backend has its answer: elements, each with a zero byte at its end; or
 * an error.
 */
static void
finish(Relay *relay, const char *error, const StringInfoData *data)
{
	OutboxSlot *slot = relay->slot;
	OutboxErrand *errand = &slot->errand;
	uint32		procno = OUTBOX_NOBODY;

	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	if (errand->pid != 0 && !errand->is_done &&
		(sent_errand == 0 || sent_errand == errand->number))
	{
		strlcpy(errand->error, error, sizeof(errand->error));
		errand->size = data != NULL ? data->len : 0;
		if (data != NULL)
			memcpy(errand->data, data->data, data->len);
		errand->is_done = true;
		procno = errand->procno;
		pg_atomic_write_u32(&slot->errand_wanted, 0);
	}
	LWLockRelease(outbox_shared->lock);
	sent_errand = 0;
	outbox_wake_procno(procno);
}

/*
 * Copy what is asked.  False if nothing is.
 */
static bool
take_errand(Relay *relay, OutboxErrandKind *kind, char **key, char **arg)
{
	OutboxErrand *errand = &relay->slot->errand;
	bool		wanted;

	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	wanted = errand->pid != 0 && !errand->is_done;
	*kind = errand->kind;
	*key = pstrdup(errand->key);
	*arg = pstrdup(errand->arg);
	if (wanted)
		sent_errand = errand->number;
	LWLockRelease(outbox_shared->lock);
	return wanted;
}

void
outbox_run_errand(Relay *relay)
{
	Link	   *link = outbox_shared_link(relay);
	OutboxErrandKind kind;
	char	   *key;
	char	   *arg;

	if (pg_atomic_read_u32(&relay->slot->errand_wanted) == 0)
		return;
	if (outbox_is_held() || link->state < LINK_READY)
	{
		sent_errand = 0;
		finish(relay, outbox_is_held() ? outbox_hold_reason() :
			   "it is not connected to Redis", NULL);
		return;
	}
	/* one that a backend has given up is answered all the same */
	if (sent_errand != 0 &&
		sent_connection == outbox_connection_number(link->connection))
		return;
	if (!outbox_link_may_send(link) || !take_errand(relay, &kind, &key, &arg))
		return;
	sent_connection = outbox_connection_number(link->connection);
	if (kind == OUTBOX_ERRAND_FIND)
		outbox_find_cursors(link, arg);
	else
		outbox_remove_cursor(link, key, arg);
}

void
outbox_errand_answer(Relay *relay, const OutboxReply *reply)
{
	StringInfoData data;
	char		error[OUTBOX_TEXT_SIZE];

	if (outbox_reply_is_error(reply))
	{
		outbox_clean_error(error, outbox_reply_string(reply), sizeof(error));
		finish(relay, error, NULL);
		return;
	}
	initStringInfo(&data);
	for (size_t i = 0; i < outbox_reply_length(reply); i++)
	{
		appendStringInfoString(&data, outbox_reply_element_string(reply, i));
		appendStringInfoChar(&data, '\0');
	}
	if (data.len > OUTBOX_ERRAND_SIZE)
		finish(relay, "the answer of Redis is too long", NULL);
	else
		finish(relay, "", &data);
}
