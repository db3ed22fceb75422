/*-------------------------------------------------------------------------
 *
 * unread.c
 *	  Say why consumers' streams can't be read.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * What is refused is a WARNING and the queue's last error.  Where the server refuses
 * everything just now the log need not have each queue.  That a slot is moving is
 * nobody's fault, and said without either.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/consumers/unread.h"

#include "clock.h"
#include "queue/partition.h"
#include "redis/errors.h"
#include "relay/base/shown.h"

/* so often if the server refuses everything */
#define TELL_INTERVAL_MS	5000

void
outbox_tell_refused(RelayQueue *queue, const char *error, char *trouble)
{
	static OutboxTime told_at = OUTBOX_LONG_AGO;
	OutboxTime	now = outbox_now();
	bool		tell = trouble[0] == '\0' &&
	(outbox_is_refusal(error) || now >= outbox_in_ms(told_at, TELL_INTERVAL_MS));

	if (tell)
		told_at = now;
	outbox_show_error(queue, error);
	ereport(tell ? WARNING : DEBUG1,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("outbox cannot read what consumers of %s return: %s",
					outbox_queue_title(queue->settings), queue->shown->last_error),
			 errhint("Reading is tried again until Redis accepts it.")));
	snprintf(trouble, OUTBOX_QUEUE_TEXT_SIZE,
			 "what consumers return cannot be read: %s",
			 queue->shown->last_error);
}

void
outbox_tell_slot_moves(const RelayQueue *queue, const char *why, char *trouble)
{
	ereport(trouble[0] == '\0' ? LOG : DEBUG1,
			(errmsg("what consumers of %s return has to wait: %s",
					outbox_queue_title(queue->settings), why)));
	snprintf(trouble, OUTBOX_QUEUE_TEXT_SIZE,
			 "what consumers return has to wait: %s", why);
}
