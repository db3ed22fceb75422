/*-------------------------------------------------------------------------
 *
 * marks.c
 *	  Cursors say whose they are.
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
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/marks.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "relay/base/link.h"
#include "relay/base/queues.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/script.h"

#define MARK_INTERVAL_MS	(3600 * 1000)

/* marks that are sent at a time */
#define MARKS_AT_ONCE		64

bool
outbox_mark_cursors(Relay *relay, OutboxTime now)
{
	char	   *owner = psprintf(UINT64_FORMAT " %u", GetSystemIdentifier(),
								 MyDatabaseId);
	static int	next = 0;		/* the first queue that it has not come to */
	int			n = 0;

	for (; next < list_length(relay->queues); next++)
	{
		RelayQueue *queue = list_nth(relay->queues, next);

		if (queue->link->state != LINK_UP || queue->link->is_seed ||
			queue->listed->dropped ||
			queue->cursor->acked.prev == NULL ||
			now < queue->cursor->mark_at)
			continue;
		if (n++ == MARKS_AT_ONCE || !outbox_link_may_send(queue->link))
			return true;
		outbox_mark_cursor(queue, owner);
		outbox_cursor_is_marked(queue, outbox_in_ms(now, MARK_INTERVAL_MS));
	}
	next = 0;
	return false;
}
