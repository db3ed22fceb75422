/*-------------------------------------------------------------------------
 *
 * nodes.c
 *	  Links to the nodes of Redis Clusters.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * There is a link to each node that has a slot of one of our queues, with the
 * settings of the server that the cluster is.  A link that has had its time is
 * used for the next node.
 *
 * Asynq's tools list the queues of a set, "asynq:queues", to which its client adds
 * the queue that it uses.  In a cluster that lies in a slot of its own, so it can be
 * at a node that has none of our queues.  There is a link to that one as well, as
 * long as there are queues of asynq, and all of them are added on each connection,
 * and again when queues or the map have changed.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/nodes.h"

#include "queue/partition.h"
#include "relay/base/queues.h"
#include "relay/cluster.h"
#include "relay/link_life.h"
#include "relay/make_link.h"

#define ASYNQ_QUEUES	"asynq:queues"

Link *
outbox_link_to_node(Relay *relay, Link *seed, const OutboxMaster *node)
{
	Link	   *link = NULL;
	ListCell   *lc;

	foreach(lc, relay->links)
	{
		Link	   *other = lfirst(lc);

		if (other->seed == NULL)
			continue;
		if (other->in_use && other->seed == seed &&
			outbox_same_node(&other->cluster->node, node))
			return other;
		if (!other->in_use && other->server == NULL)
			link = other;
	}
	if (link == NULL)
		link = outbox_make_link(relay, false);
	else
		outbox_link_has_moved(relay, link);
	outbox_link_use(link, seed->name, seed->server);
	outbox_link_is_to_node(link, seed, node);
	outbox_link_is_in_use(link, true);
	return link;
}

/*
 * The server belongs to the seed.
 */
void
outbox_leave_node_link(Relay *relay, Link *link)
{
	outbox_link_is_in_use(link, false);
	outbox_link_has_moved(relay, link);
	outbox_link_use(link, NULL, NULL);
}

bool
outbox_leave_nodes(Relay *relay, Link *seed)
{
	bool		any = false;
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->home->seed != seed)
			continue;
		queue->home = seed;
		any = true;
	}
	foreach(lc, relay->links)
	{
		Link	   *link = lfirst(lc);

		if (link->seed == seed && link->server != NULL)
			outbox_leave_node_link(relay, link);
	}
	return any;
}

static int
asynq_slot(void)
{
	static int	slot = -1;

	if (slot < 0)
		slot = outbox_slot_of_bytes(ASYNQ_QUEUES);
	return slot;
}

static bool
is_of_asynq(const RelayQueue *queue, const Link *seed)
{
	return queue->settings->target == OUTBOX_TARGET_ASYNQ &&
		!queue->listed->dropped && outbox_server_link(queue->home) == seed;
}

bool
outbox_has_asynq_queues(const Relay *relay, const Link *link)
{
	const OutboxMaster *node;
	ListCell   *lc;

	if (link->seed == NULL)
		return false;
	node = outbox_node_of_slot(link->seed, asynq_slot());
	if (node == NULL || !outbox_same_node(&link->cluster->node, node))
		return false;
	foreach(lc, relay->queues)
		if (is_of_asynq(lfirst(lc), link->seed))
		return true;
	return false;
}

/*
 * Add all queues to the set, by one command.
 */
static void
add_asynq_queues(const Relay *relay, Link *link)
{
	int			n = 0;
	const char **argv = palloc((2 + list_length(relay->queues)) * sizeof(char *));
	ListCell   *lc;

	argv[n++] = "SADD";
	argv[n++] = ASYNQ_QUEUES;
	foreach(lc, relay->queues)
	{
		const RelayQueue *queue = lfirst(lc);

		if (is_of_asynq(queue, link->seed))
			argv[n++] = queue->settings->redis_key;
	}
	outbox_send_command(link, REQUEST_IGNORED, NULL, n, argv);
}

void
outbox_run_asynq_queues(Relay *relay, Link *seed)
{
	const OutboxMaster *node;
	Link	   *link;

	if (!seed->is_seed || !seed->cluster->has_asynq)
		return;
	node = outbox_node_of_slot(seed, asynq_slot());
	if (node == NULL)
		return;
	link = outbox_link_to_node(relay, seed, node);
	if (link->state < LINK_READY ||
		!outbox_cluster_is_to_be_told(seed, outbox_connection_number(link->connection)))
		return;
	add_asynq_queues(relay, link);
}
