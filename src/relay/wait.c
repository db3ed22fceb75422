/*-------------------------------------------------------------------------
 *
 * wait.c
 *	  The relay waits: for a commit, for Redis, for what is due.
 *
 * Design notes
 *
 * One wait on the latch and the socket together, until the next thing that has
 * a time of its own.  There is no transaction meanwhile.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/relay.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/*
 * The wait event set lives as long as the socket: making one for every wait
 * would take most of the time between a commit and its delivery.
 */
static void
prepare_wait_set(Relay *relay)
{
	pgsocket	sock = outbox_redis_socket();
	int			events = outbox_redis_wait_events();

	if (relay->wait_set != NULL && relay->wait_link != outbox_redis_number())
	{
		FreeWaitEventSet(relay->wait_set);
		relay->wait_set = NULL;
	}
	if (relay->wait_set == NULL)
	{
		relay->wait_set = outbox_create_wait_set(3);
		AddWaitEventToSet(relay->wait_set, WL_LATCH_SET, PGINVALID_SOCKET,
						  MyLatch, NULL);
		AddWaitEventToSet(relay->wait_set, WL_EXIT_ON_PM_DEATH,
						  PGINVALID_SOCKET, NULL, NULL);
		if (sock != PGINVALID_SOCKET)
			relay->wait_pos = AddWaitEventToSet(relay->wait_set, events, sock,
												NULL, NULL);
		relay->wait_link = outbox_redis_number();
		relay->wait_events = events;
	}
	else if (sock != PGINVALID_SOCKET && relay->wait_events != events)
	{
		ModifyWaitEvent(relay->wait_set, relay->wait_pos, events, NULL);
		relay->wait_events = events;
	}
}

/*
 * Milliseconds until something has to be done at a time of its own.
 */
static long
until_due(Relay *relay, TimestampTz now)
{
	TimestampTz due = relay->hold ? DT_NOEND : relay->due_at;
	ListCell   *lc;

	if (relay->ready)
		foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->state == QUEUE_BLOCKED)
			due = Min(due, queue->retry_at);
		else if (queue->state == QUEUE_FLOWING && queue->inflight == 0)
		{
			if (queue->careful && queue->next < queue->nplan)
				due = Min(due, queue->careful_at);
			if (queue->held > 0)
				due = Min(due, Max(queue->again_at, queue->careful_at));
		}
	}
	due = Min(due, outbox_consumers_due(relay));
	return due == DT_NOEND ? OUTBOX_CHORES_INTERVAL_MS :
		TimestampDifferenceMilliseconds(now, due);
}

/*
 * Wait until there is something to do.
 */
void
outbox_wait_for_work(Relay *relay, TimestampTz chores_at)
{
	static uint32 wait_event = 0;
	TimestampTz now = GetCurrentTimestamp();
	long		timeout = TimestampDifferenceMilliseconds(now, chores_at);
	WaitEvent	events[2];
	int			n;

	if (wait_event == 0)
		wait_event = outbox_wait_event("OutboxRelayMain");
	if (outbox_redis_socket() == PGINVALID_SOCKET && !relay->hold)
		timeout = Min(timeout, TimestampDifferenceMilliseconds(now, relay->link_at));
	timeout = Min(timeout, until_due(relay, now));
	if (relay->look && relay->ready && outbox_may_send(relay))
	{
		/* the next tick is near: nobody needs to wake us for it */
		pg_atomic_write_u32(&relay->slot->deaf, 1);
		timeout = Min(timeout, 1);
	}

	prepare_wait_set(relay);
	n = WaitEventSetWait(relay->wait_set, timeout, events, lengthof(events),
						 wait_event);
	for (int i = 0; i < n; i++)
	{
		if (events[i].events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			relay->look = true;
		}
		else
			relay->heard = true;
	}
}
