/*-------------------------------------------------------------------------
 *
 * errand_link.c
 *	  To which Redis an errand is sent.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A server that is a cluster keeps cursors on each of its nodes.  Those of databases
 * that are gone may be where no queue of ours is, so there is a link to each node
 * that is asked, as long as it is and a while longer (servers.c).
 *
 * Nodes are asked one after the other, in the order of their addresses: so it takes
 * no list of those that were asked, and the map may change meanwhile.  The backend
 * is told which one was asked and which is next.  A node that can't be asked keeps
 * nobody from asking the next one.
 *
 * A cursor that is named is asked for at the node that has its slot.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/errand_link.h"

#include "queue/partition.h"
#include "redis_server.h"
#include "relay/base/hold.h"
#include "relay/base/link.h"
#include "relay/base/link_shown.h"
#include "relay/cluster.h"
#include "relay/nodes.h"
#include "relay/servers.h"
#include "relay/upkeep/errand.h"

/* a node is likely to be asked again within this time */
#define NODE_KEPT_MS	10000

/*
 * The link to the server of this name; "" for the default one.
 */
static Link *
link_to(const Relay *relay, const char *server)
{
	ListCell   *lc;

	if (server[0] == '\0' || strcmp(server, OUTBOX_DEFAULT_SERVER) == 0)
		return outbox_default_link(relay);
	foreach(lc, relay->links)
	{
		Link	   *link = lfirst(lc);

		if (!link->is_own && link->seed == NULL && link->in_use &&
			link->name != NULL &&
			strcmp(link->name, server) == 0)
			return link;
	}
	return NULL;
}

/*
 * Send it, unless the link will be up or fail soon: then later.
 */
static void
send_on(Relay *relay, Link *link, const Errand *errand, const char *node,
		const char *next)
{
	if (link->state >= LINK_READY && outbox_link_may_send(link))
		outbox_send_errand(link, errand, node, next);
	else if (link->shown->state == OUTBOX_WAITING_FOR_REDIS)
		outbox_refuse_errand(relay, "it is not connected to Redis", node, next);
}

static void
send_to_node(Relay *relay, Link *seed, Errand *errand, OutboxTime now)
{
	const OutboxClusterMap *map = seed->cluster->map;
	bool		finds = errand->kind == OUTBOX_ERRAND_FIND;
	int			slot = finds ? -1 : outbox_slot_of_bytes(errand->key);
	const OutboxMaster *node = finds ?
	outbox_cluster_map_from(map, errand->key, false) :
	outbox_node_of_slot(seed, slot);
	const OutboxMaster *next;
	char	   *address;

	if (node == NULL && finds)
	{
		outbox_forget_errand(relay);
		return;
	}
	if (node == NULL)
	{
		outbox_refuse_errand(relay, psprintf("no node of the cluster has slot %d", slot),
							 "", "");
		return;
	}
	address = outbox_node_address(node);
	/* a place is that of the node that has named it */
	if (finds && strcmp(address, errand->key) != 0)
		errand->arg = "0";
	next = finds ? outbox_cluster_map_from(map, address, true) : NULL;
	send_on(relay, outbox_keep_node(relay, seed, node, outbox_in_ms(now, NODE_KEPT_MS)),
			errand, address, next != NULL ? outbox_node_address(next) : "");
}

void
outbox_run_errand(Relay *relay, OutboxTime now)
{
	Errand		errand;
	Link	   *link;

	if (!outbox_take_errand(relay, &errand))
		return;
	link = link_to(relay, errand.server);
	if (outbox_is_held())
		outbox_refuse_errand(relay, outbox_hold_reason(), "", "");
	else if (link == NULL || !link->in_use)
		outbox_forget_errand(relay);	/* no queue has it any more */
	else if (link->is_seed && link->cluster->map != NULL)
		send_to_node(relay, link, &errand, now);
	else if (!link->is_seed || link->shown->state == OUTBOX_WAITING_FOR_REDIS)
		send_on(relay, link, &errand, "", "");
}
