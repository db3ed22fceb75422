/*-------------------------------------------------------------------------
 *
 * replicas.c
 *	  With wait_replicas: what have the replicas of Redis?
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Replication of Redis is asynchronous: a replica that takes over may lack the
 * last writes, and the cursors with them.  They come again if their rows are still
 * there.  So with wait_replicas rows are forgotten when enough replicas have the
 * cursor that covers them, and not before, however long that takes.
 *
 * WAIT blocks its connection, and must not block delivery.  So it is sent on
 * another connection, and a round goes like this:
 *
 *		link that delivers		other connection
 *		SET marker
 *		OK
 *								GETEX marker		it is the same Redis, and this
 *													is a write of this connection
 *								WAIT n				n replicas have that write
 *
 * Redis applies in order, and replicates in order.  What had been answered on the
 * link when the marker was sent precedes the marker, the marker precedes the write
 * of the other connection, and so n replicas have all of it.  The cursors as they
 * were when the marker was sent are remembered (cursor.c); these are what replicas
 * have when WAIT has answered.
 *
 * The other connection may reach another Redis than the link: behind a name or a
 * proxy a replica may have taken over, while the link still has the old one.  That
 * one does not have the marker of this round, as each has another one.  So GETEX
 * says so, and what its replicas have is not asked for.
 *
 * The marker lies beside a cursor that was moved, so whoever may move that may write
 * it, and in a cluster it is where the cursor is.  It expires.
 *
 * Too few replicas are no failure.  It is said, and asked again: nothing is
 * forgotten meanwhile, and delivery goes on.  Nor has trouble of the other
 * connection any effect on the link.  It is a Link that serves no queue; while the
 * link that delivers is down, it is closed.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/replicas.h"

#include <limits.h>

#include "redis/errors.h"
#include "redis_server.h"
#include "relay/base/hold.h"
#include "relay/base/queues.h"
#include "relay/base/shown.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/queue_state.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define CONNECT_TIMEOUT_S	5
#define ANSWER_TIMEOUT_MS	10000
#define BACKOFF_MIN_MS		100
#define BACKOFF_MAX_MS		5000

/* from the begin of a round to that of the next, or to the next WAIT */
#define ROUND_MS			200

/* a round that has taken longer is late, see outbox_replicas_kept_up() */
#define LATE_MS				1000

#define MARKER_EXPIRES_MS	"60000"

/* requests on the other connection; Request.number says which */
enum
{
	ASK_LOGIN,
	ASK_MARKER,
	ASK_WAIT,
	ASK_COUNT
};

static LinkReplicas *
mine(const Link *link)
{
	return link->replicas;
}

void
outbox_link_replicas_init(Link *link)
{
	LinkReplicas *replicas = MemoryContextAllocZero(link->context,
													sizeof(LinkReplicas));

	replicas->other = outbox_link_make(link->context, true);
	replicas->existing = -1;
	link->replicas = replicas;
}

/* rounds */

static void
withdraw(Relay *relay, const Link *link)
{
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->link == link)
			outbox_withdraw_cursor(queue);
	}
}

static void
drop_round(Relay *relay, Link *link)
{
	LinkReplicas *replicas = mine(link);

	if (replicas->round != ROUND_NONE)
		withdraw(relay, link);
	replicas->round = ROUND_NONE;
	replicas->moves = 0;
}

/*
 * Remember the cursors as they are.  Returns one of those that have moved, or NULL.
 */
static RelayQueue *
offer_cursors(Relay *relay, const Link *link)
{
	uint64		connection = outbox_connection_number(link->connection);
	RelayQueue *one = NULL;
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->link != link)
			continue;
		if (queue->listed->dropped || !outbox_offer_cursor(queue, connection))
		{
			outbox_withdraw_cursor(queue);
			continue;
		}
		outbox_show_offered(queue);
		/* the marker is in its slot */
		if (one == NULL || !outbox_queue_lacks_slot(queue))
			one = queue;
	}
	return one;
}

static bool
all_is_replicated(const Relay *relay, const Link *link)
{
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		const RelayQueue *queue = lfirst(lc);

		if (queue->link == link && !queue->listed->dropped &&
			!outbox_cursor_is_replicated(queue))
			return false;
	}
	return true;
}

static void
keep(LinkReplicas *replicas, const char *key, const char *marker)
{
	if (replicas->key != NULL)
	{
		pfree(unconstify(char *, replicas->key));
		pfree(unconstify(char *, replicas->marker));
	}
	replicas->key = MemoryContextStrdup(replicas->other->context, key);
	replicas->marker = MemoryContextStrdup(replicas->other->context, marker);
}

static void
begin_round(Relay *relay, Link *link, OutboxTime now)
{
	LinkReplicas *replicas = mine(link);
	RelayQueue *queue;

	replicas->moves = outbox_cursor_moves();
	replicas->next_at = outbox_in_ms(now, ROUND_MS);
	queue = offer_cursors(relay, link);
	if (queue == NULL)
	{
		if (all_is_replicated(relay, link))
			outbox_replicas_are_well(relay, link);
		return;
	}
	keep(replicas, psprintf("%s:replicas", queue->cursor_key),
		 psprintf("%s %u", link->token, ++replicas->rounds));
	replicas->round = ROUND_MARKED;
	replicas->connection = outbox_connection_number(link->connection);
	replicas->began_at = now;
	outbox_send_command(link, REQUEST_REPLICAS, NULL, 5,
						(const char *const[]) {"SET", replicas->key,
							replicas->marker, "PX", MARKER_EXPIRES_MS});
}

/*
 * An error is kept, until outbox_run_replicas() can show it.
 */
void
outbox_marker_answer(Link *link, const OutboxReply *reply)
{
	LinkReplicas *replicas = mine(link);

	if (replicas->round != ROUND_MARKED)
		return;
	if (outbox_reply_is_error(reply))
		outbox_link_fail(replicas->other, outbox_reply_string(reply));
	else
		replicas->round = ROUND_WRITTEN;
}

static void
ask(Link *other, int number, int argc, const char *const *argv)
{
	outbox_send_command(other, REQUEST_REPLICAS, NULL, argc, argv)->number = number;
}

static void
send_wait(Link *link, OutboxTime now)
{
	const OutboxRedisServer *server = link->server;
	LinkReplicas *replicas = mine(link);

	ask(replicas->other, ASK_MARKER, 4,
		(const char *const[]) {"GETEX", replicas->key, "PX", MARKER_EXPIRES_MS});
	ask(replicas->other, ASK_WAIT, 3,
		(const char *const[]) {"WAIT", psprintf("%d", server->wait_replicas),
			psprintf("%d", server->wait_timeout)});
	replicas->round = ROUND_ASKED;
	replicas->next_at = outbox_in_ms(now, ROUND_MS);
	replicas->give_up_at = outbox_in_ms(now, server->wait_timeout +
										ANSWER_TIMEOUT_MS);
}

static void
end_round(Relay *relay, Link *link, OutboxTime now)
{
	LinkReplicas *replicas = mine(link);
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->link == link && queue->cursor->offered.pos.prev != NULL)
		{
			outbox_cursor_has_replicas(queue);
			outbox_show_replicated(relay, queue);
		}
	}
	if (now >= outbox_in_ms(replicas->began_at, LATE_MS))
		replicas->late_at = now;
	replicas->until = replicas->began_at;
	replicas->round = ROUND_NONE;
	replicas->backoff_ms = 0;
	outbox_replicas_are_well(relay, link);
}

/* the other connection */

static void
close_other(LinkReplicas *replicas)
{
	if (replicas->other->state != LINK_DOWN)
		outbox_link_end(replicas->other);
	if (replicas->round == ROUND_ASKED)
		replicas->round = ROUND_WRITTEN;
}

/*
 * It has failed, or was told something that is no use.  If it was closed while it
 * had nothing to do, that is no trouble.
 */
static void
other_failed(Relay *relay, Link *link, OutboxTime now)
{
	LinkReplicas *replicas = mine(link);
	bool		was_idle = replicas->other->is_cut &&
	replicas->other->state >= LINK_READY && replicas->other->inflight == 0;
	char	   *why = pstrdup(replicas->other->trouble);

	close_other(replicas);
	if (replicas->round == ROUND_MARKED)
		drop_round(relay, link);
	replicas->other->trouble[0] = '\0';
	if (was_idle)
		return;
	replicas->backoff_ms = Min(Max(replicas->backoff_ms * 2, BACKOFF_MIN_MS),
							   BACKOFF_MAX_MS);
	replicas->retry_at = outbox_in_ms(now, replicas->backoff_ms);
	replicas->next_at = replicas->retry_at;
	outbox_show_replicas_trouble(relay, link, psprintf("asking for them fails: %s", why), why, now);
}

static void
connect_other(Link *link, OutboxTime now)
{
	LinkReplicas *replicas = mine(link);

	outbox_link_use(replicas->other, link->name, link->server);
	if (outbox_link_begin(replicas->other, link->host))
		replicas->give_up_at = outbox_in_ms(now, CONNECT_TIMEOUT_S * 1000);
}

static void
greet(Link *other)
{
	outbox_link_greet(other);
	outbox_link_log_in(other);
	ask(other, ASK_LOGIN, 3,
		(const char *const[]) {"CLIENT", "SETNAME", "outbox-replicas"});
}

/*
 * Redis says which replicas it has to whom may ask for it.
 */
static int
count_replicas(const OutboxReply *reply)
{
	const char *line = strstr(outbox_reply_string(reply), "connected_slaves:");

	return line == NULL || outbox_reply_is_error(reply) ? -1 :
		atoi(line + strlen("connected_slaves:"));
}

static void
marker_was_read(Relay *relay, Link *link, const OutboxReply *reply)
{
	LinkReplicas *replicas = mine(link);

	if (outbox_reply_is_error(reply))
		outbox_link_fail(replicas->other, outbox_reply_string(reply));
	else if (strcmp(outbox_reply_string(reply), replicas->marker) != 0)
	{
		outbox_link_fail(replicas->other,
						 "another Redis answers at its address than the one that messages are delivered to, or the marker is gone");
		close_other(replicas);
		drop_round(relay, link);
	}
}

static void
take_count(Relay *relay, Link *link, const OutboxReply *reply, OutboxTime now)
{
	LinkReplicas *replicas = mine(link);

	if (outbox_reply_is_error(reply))
		outbox_link_fail(replicas->other, outbox_reply_string(reply));
	else if (replicas->round != ROUND_ASKED)
		return;
	else
	{
		replicas->confirmed = (int) outbox_reply_integer(reply);
		if (replicas->confirmed >= link->server->wait_replicas)
		{
			end_round(relay, link, now);
			return;
		}
		ask(replicas->other, ASK_COUNT, 2,
			(const char *const[]) {"INFO", "replication"});
	}
}

static void
take_answer(Relay *relay, Link *link, const Request *request,
			const OutboxReply *reply, OutboxTime now)
{
	LinkReplicas *replicas = mine(link);

	if (request->kind == REQUEST_HANDSHAKE)
	{
		if (outbox_reply_is_error(reply))
			outbox_link_fail(replicas->other, outbox_reply_string(reply));
		return;
	}
	switch (request->number)
	{
		case ASK_MARKER:
			marker_was_read(relay, link, reply);
			break;
		case ASK_WAIT:
			take_count(relay, link, reply, now);
			break;
		case ASK_COUNT:
			replicas->existing = count_replicas(reply);
			outbox_show_replicas_behind(relay, link, now);
			/* the same marker again, which is asked for a while later */
			replicas->round = ROUND_WRITTEN;
			break;
		default:
			outbox_link_is_ready(replicas->other);
			break;
	}
}

static void
exchange(Relay *relay, Link *link, OutboxTime now)
{
	LinkReplicas *replicas = mine(link);
	Link	   *other = replicas->other;
	Request    *request;
	OutboxReply *reply;

	if ((other->socket_ready || other->inflight > 0 ||
		 outbox_connection_unsent(other->connection) > 0 ||
		 !outbox_connection_is_open(other->connection)) &&
		!outbox_link_io(other))
		return;
	if (other->state == LINK_CONNECTING &&
		outbox_connection_is_open(other->connection))
		greet(other);
	while (other->state != LINK_DOWN &&
		   outbox_next_answer(other, &request, &reply))
	{
		take_answer(relay, link, request, reply, now);
		if (other->state == LINK_DOWN)
			outbox_reply_free(reply);
		else
			outbox_answer_done(other, request, reply);
	}
	if ((other->inflight > 0 || other->state == LINK_CONNECTING) &&
		now >= replicas->give_up_at)
		outbox_link_cut(other, "no answer to WAIT");
}

static bool
is_wanted(const LinkReplicas *replicas)
{
	return replicas->round != ROUND_NONE ||
		replicas->moves != outbox_cursor_moves();
}

/*
 * The link that delivers is down, or there is nothing to ask for.
 */
static void
rest(Relay *relay, Link *link)
{
	LinkReplicas *replicas = mine(link);

	drop_round(relay, link);
	close_other(replicas);
	replicas->other->trouble[0] = '\0';
	replicas->backoff_ms = 0;
	replicas->retry_at = replicas->next_at = 0;
	if (!outbox_waits_for_replicas(link->server))
		outbox_replicas_are_well(relay, link);
}

/*
 * Connect it if it is needed, and take answers.
 */
static void
run_other(Relay *relay, Link *link, OutboxTime now)
{
	LinkReplicas *replicas = mine(link);
	Link	   *other = replicas->other;

	/* the link that delivers may have been told something that is no use */
	if (other->trouble[0] == '\0' && other->state == LINK_DOWN &&
		is_wanted(replicas) && now >= replicas->retry_at)
		connect_other(link, now);
	if (other->trouble[0] == '\0' && other->state != LINK_DOWN)
		exchange(relay, link, now);
	if (other->trouble[0] != '\0')
		other_failed(relay, link, now);
}

void
outbox_run_replicas(Relay *relay, Link *link, OutboxTime now)
{
	LinkReplicas *replicas = mine(link);

	if (replicas == NULL)
		return;
	if (link->state < LINK_READY || link->is_seed || outbox_is_held() ||
		!outbox_waits_for_replicas(link->server))
	{
		rest(relay, link);
		return;
	}
	if (replicas->connection != outbox_connection_number(link->connection))
	{
		drop_round(relay, link);
		replicas->connection = outbox_connection_number(link->connection);
		replicas->late_at = now;
	}
	if (!is_wanted(replicas))
		replicas->until = now;
	run_other(relay, link, now);
	if (replicas->other->state < LINK_READY || now < replicas->next_at)
		return;
	if (replicas->round == ROUND_WRITTEN)
		send_wait(link, now);
	else if (replicas->round == ROUND_NONE && is_wanted(replicas) &&
			 outbox_link_may_send(link))
		begin_round(relay, link, now);
}

long
outbox_ms_until_replicas(const Link *link, OutboxTime now)
{
	const LinkReplicas *replicas = link->replicas;

	if (replicas == NULL || link->state < LINK_READY || link->is_seed ||
		outbox_is_held() || !outbox_waits_for_replicas(link->server) || !is_wanted(replicas))
		return LONG_MAX;
	if (replicas->other->state == LINK_DOWN)
		return outbox_ms_until(now, replicas->retry_at);
	if (replicas->other->inflight > 0 ||
		replicas->other->state < LINK_READY)
		return outbox_ms_until(now, replicas->give_up_at);
	/* the answers that the link awaits come first */
	return replicas->round == ROUND_MARKED || !outbox_link_may_send(link) ?
		LONG_MAX : outbox_ms_until(now, replicas->next_at);
}

bool
outbox_replicas_kept_up(const RelayQueue *queue, OutboxTime since, int64 ms,
						OutboxTime now)
{
	const LinkReplicas *replicas = queue->link->replicas;

	return !outbox_waits_for_replicas(queue->link->server) ||
		(replicas != NULL && replicas->late_at <= since &&
		 now <= outbox_in_ms(replicas->until, ms));
}
