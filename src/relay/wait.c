/*-------------------------------------------------------------------------
 *
 * wait.c
 *	  The relay waits: for a commit, for Redis, for what is due.
 *
 * Design notes
 *
 * One wait on the latch and the links' sockets together, until the next thing
 * that has a time of its own.  There is no transaction meanwhile.
 *
 * The wait event set lives as long as the socket: making one for every wait
 * would take most of the time between a commit and its delivery.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/wait.h"

#include <limits.h>

#include "compat.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "relay/base/link.h"
#include "relay/base/wanted.h"
#include "relay/connect.h"
#include "relay/consumers/streams.h"
#include "relay/deliver/deliver.h"
#include "relay/upkeep/delayed.h"
#include "storage/latch.h"
#include "utils/memutils.h"

/* the latch, the postmaster's death, a socket */
#define MAX_EVENTS	3

static WaitEventSet *set = NULL;
static uint64 set_connection;	/* the connection that it waits on */
static int	set_events;			/* what is waited for on its socket */
static int	socket_pos;

static uint32
wait_event(void)
{
	static uint32 event = 0;

	if (event == 0)
		event = outbox_wait_event("OutboxRelayMain");
	return event;
}

static void
make_set(const RedisConnection *conn)
{
	pgsocket	sock = outbox_connection_socket(conn);

	set = outbox_create_wait_set(MAX_EVENTS);
	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	set_connection = outbox_connection_number(conn);
	set_events = outbox_connection_events(conn);
	if (sock != PGINVALID_SOCKET)
		socket_pos = AddWaitEventToSet(set, set_events, sock, NULL, NULL);
}

static void
prepare_set(const RedisConnection *conn)
{
	int			events = outbox_connection_events(conn);

	if (set != NULL && set_connection != outbox_connection_number(conn))
	{
		FreeWaitEventSet(set);
		set = NULL;
	}
	if (set == NULL)
		make_set(conn);
	else if (outbox_connection_socket(conn) != PGINVALID_SOCKET &&
			 set_events != events)
	{
		ModifyWaitEvent(set, socket_pos, events, NULL);
		set_events = events;
	}
}

/*
 * Milliseconds until something has to be done at a time of its own.
 */
static long
ms_until_due(Relay *relay, OutboxTime now)
{
	long		ms = outbox_ms_until_delayed(now);

	ms = Min(ms, outbox_ms_until_connect(relay->link, now));
	if (relay->link->state >= LINK_READY)
		ms = Min(ms, outbox_ms_until_delivery(relay, now));
	return Min(ms, outbox_ms_until_consumers(relay, now));
}

void
outbox_wait_for_work(Relay *relay, OutboxTime chores_at)
{
	Link	   *link = relay->link;
	OutboxTime	now = outbox_now();
	long		timeout = outbox_ms_until(now, chores_at);
	WaitEvent	events[MAX_EVENTS];
	int			n;

	timeout = Min(timeout, ms_until_due(relay, now));
	if (outbox_plan_is_wanted() && link->state >= LINK_READY &&
		outbox_link_may_send(link))
	{
		/* the next tick is near: nobody needs to wake us for it */
		pg_atomic_write_u32(&relay->slot->deaf, 1);
		timeout = Min(timeout, 1);
	}

	prepare_set(link->connection);
	n = WaitEventSetWait(set, timeout, events, lengthof(events), wait_event());
	for (int i = 0; i < n; i++)
	{
		if (events[i].events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			outbox_want_plan(PLAN_WOKEN);
		}
		else
			outbox_link_is_readable(link);
	}
}

void
outbox_wait_ms(long ms)
{
	(void) WaitLatch(MyLatch,
					 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 ms, wait_event());
	ResetLatch(MyLatch);
}
