/*-------------------------------------------------------------------------
 *
 * link_shown.c
 *	  What is shown and logged of links, one for each server.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Each server that queues name has a state of its own.  That of the relay is
 * "running" as long as one of them is: those who look at the relay want to know
 * whether it works, and a server that is away is in the summary, in
 * outbox.server_status, and the state of its queues.  With one server the two are
 * the same.
 *
 * An error is logged at LOG when it is another one than before, and at DEBUG1 when
 * it is repeated, or when the server has come and gone too often.  Each server
 * has an allowance of its own, so one that comes and goes hides no other's news.
 *
 * Shared memory has room for OUTBOX_MAX_SERVERS.  Those beyond are served like all
 * others, and their number is shown.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/base/link_shown.h"

#include "pgstat.h"
#include "redis/errors.h"
#include "redis_server.h"
#include "relay/base/hold.h"
#include "relay/base/standby.h"
#include "utils/timestamp.h"

/* how often it is shown how far the synchronous standby has got */
#define SHOW_AGAIN_MS		1000

static LinkShown *
mine(const Link *link)
{
	return link->shown;
}

void
outbox_link_shown_init(Link *link)
{
	link->shown = MemoryContextAllocZero(link->context, sizeof(LinkShown));
	link->shown->state = OUTBOX_STARTING;
}

/*
 * What the server is called in a message.
 */
static char *
called(const Link *link)
{
	char	   *server = link->name == NULL ? pstrdup("Redis") :
	psprintf("server \"%s\"", link->name);

	if (link->is_seed)
		return psprintf("the cluster of %s", server);
	return link->seed == NULL ? server :
		psprintf("node %s:%d of %s", link->host->name, link->host->port, server);
}

static void
set_relay_state(Relay *relay, OutboxRelayState state, const char *why)
{
	outbox_set_state(relay->slot, state, why);
	pgstat_report_activity(STATE_IDLE,
						   state == OUTBOX_WAITING_FOR_REDIS ?
						   psprintf("waiting for redis: %s", why) :
						   state == OUTBOX_WAITING_FOR_STANDBY ?
						   psprintf("waiting for standby: %s", why) :
						   state == OUTBOX_RUNNING ? "running" : why);
}

/*
 * How many nodes of a cluster are in use?
 */
static int
count_nodes(const Relay *relay, const Link *link)
{
	int			n = 0;
	ListCell   *lc;

	if (!link->is_seed)
		return 0;
	foreach(lc, relay->links)
	{
		const Link *node = lfirst(lc);

		n += node->seed == link && node->in_use;
	}
	return n;
}

/*
 * Is it the link to a cluster of which nodes are in use?  These say how it is.
 */
static bool
has_nodes(const Relay *relay, const Link *link)
{
	return count_nodes(relay, link) > 0;
}

/*
 * The link whose state is the relay's: one that runs, else one that waits for
 * the standby, else the first one that waits for its server.
 */
static const Link *
telling_link(const Relay *relay)
{
	static const OutboxRelayState best[] = {
		OUTBOX_RUNNING, OUTBOX_WAITING_FOR_STANDBY, OUTBOX_WAITING_FOR_REDIS
	};
	ListCell   *lc;

	for (int i = 0; i < lengthof(best); i++)
		foreach(lc, relay->links)
	{
		const Link *link = lfirst(lc);

		if (link->in_use && link->shown->state == best[i] &&
			!has_nodes(relay, link))
			return link;
	}
	return NULL;
}

static void
set_state(Relay *relay, Link *link, OutboxRelayState state, const char *why)
{
	LinkShown  *shown = mine(link);
	const Link *telling;

	if (shown->state != state)
		shown->since = GetCurrentTimestamp();
	shown->state = state;
	strlcpy(shown->why, why, sizeof(shown->why));
	telling = telling_link(relay);
	if (telling != NULL)
		set_relay_state(relay, telling->shown->state, telling->shown->why);
}

void
outbox_show_link_ends(Link *link)
{
	mine(link)->is_up = false;
	mine(link)->standby_at = 0;
}

void
outbox_show_link_anew(Link *link)
{
	LinkShown  *shown = mine(link);

	shown->state = OUTBOX_STARTING;
	shown->since = GetCurrentTimestamp();
	shown->why[0] = '\0';
	shown->last_trouble[0] = '\0';
	shown->address[0] = '\0';
}

void
outbox_show_link_address(const Link *link, const char *address)
{
	strlcpy(mine(link)->address, address, sizeof(mine(link)->address));
}

static void
log_trouble(const Relay *relay, Link *link, const char *error, OutboxTime now)
{
	LinkShown  *shown = mine(link);
	const char *server = link->server->name;
	bool		is_news = strcmp(error, shown->last_trouble) != 0 &&
	!has_nodes(relay, link) && outbox_may_log(&shown->allowance, now);
	OutboxErrorClass class = outbox_classify_error(error);

	ereport(!is_news ? DEBUG1 :
			class == OUTBOX_ERROR_OPERATOR || class == OUTBOX_ERROR_REDIRECT ||
			link->hint != NULL ? WARNING : LOG,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("outbox is waiting for %s: %s", called(link), error),
			 link->name == NULL ?
			 errdetail("Messages stay staged until it is back.") :
			 errdetail("Messages of its queues stay staged until it is back."),
			 link->hint != NULL ? errhint("%s", link->hint) :
			 class == OUTBOX_ERROR_OPERATOR ?
			 server != NULL ?
			 errhint("Check server \"%s\" and its user mapping.", server) :
			 errhint("Check \"outbox.redis_url\".") :
			 class == OUTBOX_ERROR_REDIRECT ?
			 errhint("It is a node of a Redis Cluster: use redis+cluster:// or rediss+cluster://.") : 0));
	if (is_news)
		strlcpy(shown->last_trouble, error, sizeof(shown->last_trouble));
}

void
outbox_show_trouble(Relay *relay, Link *link, const char *error, OutboxTime now)
{
	LinkShown  *shown = mine(link);

	log_trouble(relay, link, error, now);
	strlcpy(shown->last_error, error, sizeof(shown->last_error));
	shown->last_error_at = GetCurrentTimestamp();
	outbox_set_error(relay->slot, link->name == NULL && link->seed == NULL ?
					 error : psprintf("%s: %s", called(link), error));
	set_state(relay, link, OUTBOX_WAITING_FOR_REDIS, error);
}

void
outbox_show_up(Relay *relay, Link *link)
{
	LinkShown  *shown = mine(link);

	if (shown->is_up || shown->standby_at != 0)
		return;
	if (shown->last_trouble[0] != '\0')
		ereport(LOG, (errmsg("outbox is delivering to %s again", called(link))));
	shown->last_trouble[0] = '\0';
	shown->is_up = true;
	set_state(relay, link, OUTBOX_RUNNING, "");
}

/*
 * About once a second with how far the standby has got; it is logged once.
 */
void
outbox_show_standby(Relay *relay, Link *link, OutboxTime now)
{
	LinkShown  *shown = mine(link);
	const char *why = outbox_standby_trouble(now);

	if (why == NULL)
	{
		if (shown->standby_at == 0)
			return;
		ereport(LOG, (errmsg("outbox does not wait for the synchronous standby any more")));
		shown->standby_at = 0;
		set_state(relay, link, OUTBOX_RUNNING, "");
		return;
	}
	if (shown->standby_at == 0)
		ereport(outbox_may_log(&shown->allowance, now) ? LOG : DEBUG1,
				(errmsg("outbox is waiting for the synchronous standby: %s", why),
				 errhint("Messages stay staged until a standby of \"synchronous_standby_names\" has them.")));
	else if (now < outbox_in_ms(shown->standby_at, SHOW_AGAIN_MS))
		return;
	shown->standby_at = now;
	set_state(relay, link, OUTBOX_WAITING_FOR_STANDBY, why);
}

void
outbox_show_hold(Relay *relay)
{
	set_relay_state(relay, outbox_hold_state(), outbox_hold_reason());
}

bool
outbox_is_shown_waiting(const Link *link)
{
	return link->in_use && link->shown->state == OUTBOX_WAITING_FOR_REDIS;
}

void
outbox_count_at_servers(const Relay *relay)
{
	ListCell   *lc;

	foreach(lc, relay->links)
	{
		LinkShown  *shown = mine(lfirst(lc));

		shown->queues = 0;
		shown->waiting = 0;
		shown->delivered = 0;
	}
}

void
outbox_add_to_server(const RelayQueue *queue, int64 waiting, uint64 delivered,
					 TimestampTz last_success)
{
	LinkShown  *shown = mine(outbox_server_link(queue->home));

	shown->queues++;
	shown->waiting += waiting;
	shown->delivered += delivered;
	shown->last_success = Max(shown->last_success, last_success);
}

/*
 * What a server is said to be: its link; of a cluster, a node that is better off than
 * others, and why another one is not.
 */
static const LinkShown *
told_of(const Relay *relay, const Link *link, const char **why)
{
	const LinkShown *told = link->shown;
	const Link *away = NULL;
	ListCell   *lc;

	*why = told->why;
	if (!has_nodes(relay, link))
		return told;
	foreach(lc, relay->links)
	{
		const Link *node = lfirst(lc);

		if (node->seed != link || !node->in_use)
			continue;
		if (told == link->shown || node->shown->state == OUTBOX_RUNNING)
			told = node->shown;
		if (node->shown->state == OUTBOX_WAITING_FOR_REDIS)
			away = node;
	}
	if (away != NULL)
		*why = psprintf("node %s:%d: %s", away->host->name, away->host->port,
						away->shown->why);
	else if (link->shown->state == OUTBOX_RUNNING)
		*why = told->why;
	return told;
}

static void
publish_server(const Relay *relay, const Link *link, OutboxShownServer *server)
{
	const char *why;
	const LinkShown *told = told_of(relay, link, &why);
	const LinkShown *shown = link->shown;

	strlcpy(server->name, link->server->name != NULL ? link->server->name : "",
			sizeof(server->name));
	if (link->is_seed && link->slots > 0)
		snprintf(server->address, sizeof(server->address),
				 "%s (%d nodes in use, %d of %d slots have one)",
				 link->server->address, count_nodes(relay, link), link->slots,
				 OUTBOX_CLUSTER_SLOTS);
	else
		strlcpy(server->address, shown->address[0] != '\0' ? shown->address :
				link->server->address, sizeof(server->address));
	server->state = told->state;
	server->since = told->since;
	strlcpy(server->why, why, sizeof(server->why));
	strlcpy(server->last_error, shown->last_error, sizeof(server->last_error));
	server->last_error_at = shown->last_error_at;
	server->last_success = shown->last_success;
	server->queues = shown->queues;
	server->waiting = shown->waiting;
	server->delivered = shown->delivered;
}

void
outbox_publish_servers(const Relay *relay)
{
	OutboxSlot *slot = relay->slot;
	int			n = 0;
	ListCell   *lc;

	foreach(lc, relay->links)
	{
		const Link *link = lfirst(lc);

		if (!link->in_use || link->server == NULL || link->seed != NULL)
			continue;
		if (n < OUTBOX_MAX_SERVERS)
			publish_server(relay, link, &slot->servers[n]);
		n++;
	}
	slot->nservers = n;
}
