/*-------------------------------------------------------------------------
 *
 * cluster.c
 *	  Where queues are in a Redis Cluster.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The link to a server that is a cluster is a seed: it is connected to any node,
 * asks for the map of slots, and serves no queue.  For each node that has slots of
 * ours there is a link as to any other Redis (servers.c).  A queue's keys are in one
 * slot, so a queue has one link at a time.
 *
 *		MOVED			the slot is at another node.  The queue goes there when
 *						nothing of it is under way here, as any queue that goes to
 *						another link, and its cursor is read there.  What else was
 *						sent here for it is answered in the same way, and nothing of
 *						it was done.
 *		ASK, TRYAGAIN	the slot is on its way, with some of its keys here and some
 *						there.  The queue waits, and asks again.
 *		CLUSTERDOWN		of one slot: likewise.  Of the cluster: the trouble of the
 *						link, as any other refusal of a server.
 *
 * Nothing of this counts as an attempt of a message.  What has been applied is in
 * the cursor, and the cursor moves with the slot, in the same step as the data or
 * before or after it: a script names both keys, and Redis does nothing if one of
 * them is elsewhere.
 *
 * The map is asked for when the seed connects, once a minute, when a node has named
 * another one, and when a link to a node is lost or silent.  If trouble goes on and
 * the map stays as it is, another node is asked: the one that answers may be cut
 * off from the others.
 *
 * A queue that was redirected has the seed as its home until servers.c gives it
 * another one, in the same turn or the next.  So nothing of it is sent meanwhile.
 *
 * If the process dies here, the next one asks for the map.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/cluster.h"

#include <limits.h>

#include "redis/errors.h"
#include "redis_server.h"
#include "relay/base/queues.h"
#include "relay/consumers/streams.h"
#include "relay/deliver/queue_state.h"
#include "utils/memutils.h"

/* how often the map is asked for, at least and at most */
#define MAP_MS			60000
#define MAP_PAUSE_MS	200

/* the same while a slot of ours has no node */
#define MAP_LACKING_MS	1000

/* a seed that does not answer within this time is left */
#define MAP_TIMEOUT_MS	2000

/* a node is doubted when nothing has moved for this time that should */
#define DOUBT_MS		1000

/* so often in a row the same node is asked in vain */
#define MAX_IN_VAIN		3

static bool changed = false;

static LinkCluster *
mine(const Link *link)
{
	return link->cluster;
}

void
outbox_link_cluster_init(Link *link)
{
	link->cluster = MemoryContextAllocZero(link->context, sizeof(LinkCluster));
}

static void
set_node(Link *link, const char *host, int port)
{
	LinkCluster *c = mine(link);

	strlcpy(c->node.host, host, sizeof(c->node.host));
	c->node.port = port;
	c->host.name = c->node.host;
	c->host.port = port;
}

void
outbox_cluster_begins(Link *link)
{
	LinkCluster *c = mine(link);

	Assert(link->state == LINK_DOWN && link->seed == NULL);
	outbox_cluster_map_free(c->map);
	memset(c, 0, sizeof(LinkCluster));
	link->slots = 0;
	link->is_seed = link->server != NULL && link->server->fault == NULL &&
		link->server->url->kind == OUTBOX_REDIS_CLUSTER;
	changed = true;
}

void
outbox_link_is_to_node(Link *link, Link *seed, const OutboxMaster *node)
{
	Assert(link->state == LINK_DOWN && !link->is_seed);
	link->seed = seed;
	set_node(link, node->host, node->port);
	mine(link)->doubted_at = 0;
	mine(link)->kept_until = 0;
}

void
outbox_link_is_kept(Link *link, OutboxTime until)
{
	mine(link)->kept_until = until;
}

const OutboxMaster *
outbox_node_of_slot(const Link *seed, int slot)
{
	return outbox_cluster_map_node(mine(seed)->map, slot);
}

bool
outbox_maps_have_changed(void)
{
	bool		result = changed;

	changed = false;
	return result;
}

void
outbox_cluster_has_queues(const Relay *relay, Link *link)
{
	LinkCluster *c = mine(link);
	ListCell   *lc;

	c->has_asynq = false;
	c->told = 0;
	if (!link->is_seed)
		return;
	foreach(lc, relay->queues)
	{
		const RelayQueue *queue = lfirst(lc);

		if (queue->settings->target == OUTBOX_TARGET_ASYNQ &&
			outbox_server_link(queue->home) == link)
			c->has_asynq = true;
	}
}

bool
outbox_cluster_is_to_be_told(Link *seed, uint64 connection)
{
	LinkCluster *c = mine(seed);
	bool		result = c->told != connection;

	c->told = connection;
	return result;
}

/*
 * The seed of a link in a cluster; NULL if it is in none.
 */
static Link *
seed_of(Link *link)
{
	if (link->is_own)
		link = link->guest != NULL ? link->guest->home : NULL;
	if (link == NULL)
		return NULL;
	return link->is_seed ? link : link->seed;
}

/*
 * A seed asks the hosts of the URL and the nodes of the map, in turn.
 */
const OutboxRedisHost *
outbox_cluster_host(Link *link)
{
	const LinkCluster *c = mine(link);
	const OutboxRedisUrl *url = link->server->url;
	int			nodes = c->map != NULL ? c->map->nnodes : 0;
	int			n;

	if (!link->is_seed)
		return &c->host;
	n = c->next % (url->nhosts + nodes);
	if (n < url->nhosts)
		set_node(link, url->hosts[n].name, url->hosts[n].port);
	else
		set_node(link, c->map->nodes[n - url->nhosts].host,
				 c->map->nodes[n - url->nhosts].port);
	return &c->host;
}

void
outbox_ask_for_map(Link *link, OutboxTime now)
{
	LinkCluster *c = mine(link);

	outbox_send_command(link, REQUEST_CLUSTER, NULL, 2,
						(const char *const[]) {"CLUSTER", "SLOTS"});
	c->is_asked = true;
	c->is_wanted = false;
	c->asked_at = now;
}

static bool
same_map(const OutboxClusterMap *a, const OutboxClusterMap *b)
{
	for (int i = 0; i < OUTBOX_CLUSTER_SLOTS; i++)
	{
		const OutboxMaster *x = outbox_cluster_map_node(a, i);
		const OutboxMaster *y = outbox_cluster_map_node(b, i);

		if ((x == NULL) != (y == NULL) || (x != NULL && !outbox_same_node(x, y)))
			return false;
	}
	return true;
}

static OutboxClusterMap *
read_map(Link *link, const OutboxReply *reply, const char **complaint)
{
	MemoryContext old = MemoryContextSwitchTo(link->context);
	OutboxClusterMap *map = outbox_read_cluster_map(reply, link->host, complaint);

	MemoryContextSwitchTo(old);
	if (map != NULL && map->nnodes == 0)
	{
		outbox_cluster_map_free(map);
		*complaint = "it knows no node that has slots";
		return NULL;
	}
	return map;
}

void
outbox_map_answer(Link *link, const OutboxReply *reply)
{
	LinkCluster *c = mine(link);
	const char *complaint;
	OutboxClusterMap *map = read_map(link, reply, &complaint);

	c->is_asked = false;
	if (map == NULL)
	{
		outbox_link_fail_with(link, complaint,
							  strstr(complaint, "cluster support disabled") != NULL ?
							  "For a Redis that is no cluster use redis:// or rediss://." : NULL);
		return;
	}
	if (same_map(map, c->map))
		c->in_vain += c->is_doubted;
	else
	{
		c->in_vain = 0;
		c->is_lacking = false;
		changed = true;
	}
	c->is_doubted = false;
	outbox_cluster_map_free(c->map);
	c->map = map;
	link->slots = outbox_cluster_map_covers(map);
	c->ask_at = outbox_in_ms(c->asked_at, c->is_wanted ? MAP_PAUSE_MS :
							 c->is_lacking ? MAP_LACKING_MS : MAP_MS);
	outbox_link_is_ready(link);
	outbox_link_is_up(link);
}

void
outbox_want_map(Link *seed)
{
	LinkCluster *c = mine(seed);

	c->is_wanted = true;
	c->ask_at = Min(c->ask_at, outbox_in_ms(c->asked_at, MAP_PAUSE_MS));
}

void
outbox_map_is_lacking(Link *seed)
{
	LinkCluster *c = mine(seed);

	c->is_lacking = true;
	c->ask_at = Min(c->ask_at, outbox_in_ms(c->asked_at, MAP_LACKING_MS));
}

/*
 * The queue's slot is elsewhere.  What had been sent before is answered in the same
 * way, so this is done once.
 */
static void
is_moved(RelayQueue *queue, Link *seed, const char *error)
{
	if (queue->listed->dropped || outbox_queue_leaves(queue) ||
		queue->home == seed)
		return;
	if (outbox_queue_is_redirected(queue, error))
		queue->home = seed;
}

static bool
follow_moved(Link *seed, Link *link, RelayQueue *queue, const char *error)
{
	OutboxMaster node;
	int			slot;

	if (!outbox_read_moved(error, link->host, &slot, &node))
		return false;
	if (mine(seed)->map != NULL && node.port != 0)
		outbox_cluster_map_correct(mine(seed)->map, slot, &node);
	changed = true;
	outbox_want_map(seed);
	if (queue != NULL)
		is_moved(queue, seed, error);
	return queue != NULL;
}

/*
 * Is it about a slot that no node has whole, or has at all?
 */
static bool
is_about_slot(const char *error)
{
	static const char *const beginnings[] = {
		"ASK ", "TRYAGAIN ", "CLUSTERDOWN Hash slot "
	};

	for (int i = 0; i < lengthof(beginnings); i++)
		if (strncmp(error, beginnings[i], strlen(beginnings[i])) == 0)
			return true;
	return false;
}

bool
outbox_is_redirected(Relay *relay, Link *link, const Request *request,
					 const OutboxReply *reply)
{
	Link	   *seed = seed_of(link);
	RelayQueue *queue = request->queue;
	const char *error;
	const char *why;

	if (seed == NULL || !outbox_reply_is_error(reply))
		return false;
	error = outbox_reply_string(reply);
	if (follow_moved(seed, link, queue, error))
		return true;
	if (queue == NULL || !is_about_slot(error))
		return false;
	why = psprintf(error[0] == 'C' ? "no node of the cluster has slot %d: %s" :
				   "slot %d is moving: %s", queue->slot, error);
	if (outbox_is_of_consumer(request->kind))
		outbox_consumer_waits_for_slot(request, why);
	else if (!queue->listed->dropped && !outbox_queue_leaves(queue))
		outbox_queue_waits_for_slot(queue, why);
	outbox_want_map(seed);
	return true;
}

/*
 * What was sent to a node is not answered.  If its slots are elsewhere now, as after
 * a failover, nothing is waited for.
 */
static void
doubt(Relay *relay, Link *link, OutboxTime now)
{
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->link == link && outbox_queue_leaves(queue) &&
			queue->requests->inflight > 0)
		{
			outbox_link_cut(link, "it does not answer, and the cluster has other nodes for its slots");
			return;
		}
	}
	if (now < outbox_in_ms(mine(link)->doubted_at, DOUBT_MS))
		return;
	mine(link)->doubted_at = now;
	mine(link->seed)->is_doubted = true;
	outbox_want_map(link->seed);
}

bool
outbox_watch_cluster(Relay *relay, Link *link, OutboxTime now)
{
	LinkCluster *c = mine(link);

	if (link->seed != NULL && link->inflight > 0 &&
		now >= outbox_in_ms(link->progress_at, DOUBT_MS))
		doubt(relay, link, now);
	if (!link->is_seed || link->state < LINK_GREETING)
		return true;
	if (c->is_asked)
	{
		if (now >= outbox_in_ms(c->asked_at, MAP_TIMEOUT_MS))
			outbox_link_cut(link, "no answer within 2 s");
	}
	else if (c->in_vain >= MAX_IN_VAIN)
		return false;
	else if (now >= c->ask_at)
		outbox_ask_for_map(link, now);
	return true;
}

void
outbox_leave_node(Link *link)
{
	LinkCluster *c = mine(link);

	if (link->seed != NULL && link->server != NULL)
	{
		mine(link->seed)->is_doubted = true;
		outbox_want_map(link->seed);
	}
	if (!link->is_seed)
		return;
	c->is_asked = false;
	c->in_vain = 0;
	c->next++;
}

long
outbox_ms_until_map(const Link *link, OutboxTime now)
{
	const LinkCluster *c = mine(link);

	if (!link->is_seed || link->state < LINK_READY || c->is_asked)
		return LONG_MAX;
	return outbox_ms_until(now, c->ask_at);
}
