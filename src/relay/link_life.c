/*-------------------------------------------------------------------------
 *
 * link_life.c
 *	  Connect a link, notice that it has failed, and say so.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * See base/link.c for the states, and base/link_shown.c for what is said of them.
 * After a failure the next attempt waits, longer each time, and for a random part
 * of that, so that many servers don't connect at the same moment.
 *
 * Redis, or what stands in between, may close connections that are idle.  A link
 * that is idle sends a PING from time to time.  If it is closed all the same,
 * that is no trouble: it connects again at once, in silence, and from then on
 * sends a PING in half the time.
 *
 * One link serves all queues of a server.  Its trouble is theirs and nobody
 * else's: each link has its own attempts.  A link that no queue needs is closed.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/link_life.h"

#include <limits.h>

#include "common/pg_prng.h"
#include "redis/errors.h"
#include "redis_server.h"
#include "relay/answers.h"
#include "relay/base/hold.h"
#include "relay/base/link_shown.h"
#include "relay/base/queues.h"
#include "relay/cluster.h"
#include "relay/consumers/streams.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/read_cursor.h"
#include "relay/deliver/plan.h"
#include "relay/deliver/script.h"
#include "relay/deliver/suspect.h"
#include "relay/sentinel.h"

#define CONNECT_TIMEOUT_S	5
#define ANSWER_TIMEOUT_S	10
#define BACKOFF_MIN_MS		50
#define BACKOFF_MAX_MS		2000

/* where a failover ends the trouble */
#define BACKOFF_FAILOVER_MS	400

/* an answer that takes longer than this to come is slow */
#define SLOW_ANSWER_MS		1000

/* an idle link sends a PING after this time, or less if that was too long */
#define PING_MAX_MS			10000
#define PING_MIN_MS			500

/* not at each connect, as that takes Redis some milliseconds */
#define COMMANDS_INTERVAL_MS 60000

static LinkLife *
mine(const Link *link)
{
	return link->life;
}

void
outbox_link_life_init(Link *link)
{
	link->life = MemoryContextAllocZero(link->context, sizeof(LinkLife));
	outbox_link_sentinel_init(link);
	outbox_link_cluster_init(link);
}

static void
end_link(Relay *relay, Link *link)
{
	ListCell   *lc;

	outbox_leave_master(link);
	outbox_leave_node(link);
	outbox_link_end(link);
	outbox_show_address(relay, link);
	outbox_show_link_ends(link);
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->link != link)
			continue;
		outbox_queue_is_unknown(queue);
		outbox_consumer_is_cut_off(queue);
	}
	/* without a link a commit would wake the relay for nothing */
	if (outbox_best_link_state(relay) < LINK_READY)
		pg_atomic_write_u32(&relay->slot->deaf, 1);
}

static int
ping_ms(const LinkLife *life)
{
	return life->ping_ms > 0 ? life->ping_ms : PING_MAX_MS;
}

/*
 * If the link was closed because it was idle, connect again at once and send a
 * PING earlier from now on.
 */
static bool
was_idle(Relay *relay, Link *link, OutboxTime now)
{
	LinkLife   *life = mine(link);
	long		idle = outbox_ms_until(link->progress_at, now);

	if (!link->is_cut || link->state != LINK_UP || link->inflight > 0 ||
		!link->shown->is_up || idle < PING_MIN_MS)
		return false;
	ereport(DEBUG1,
			(errmsg_internal("outbox connects to Redis again, after %ld ms without a request: %s",
							 idle, link->trouble)));
	life->ping_ms = Max(Min(ping_ms(life), idle / 2), PING_MIN_MS);
	end_link(relay, link);
	life->retry_at = now;
	return true;
}

static void
keep_alive(Link *link, OutboxTime now)
{
	if (link->state == LINK_UP && link->inflight == 0 &&
		now >= outbox_in_ms(link->progress_at, ping_ms(mine(link))))
		outbox_send_command(link, REQUEST_IGNORED, NULL, 1,
							(const char *const[]) {"PING"});
}

/*
 * The shared link was cut: at whose request?
 */
static void
blame_queue(const Link *link)
{
	const Request *request = outbox_oldest_request(link);

	if (request != NULL && request->queue != NULL &&
		request->kind < REQUEST_CONSUMER_CHECK)
		outbox_shared_link_was_cut(request->queue);
}

/*
 * The link has failed, see link->trouble.  Plan the next attempt.
 */
static void
take_down(Relay *relay, Link *link, OutboxTime now)
{
	LinkLife   *life = mine(link);
	const char *error = pstrdup(link->trouble);
	int			wait;

	if (was_idle(relay, link, now))
		return;
	if (link->is_cut)
		blame_queue(link);
	end_link(relay, link);
	/* then what the server stands for is read again, with its files */
	if (outbox_classify_error(error) == OUTBOX_ERROR_OPERATOR ||
		link->server->fault != NULL)
		life->refusals++;
	outbox_show_trouble(relay, link, error, now);

	life->backoff_ms = Min(Max(life->backoff_ms * 2, BACKOFF_MIN_MS),
						   outbox_has_sentinels(link) || outbox_is_in_cluster(link) ?
						   BACKOFF_FAILOVER_MS : BACKOFF_MAX_MS);
	wait = life->backoff_ms *
		(0.75 + 0.5 * pg_prng_double(&pg_global_prng_state));
	life->retry_at = outbox_in_ms(now, wait);
}

void
outbox_link_has_moved(Relay *relay, Link *link)
{
	LinkLife   *life = mine(link);

	life->backoff_ms = 0;
	life->retry_at = 0;
	life->ping_ms = 0;
	life->ask_commands_at = 0;
	outbox_show_link_anew(link);
	if (link->state != LINK_DOWN)
		end_link(relay, link);
	outbox_forget_master(link);
}

/*
 * A connection that has delivered ends the waits between attempts.
 */
static void
is_up(Relay *relay, Link *link)
{
	if (!link->shown->is_up && link->shown->standby_at == 0)
	{
		mine(link)->backoff_ms = 0;
		outbox_show_address(relay, link);
	}
	outbox_show_up(relay, link);
}


void
outbox_link_is_idle(Relay *relay, Link *link)
{
	outbox_link_is_up(link);
	if (link->state == LINK_UP && !link->is_own)
		is_up(relay, link);
}

void
outbox_link_connect(Link *link, const OutboxRedisHost *host, OutboxTime now)
{
	if (host != NULL && outbox_link_begin(link, host))
		mine(link)->give_up_at = outbox_in_ms(now, CONNECT_TIMEOUT_S * 1000);
}

/*
 * Log in, select the database, load the scripts, ask what the server has.
 */
static void
send_handshake(Link *link, OutboxTime now)
{
	outbox_link_greet(link);
	outbox_link_log_in(link);

	outbox_send_role(link);

	/* for CLIENT LIST; the answer is ignored, as an ACL may forbid it */
	outbox_send_command(link, REQUEST_IGNORED, NULL, 3,
						(const char *const[]) {"CLIENT", "SETNAME", "outbox"});
	if (link->is_seed)
		outbox_ask_for_map(link, now);
	else
		outbox_send_scripts(link, NULL);
	if (link->name == NULL && now >= mine(link)->ask_commands_at)
	{
		outbox_ask_for_commands(link);
		mine(link)->ask_commands_at = outbox_in_ms(now, COMMANDS_INTERVAL_MS);
	}
}

/*
 * If a cursor takes long to read, the answers to all others wait behind it.  Then
 * connect again, and read it apart.
 */
static void
check_slow_answer(Relay *relay, Link *link, OutboxTime now)
{
	const Request *request = outbox_oldest_request(link);

	if (link->is_own || link->partial_since == 0 || request == NULL ||
		request->kind != REQUEST_CURSOR || list_length(relay->queues) == 1 ||
		now < outbox_in_ms(link->partial_since, SLOW_ANSWER_MS))
		return;
	ereport(LOG,
			(errmsg("the cursor of queue \"%s\" takes long to read, outbox reads it on a connection of its own",
					request->queue->settings->name)));
	outbox_cursor_is_slow(request->queue);
	end_link(relay, link);
	mine(link)->retry_at = now;
}

void
outbox_link_exchange(Relay *relay, Link *link, OutboxTime now)
{
	const RedisConnection *conn = link->connection;

	if ((link->socket_ready || link->inflight > 0 ||
		 outbox_connection_unsent(conn) > 0 ||
		 !outbox_connection_is_open(conn)) && !outbox_link_io(link))
		return;
	if (!outbox_connection_is_open(conn))
	{
		if (now >= mine(link)->give_up_at)
			outbox_link_gives_up(link, CONNECT_TIMEOUT_S);
		return;
	}
	if (link->state == LINK_CONNECTING)
		send_handshake(link, now);

	outbox_take_answers(relay, link);
	check_slow_answer(relay, link, now);

	/*
	 * By the time at which the turn began, when nothing had been read yet:
	 * dealing with an answer may itself have taken long.
	 */
	if (link->state != LINK_DOWN && link->inflight > 0 &&
		now >= outbox_in_ms(link->progress_at, ANSWER_TIMEOUT_S * 1000))
		outbox_link_cut(link, "no answer within " CppAsString2(ANSWER_TIMEOUT_S) " s");
}

/*
 * Where a link that is down is to connect to; NULL if that is not known yet.
 */
static const OutboxRedisHost *
find_host(Link *link, OutboxTime now)
{
	return outbox_is_in_cluster(link) ? outbox_cluster_host(link) :
		outbox_find_master(link, now);
}

void
outbox_run_link(Relay *relay, Link *link, OutboxTime now)
{
	if (outbox_is_held())
	{
		if (link->state != LINK_DOWN)
			end_link(relay, link);
		outbox_show_hold(relay);
		return;
	}
	if (!link->in_use || link->server == NULL)
	{
		if (link->state != LINK_DOWN)
			end_link(relay, link);
		return;
	}
	if (link->state == LINK_DOWN && now < mine(link)->retry_at)
		return;
	if (link->state <= LINK_ASKING)
		outbox_link_connect(link, find_host(link, now), now);
	if (link->state == LINK_ASKING && link->trouble[0] == '\0')
		return;
	if (link->trouble[0] == '\0')
		outbox_link_exchange(relay, link, now);
	if (link->trouble[0] == '\0')
	{
		outbox_watch_master(link, now);
		if (!outbox_watch_cluster(relay, link, now))
		{
			end_link(relay, link);
			mine(link)->retry_at = now;
			return;
		}
	}
	if (link->trouble[0] != '\0')
	{
		take_down(relay, link, now);
		return;
	}
	/* an answer may have been a reason to hold everything */
	if (outbox_is_held())
		return;
	if (link->state >= LINK_READY)
		outbox_show_standby(relay, link, now);
	if (link->state == LINK_UP)
		is_up(relay, link);
	if (link->state >= LINK_READY)
	{
		pg_atomic_write_u32(&relay->slot->deaf, 0);

		/*
		 * A commit that still saw the flag set did not wake us, but is
		 * visible to the next snapshot.
		 */
		pg_memory_barrier();
		outbox_ask_for_cursors(relay, link, now);
		keep_alive(link, now);
	}
}

long
outbox_ms_until_connect(const Link *link, OutboxTime now)
{
	if (outbox_is_held() || (!link->is_own && !link->in_use))
		return LONG_MAX;
	if (link->state == LINK_DOWN)
		return link->is_own || link->server == NULL ? LONG_MAX :
			outbox_ms_until(now, mine(link)->retry_at);
	if (link->state == LINK_CONNECTING)
		return Min(outbox_ms_until(now, mine(link)->give_up_at),
				   outbox_connection_ms(link->connection, now));
	return LONG_MAX;
}
