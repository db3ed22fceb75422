/*-------------------------------------------------------------------------
 *
 * wait.c
 *	  The relay waits: for a commit, for Redis, for what is due.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The relay waits on the latch and the links' sockets together, until the next
 * thing is due.  A link may have another one, on which WAIT blocks.  No transaction
 * is open meanwhile.
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
#include "relay/base/standby.h"
#include "relay/base/wanted.h"
#include "relay/cluster.h"
#include "relay/consumers/streams.h"
#include "relay/deliver/deliver.h"
#include "relay/deliver/plan_scan.h"
#include "relay/link_life.h"
#include "relay/own_link.h"
#include "relay/sentinel.h"
#include "relay/upkeep/delayed.h"
#include "relay/upkeep/replicas.h"
#include "storage/latch.h"
#include "utils/memutils.h"

/* the latch and the postmaster's death */
#define OTHER_EVENTS	2

/* the server's socket, and that of a Sentinel */
#define LINK_EVENTS		2

/* events that are dealt with at a time */
#define MAX_EVENTS		16

static WaitEventSet *set = NULL;

/* all links that have sockets to wait for */
static List *waited = NIL;

static uint32
wait_event(void)
{
	static uint32 event = 0;

	if (event == 0)
		event = outbox_wait_event("OutboxRelayMain");
	return event;
}

void
outbox_link_wait_init(Link *link)
{
	MemoryContext old = MemoryContextSwitchTo(link->context);

	link->wait = palloc0(sizeof(LinkWait));
	waited = lappend(waited, link);
	MemoryContextSwitchTo(old);
}

static void
add_socket(SocketWait *wait, const RedisConnection *connection, void *data)
{
	pgsocket	sock;

	if (connection == NULL)
		return;
	sock = outbox_connection_socket(connection);
	wait->connection = outbox_connection_number(connection);
	wait->events = outbox_connection_events(connection);
	if (sock != PGINVALID_SOCKET)
		wait->pos = AddWaitEventToSet(set, wait->events, sock, NULL, data);
}

static void
make_set(void)
{
	ListCell   *lc;

	set = outbox_create_wait_set(OTHER_EVENTS +
								 LINK_EVENTS * list_length(waited));
	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	foreach(lc, waited)
	{
		Link	   *link = lfirst(lc);

		add_socket(&link->wait->server, link->connection, link);
		add_socket(&link->wait->sentinel, outbox_sentinel_connection(link), NULL);
	}
}

static bool
has_changed(const SocketWait *wait, const RedisConnection *connection)
{
	return connection != NULL &&
		wait->connection != outbox_connection_number(connection);
}

static bool
sockets_have_changed(void)
{
	ListCell   *lc;

	foreach(lc, waited)
	{
		Link	   *link = lfirst(lc);

		if (has_changed(&link->wait->server, link->connection) ||
			has_changed(&link->wait->sentinel, outbox_sentinel_connection(link)))
			return true;
	}
	return false;
}

static void
set_events(SocketWait *wait, const RedisConnection *connection)
{
	int			events;

	if (connection == NULL ||
		outbox_connection_socket(connection) == PGINVALID_SOCKET)
		return;
	events = outbox_connection_events(connection);
	if (wait->events == events)
		return;
	ModifyWaitEvent(set, wait->pos, events, NULL);
	wait->events = events;
}

static void
prepare_set(void)
{
	ListCell   *lc;

	if (set != NULL && sockets_have_changed())
	{
		FreeWaitEventSet(set);
		set = NULL;
	}
	if (set == NULL)
	{
		make_set();
		return;
	}
	foreach(lc, waited)
	{
		Link	   *link = lfirst(lc);

		set_events(&link->wait->server, link->connection);
		set_events(&link->wait->sentinel, outbox_sentinel_connection(link));
	}
}

/*
 * Milliseconds until the first thing that is done at a certain time, chores
 * aside.
 */
static long
ms_until_due(Relay *relay, OutboxTime now)
{
	long		ms = outbox_ms_until_delayed(now);
	ListCell   *lc;

	foreach(lc, relay->links)
	{
		ms = Min(ms, outbox_ms_until_connect(lfirst(lc), now));
		ms = Min(ms, outbox_ms_until_replicas(lfirst(lc), now));
		ms = Min(ms, outbox_ms_until_sentinel(lfirst(lc), now));
		ms = Min(ms, outbox_ms_until_map(lfirst(lc), now));
	}
	ms = Min(ms, outbox_ms_until_consumers(relay, now));
	/* until the standby has it, nothing else can be done in time */
	if (!outbox_standby_has_it())
		return Min(ms, outbox_standby_poll_ms(now));
	ms = Min(ms, outbox_ms_until_own_link(now));
	if (outbox_best_link_state(relay) >= LINK_READY)
		ms = Min(ms, outbox_ms_until_delivery(relay, now));
	return ms;
}

/*
 * Is the next tick near?
 */
static bool
may_plan_soon(Relay *relay)
{
	ListCell   *lc;

	if (!outbox_plan_is_wanted() && !outbox_is_planning())
		return false;
	foreach(lc, relay->links)
	{
		Link	   *link = lfirst(lc);

		if (link->state >= LINK_READY && outbox_link_may_send(link))
			return true;
	}
	return false;
}

void
outbox_wait_for_work(Relay *relay, OutboxTime chores_at)
{
	OutboxTime	now = outbox_now();
	long		timeout = outbox_ms_until(now, chores_at);
	WaitEvent	events[MAX_EVENTS];
	int			n;

	timeout = Min(timeout, ms_until_due(relay, now));
	if (may_plan_soon(relay))
	{
		/* the next tick is at most a millisecond away: no commit need wake us */
		pg_atomic_write_u32(&relay->slot->deaf, 1);
		if (outbox_standby_has_it())
			timeout = Min(timeout, 1);
	}

	prepare_set();
	n = WaitEventSetWait(set, timeout, events, lengthof(events), wait_event());
	for (int i = 0; i < n; i++)
	{
		if (events[i].events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			outbox_want_plan(PLAN_WOKEN);
		}
		else if (events[i].user_data != NULL)
			outbox_link_socket_is_ready(events[i].user_data);
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
