/*-------------------------------------------------------------------------
 *
 * cluster_map.c
 *	  Which node of a Redis Cluster has which slot.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * CLUSTER SLOTS is what all versions have, Redis 6.2 to 8.x and Valkey, and it
 * names the port for the kind of connection on which it is asked: that with TLS on
 * one with TLS.  CLUSTER SHARDS would say more, of replicas, which we don't use.
 *
 *		[[first slot, last slot, [host, port, ...], replicas...], ...]
 *
 * A node that does not know its own address, or is told to keep it to itself, names
 * an empty host or none: it means the one that was asked.  "?" stands for a
 * name that is not known, which is no address.
 *
 * Whoever answers need not be a node of a cluster, so nothing is taken that could
 * not be an answer: slots are slots, an address could be one.
 *
 *-------------------------------------------------------------------------
 */
#include "redis/cluster_map.h"

#include "utils/memutils.h"

/* an answer may have a range for each slot, and say a few things of each node */
const OutboxReplyLimits outbox_cluster_map_limits = {4, 4 * 1024 * 1024, 64 * 1024 * 1024};

/* a cluster has at most a thousand nodes by its own rules */
#define MAX_NODES	4096

bool
outbox_same_node(const OutboxMaster *a, const OutboxMaster *b)
{
	return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/*
 * Write down an address.  False if it is none.
 */
static bool
make_node(OutboxMaster *node, const char *host, size_t len, int port,
		  const OutboxRedisHost *asked)
{
	if (len == 0)
	{
		host = asked->name;
		len = strlen(host);
	}
	if (port < 1 || port > 65535 || !outbox_is_host(host, len) ||
		(len == 1 && host[0] == '?'))
		return false;
	memcpy(node->host, host, len);
	node->host[len] = '\0';
	node->port = port;
	return true;
}

/*
 * Returns the number of the node in the map, where it is added if need be; -1 if
 * there are too many.
 */
static int
number_of(OutboxClusterMap *map, const OutboxMaster *node)
{
	for (int i = 0; i < map->nnodes; i++)
		if (outbox_same_node(&map->nodes[i], node))
			return i;
	if (map->nnodes == MAX_NODES)
		return -1;
	if (map->nnodes == map->size)
	{
		map->size *= 2;
		map->nodes = repalloc(map->nodes, map->size * sizeof(OutboxMaster));
	}
	map->nodes[map->nnodes] = *node;
	return map->nnodes++;
}

static OutboxClusterMap *
make_map(void)
{
	OutboxClusterMap *map = palloc0(sizeof(OutboxClusterMap));

	map->size = 8;
	map->nodes = palloc(map->size * sizeof(OutboxMaster));
	memset(map->slots, -1, sizeof(map->slots));
	return map;
}

void
outbox_cluster_map_free(OutboxClusterMap *map)
{
	if (map == NULL)
		return;
	pfree(map->nodes);
	pfree(map);
}

/*
 * Take one range of slots.  False if it can be none.
 */
static bool
take_range(OutboxClusterMap *map, const OutboxReply *range,
		   const OutboxRedisHost *asked)
{
	const OutboxReply *owner;
	const OutboxReply *host;
	int64		first;
	int64		last;
	OutboxMaster node;
	int			n = -1;

	if (outbox_reply_length(range) < 3)
		return false;
	owner = outbox_reply_element(range, 2);
	if (outbox_reply_length(owner) < 2)
		return false;
	first = outbox_reply_integer(outbox_reply_element(range, 0));
	last = outbox_reply_integer(outbox_reply_element(range, 1));
	if (first < 0 || first > last || last >= OUTBOX_CLUSTER_SLOTS)
		return false;
	host = outbox_reply_element(owner, 0);
	if (make_node(&node, outbox_reply_string(host), outbox_reply_size(host),
				  (int) outbox_reply_integer(outbox_reply_element(owner, 1)),
				  asked))
		n = number_of(map, &node);
	for (int64 slot = first; slot <= last; slot++)
		map->slots[slot] = (int16) n;
	return true;
}

OutboxClusterMap *
outbox_read_cluster_map(const OutboxReply *reply, const OutboxRedisHost *asked,
						const char **complaint)
{
	OutboxClusterMap *map;

	if (outbox_reply_is_error(reply))
	{
		*complaint = outbox_reply_string(reply);
		return NULL;
	}
	map = make_map();
	*complaint = "its answer is no map of a cluster";
	if (!outbox_reply_is_array_of(reply, OUTBOX_REPLY_ARRAY))
		goto wrong;
	for (size_t i = 0; i < outbox_reply_length(reply); i++)
		if (!take_range(map, outbox_reply_element(reply, i), asked))
			goto wrong;
	return map;

wrong:
	outbox_cluster_map_free(map);
	return NULL;
}

const OutboxMaster *
outbox_cluster_map_node(const OutboxClusterMap *map, int slot)
{
	return map == NULL || map->slots[slot] < 0 ? NULL :
		&map->nodes[map->slots[slot]];
}

char *
outbox_node_address(const OutboxMaster *node)
{
	return psprintf("%s:%d", node->host, node->port);
}

const OutboxMaster *
outbox_cluster_map_from(const OutboxClusterMap *map, const char *address,
						bool beyond)
{
	bool	   *has_slots = palloc0(map->nnodes * sizeof(bool));
	const OutboxMaster *first = NULL;

	for (int i = 0; i < OUTBOX_CLUSTER_SLOTS; i++)
		if (map->slots[i] >= 0)
			has_slots[map->slots[i]] = true;
	for (int i = 0; i < map->nnodes; i++)
	{
		const OutboxMaster *node = &map->nodes[i];
		char	   *text = outbox_node_address(node);
		int			order = strcmp(text, address);

		if (has_slots[i] && (order > 0 || (order == 0 && !beyond)) &&
			(first == NULL || strcmp(text, outbox_node_address(first)) < 0))
			first = node;
	}
	return first;
}

int
outbox_cluster_map_covers(const OutboxClusterMap *map)
{
	int			n = 0;

	for (int i = 0; i < OUTBOX_CLUSTER_SLOTS; i++)
		n += map->slots[i] >= 0;
	return n;
}

bool
outbox_read_moved(const char *error, const OutboxRedisHost *asked, int *slot,
				  OutboxMaster *node)
{
	static const char word[] = "MOVED ";
	const char *host;
	const char *colon;
	char	   *end;
	long		n;

	if (strncmp(error, word, strlen(word)) != 0)
		return false;
	n = strtol(error + strlen(word), &end, 10);
	if (n < 0 || n >= OUTBOX_CLUSTER_SLOTS || *end != ' ')
		return false;
	*slot = (int) n;
	host = end + 1;
	/* an IPv6 address has colons, and no brackets */
	colon = strrchr(host, ':');
	if (colon == NULL ||
		!make_node(node, host, colon - host,
				   outbox_read_port(colon + 1, strlen(colon + 1)), asked))
		node->port = 0;
	return true;
}

void
outbox_cluster_map_correct(OutboxClusterMap *map, int slot,
						   const OutboxMaster *node)
{
	map->slots[slot] = (int16) number_of(map, node);
}
