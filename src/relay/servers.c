/*-------------------------------------------------------------------------
 *
 * servers.c
 *	  To which Redis the links connect.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A change of a server, of a user mapping, or of who is a superuser arrives as an
 * invalidation, at the latest when the relay's next transaction begins, which is
 * once a second.  A commit that enqueued begins one, too.  So what was planned with
 * the servers as they were is not sent before they are read again (relay.c): a
 * message that is enqueued after CREATE SERVER was committed goes to that server.
 *
 * A file with a password changes without notice.  It is read again with the
 * server's settings, when Redis has refused who we are, and with each attempt to
 * connect as long as the server cannot be used: the file may have been away.
 *
 * There is a link for each server that queues name, and it is there as long as the
 * relay.  A link that no queue needs any more is closed (link_life.c), and takes the
 * next server.  Queues without a server have the default one, which is there even
 * if no queue is, unless all queues name others.
 *
 * A server that is a cluster has a link that asks for the map of its slots, the seed,
 * and a link for each node that has slots of ours.  Such a node has the settings of
 * its server.  Whenever a map has changed, each queue is given the link to the node
 * that has its slot; a queue whose slot no node has waits with the seed.
 *
 * A queue changes to another link when all that was sent on the old one is
 * answered, or that link is closed.  Its cursor is read there.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/servers.h"

#include "catalog.h"
#include "redis_server.h"
#include "relay/base/hold.h"
#include "relay/base/link.h"
#include "relay/base/queues.h"
#include "relay/base/step.h"
#include "relay/base/wanted.h"
#include "relay/cluster.h"
#include "relay/consumers/streams.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/move.h"
#include "relay/deliver/queue_state.h"
#include "relay/link_life.h"
#include "relay/make_link.h"
#include "relay/nodes.h"
#include "relay/own_link.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* bytes for the servers that the reason why messages are held names */
#define DESTINATIONS_SIZE	100

/* how often something has changed; and when servers were read */
static uint64 changes = 1;
static uint64 changes_read = 0;
static uint64 epoch_read = 0;
static uint64 refusals_read = 0;

/* queues are on their way from one link to another */
static bool any_leaves = false;

/* queues wait for the server that they are moved to */
static bool any_waits = false;

static void
syscache_callback(Datum arg, int cache, uint32 hash)
{
	changes++;
}

void
outbox_servers_init(Relay *relay)
{
	static const int caches[] = {FOREIGNSERVEROID, USERMAPPINGOID, AUTHOID};

	for (int i = 0; i < lengthof(caches); i++)
		CacheRegisterSyscacheCallback(caches[i], syscache_callback, (Datum) 0);
	outbox_link_is_in_use(outbox_make_link(relay, false), true);
	for (int i = 0; i < OUTBOX_OWN_LINKS; i++)
		(void) outbox_make_link(relay, true);
}

void
outbox_servers_may_have_changed(void)
{
	changes++;
}

/*
 * How often servers have refused who we are, or that could not be known.
 */
static uint64
refusals(const Relay *relay)
{
	uint64		n = 0;
	ListCell   *lc;

	foreach(lc, relay->links)
		n += ((Link *) lfirst(lc))->life->refusals;
	return n;
}

bool
outbox_servers_are_stale(const Relay *relay)
{
	return changes != changes_read || epoch_read != outbox_catalog_epoch() ||
		refusals(relay) != refusals_read;
}

static bool
same_name(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/*
 * Make a link of the server's, or take one that has had its time.
 */
static Link *
new_link(Relay *relay, const char *name)
{
	Link	   *link = NULL;
	ListCell   *lc;

	foreach(lc, relay->links)
	{
		Link	   *other = lfirst(lc);

		if (other->name != NULL && !other->is_own && other->seed == NULL &&
			!other->in_use && other->server == NULL && other->state == LINK_DOWN)
			link = other;
	}
	if (link == NULL)
		link = outbox_make_link(relay, false);
	else
	{
		pfree(unconstify(char *, link->name));
		outbox_link_has_moved(relay, link);
	}
	outbox_link_use(link, MemoryContextStrdup(relay->context, name), NULL);
	outbox_link_is_in_use(link, true);
	/* what it stands for is read before anything is sent */
	changes++;
	return link;
}

Link *
outbox_link_to(Relay *relay, const char *name)
{
	ListCell   *lc;

	if (name != NULL && strcmp(name, OUTBOX_DEFAULT_SERVER) == 0)
		name = NULL;
	foreach(lc, relay->links)
	{
		Link	   *link = lfirst(lc);

		if (!link->is_own && link->seed == NULL &&
			same_name(link->name, name) &&
			(name == NULL || link->in_use || link->server != NULL))
			return link;
	}
	return new_link(relay, name);
}

Link *
outbox_home_of(Relay *relay, RelayQueue *queue)
{
	Link	   *link = outbox_link_to(relay, outbox_move_place(queue));
	const OutboxMaster *node = !link->is_seed ? NULL :
	outbox_node_of_slot(link, queue->slot);

	return node == NULL ? link : outbox_link_to_node(relay, link, node);
}

/*
 * Everything that has to do with the default server has been like this when there
 * was no other one.
 */
static void
show_default(Relay *relay, const OutboxRedisServer *server)
{
	OutboxSlot *slot = relay->slot;

	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	strlcpy(slot->server, server->name != NULL ? server->name : "",
			sizeof(slot->server));
	strlcpy(slot->address, server->address, sizeof(slot->address));
	LWLockRelease(outbox_shared->lock);
}

/*
 * Where messages would go is said while they are held: the first server, and others as
 * far as there is room.
 */
static void
show_destinations(const Relay *relay)
{
	StringInfoData text;
	int			more = 0;
	ListCell   *lc;

	initStringInfo(&text);
	foreach(lc, relay->links)
	{
		const Link *link = lfirst(lc);
		const char *where;

		if (link->is_own || !link->in_use || link->server == NULL)
			continue;
		where = outbox_describe_server(link->server);
		if (text.len == 0)
			appendStringInfoString(&text, where);
		else if (more == 0 && text.len + strlen(where) < DESTINATIONS_SIZE)
			appendStringInfo(&text, ", %s", where);
		else
			more++;
	}
	if (more > 0)
		appendStringInfo(&text, " and %d more, see outbox.server_status", more);
	if (text.len > 0)
		outbox_hold_destination(text.data);
}

static void
end_guests(Relay *relay, const Link *home)
{
	ListCell   *lc;

	foreach(lc, relay->links)
	{
		Link	   *link = lfirst(lc);

		if (link->is_own && link->guest != NULL &&
			outbox_server_link(link->guest->home) == home)
			outbox_own_link_has_moved(link);
	}
}

static void
use(Relay *relay, Link *link, OutboxRedisServer *fresh)
{
	const OutboxRedisServer *old = link->server;

	if (old != NULL)
	{
		end_guests(relay, link);
		any_leaves |= outbox_leave_nodes(relay, link);
		outbox_link_has_moved(relay, link);
	}
	outbox_link_use(link, link->name, fresh);
	outbox_cluster_begins(link);
	if (link->name == NULL)
		show_default(relay, fresh);
	if (old == NULL)
		return;
	ereport(LOG, (errmsg("outbox delivers to %s from now on",
						 outbox_describe_server(fresh))));
	outbox_forget_server(unconstify(OutboxRedisServer *, old));
}

/*
 * Read what the servers of all links stand for.  False if the extension is gone.
 */
static bool
resolve_all(Relay *relay, List **links, List **servers)
{
	ListCell   *lc;

	if (!outbox_catalog_load())
		return false;
	foreach(lc, relay->links)
	{
		Link	   *link = lfirst(lc);

		if (link->is_own || link->seed != NULL ||
			(!link->in_use && link->name != NULL))
			continue;
		*links = lappend(*links, link);
		*servers = lappend(*servers,
						   outbox_resolve_server(relay->context, link->name != NULL ?
												 link->name : OUTBOX_DEFAULT_SERVER,
												 true));
	}
	return true;
}

bool
outbox_read_servers(Relay *relay)
{
	List	   *links = NIL;
	List	   *servers = NIL;
	uint64		seen;
	uint64		epoch;
	uint64		refused = refusals(relay);
	MemoryContext old = CurrentMemoryContext;
	bool		found;

	outbox_begin_step();
	MemoryContextSwitchTo(old);
	seen = changes;
	found = resolve_all(relay, &links, &servers);
	epoch = outbox_catalog_epoch();
	outbox_end_step();
	if (!found)
		return false;
	changes_read = seen;
	epoch_read = epoch;
	refusals_read = refused;
	for (int i = 0; i < list_length(links); i++)
	{
		Link	   *link = list_nth(links, i);
		OutboxRedisServer *fresh = list_nth(servers, i);

		if (link->server != NULL && outbox_same_server(link->server, fresh))
			outbox_forget_server(fresh);
		else
			use(relay, link, fresh);
	}
	show_destinations(relay);
	return true;
}

void
outbox_queue_goes_to(RelayQueue *queue, Link *home)
{
	if (queue->home == home)
		return;
	queue->home = home;
	any_leaves = true;
	outbox_queue_is_altered(queue);
}

/*
 * A queue that is to leave a link does so when nothing is under way there.
 */
static bool
has_left(RelayQueue *queue)
{
	Link	   *link = queue->link;

	if (link->is_own)
		outbox_own_link_has_moved(link);
	else if (queue->requests->inflight > 0 || queue->requests->consumer_reads > 0)
		return false;
	else
		outbox_queue_uses_link(queue, queue->home);
	outbox_consumer_is_cut_off(queue);
	outbox_cursor_has_left(queue);

	/*
	 * nodes that name each other for its slot are not asked as fast as they
	 * answer
	 */
	if (queue->state->state != QUEUE_BLOCKED || !outbox_queue_lacks_slot(queue))
		outbox_queue_is_unknown(queue);
	outbox_want_plan(PLAN_QUEUES);
	return true;
}

/*
 * A move begins when both servers answer.
 */
static bool
may_begin(Relay *relay, const RelayQueue *queue)
{
	return outbox_move_waits(queue) && queue->link == queue->home &&
		queue->home->state >= LINK_READY &&
		outbox_link_to(relay, queue->settings->server)->state >= LINK_READY;
}

/*
 * Let queues move on that have finished a step of their move, or can begin it.
 */
static void
go_on_moving(Relay *relay)
{
	ListCell   *lc;
	bool		changed = outbox_moves_have_changed();

	if (!changed && !any_waits)
		return;
	any_waits = false;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->listed->dropped || queue->move->phase == MOVE_NONE)
			continue;
		outbox_queue_goes_to(queue, outbox_home_of(relay, queue));
		if (may_begin(relay, queue))
			outbox_move_begins(queue);
		any_waits |= outbox_move_waits(queue);
	}
}

/*
 * Some queues' slots are elsewhere, or it is known where they are.
 */
static void
follow_maps(Relay *relay)
{
	ListCell   *lc;

	if (!outbox_maps_have_changed())
		return;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);
		Link	   *home;

		if (queue->listed->dropped ||
			!outbox_is_in_cluster(outbox_server_link(queue->home)))
			continue;
		home = outbox_home_of(relay, queue);
		if (home->is_seed && home->cluster->map != NULL)
		{
			outbox_map_is_lacking(home);
			outbox_queue_waits_for_slot(queue,
										psprintf("no node of the cluster has slot %d",
												 queue->slot));
		}
		if (home == queue->home && home == queue->link)
			continue;
		if (home != queue->home && queue->state->state != QUEUE_BLOCKED)
			outbox_queue_is_unknown(queue);
		queue->home = home;
		any_leaves = true;
		outbox_want_plan(PLAN_QUEUES);
	}
	outbox_find_servers_in_use(relay);
}

void
outbox_let_queues_leave(Relay *relay)
{
	bool		left_node = false;
	ListCell   *lc;

	go_on_moving(relay);
	follow_maps(relay);
	if (!any_leaves)
		return;
	any_leaves = false;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);
		bool		of_node;

		if (queue->link == queue->home || queue->listed->dropped ||
			(queue->link->is_own && queue->link->followed == queue->home))
			continue;
		of_node = queue->link->seed != NULL;
		if (!has_left(queue))
			any_leaves = true;
		else
			left_node |= of_node;
	}
	if (left_node)
		outbox_find_servers_in_use(relay);
}

/*
 * The queue is there, or it moves and was or will be there.
 */
static bool
needs(Relay *relay, const RelayQueue *queue, const Link *link)
{
	const OutboxQueue *settings = queue->settings;

	return queue->home == link || queue->link == link ||
		queue->home->seed == link || queue->link->seed == link ||
		(queue->move->phase != MOVE_NONE && !queue->listed->dropped &&
		 (outbox_link_to(relay, settings->server) == link ||
		  outbox_link_to(relay, settings->moving_from) == link));
}

/*
 * A link of which nobody has need is closed, and forgets its server.
 */
static void
retire(Relay *relay, Link *link)
{
	const OutboxRedisServer *server = link->server;

	if (link->seed != NULL)
	{
		outbox_leave_node_link(relay, link);
		return;
	}
	any_leaves |= outbox_leave_nodes(relay, link);
	outbox_link_is_in_use(link, false);
	outbox_link_has_moved(relay, link);
	if (link->name == NULL || server == NULL)
		return;
	outbox_link_use(link, link->name, NULL);
	outbox_cluster_begins(link);
	outbox_forget_server(unconstify(OutboxRedisServer *, server));
}

void
outbox_find_servers_in_use(Relay *relay)
{
	bool		others = false;
	ListCell   *lc;

	for (int i = list_length(relay->links) - 1; i >= 0; i--)
	{
		Link	   *link = list_nth(relay->links, i);
		bool		in_use;

		if (link->is_own)
			continue;
		outbox_cluster_has_queues(relay, link);
		in_use = outbox_has_asynq_queues(relay, link) ||
			link->cluster->kept_until != 0;
		foreach(lc, relay->queues)
			in_use |= needs(relay, lfirst(lc), link);
		/* a node that was left, and from which queues have yet to go */
		if (link->seed != NULL && link->server == NULL)
			in_use = false;
		if (link->name == NULL && link->seed == NULL)
			in_use |= !others;
		others |= in_use;
		if (link->in_use && !in_use)
			retire(relay, link);
		outbox_link_is_in_use(link, in_use);
	}
	show_destinations(relay);
}

Link *
outbox_keep_node(Relay *relay, Link *seed, const OutboxMaster *node,
				 OutboxTime until)
{
	Link	   *link = outbox_link_to_node(relay, seed, node);

	outbox_link_is_kept(link, until);
	return link;
}

/*
 * Nodes that were asked something are needed no more.
 */
static void
end_kept_nodes(Relay *relay, OutboxTime now)
{
	bool		any = false;
	ListCell   *lc;

	foreach(lc, relay->links)
	{
		Link	   *link = lfirst(lc);

		if (link->cluster->kept_until == 0 || now < link->cluster->kept_until)
			continue;
		outbox_link_is_kept(link, 0);
		any = true;
	}
	if (any)
		outbox_find_servers_in_use(relay);
}

void
outbox_run_links(Relay *relay, OutboxTime now)
{
	ListCell   *lc;

	end_kept_nodes(relay, now);

	foreach(lc, relay->links)
	{
		Link	   *link = lfirst(lc);

		if (link->is_own)
			outbox_run_own_link(relay, link, now);
		else
			outbox_run_link(relay, link, now);
		outbox_run_asynq_queues(relay, link);
	}
}
