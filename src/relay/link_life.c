/*-------------------------------------------------------------------------
 *
 * link_life.c
 *	  Connect a link, notice that it has failed, and say so.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * See base/link.c for the states.  An error is logged at LOG when it is another
 * one than before, and at DEBUG1 when it is repeated, or when Redis has come and
 * gone too often.  After a failure the next attempt waits, longer each time, and
 * for a random part of that, so that many servers don't connect at the same
 * moment.
 *
 * Redis, or what stands in between, may close connections that are idle.  A link
 * that is idle sends a PING from time to time.  If it is closed all the same,
 * that is no trouble: it connects again at once, in silence, and from then on
 * sends a PING in half the time.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/link_life.h"

#include <limits.h>

#include "common/pg_prng.h"
#include "guc.h"
#include "pgstat.h"
#include "redis/errors.h"
#include "relay/answers.h"
#include "relay/base/hold.h"
#include "relay/consumers/streams.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/read_cursor.h"
#include "relay/deliver/script.h"

#define CONNECT_TIMEOUT_S	5
#define ANSWER_TIMEOUT_S	10
#define BACKOFF_MIN_MS		50
#define BACKOFF_MAX_MS		2000

/* an idle link sends a PING after this time, or less if that was too long */
#define PING_MAX_MS			10000
#define PING_MIN_MS			500

static LinkLife *
mine(const Link *link)
{
	return link->life;
}

void
outbox_link_life_init(Link *link)
{
	link->life = MemoryContextAllocZero(link->context, sizeof(LinkLife));
}

static void
set_state(Relay *relay, OutboxRelayState state, const char *why)
{
	outbox_set_state(relay->slot, state, why);
	pgstat_report_activity(STATE_IDLE,
						   state == OUTBOX_WAITING_FOR_REDIS ?
						   psprintf("waiting for redis: %s", why) :
						   state == OUTBOX_RUNNING ? "running" : why);
}

static void
end_link(Relay *relay, Link *link)
{
	ListCell   *lc;

	outbox_link_end(link);
	mine(link)->up_is_shown = false;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->link != link)
			continue;
		outbox_queue_is_unknown(queue);
		outbox_consumer_is_cut_off(queue);
	}
	/* without a link a commit would wake the relay for nothing */
	pg_atomic_write_u32(&relay->slot->deaf, 1);
}

static void
log_trouble(LinkLife *life, const char *error, OutboxTime now)
{
	bool		is_news = strcmp(error, life->last_trouble) != 0 &&
	outbox_may_log(&life->allowance, now);
	OutboxErrorClass class = outbox_classify_error(error);

	ereport(!is_news ? DEBUG1 :
			class == OUTBOX_ERROR_OPERATOR || class == OUTBOX_ERROR_REDIRECT ?
			WARNING : LOG,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("outbox is waiting for Redis: %s", error),
			 errdetail("Messages stay staged until it is back."),
			 class == OUTBOX_ERROR_OPERATOR ?
			 errhint("Check \"outbox.redis_url\".") :
			 class == OUTBOX_ERROR_REDIRECT ?
			 errhint("Redis Cluster is not supported yet.") : 0));
	if (is_news)
		strlcpy(life->last_trouble, error, sizeof(life->last_trouble));
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
		!life->up_is_shown || idle < PING_MIN_MS)
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
	end_link(relay, link);
	log_trouble(life, error, now);
	outbox_set_error(relay->slot, error);
	set_state(relay, OUTBOX_WAITING_FOR_REDIS, error);

	life->backoff_ms = Min(Max(life->backoff_ms * 2, BACKOFF_MIN_MS),
						   BACKOFF_MAX_MS);
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
	life->last_trouble[0] = '\0';
	if (link->state != LINK_DOWN)
		end_link(relay, link);
}

/*
 * Show and log, once for each connection, that the link is up.
 */
static void
show_that_link_is_up(Relay *relay, Link *link)
{
	LinkLife   *life = mine(link);

	if (life->up_is_shown)
		return;
	if (life->last_trouble[0] != '\0')
		ereport(LOG, (errmsg("outbox is delivering to Redis again")));
	life->last_trouble[0] = '\0';
	life->backoff_ms = 0;
	life->up_is_shown = true;
	set_state(relay, OUTBOX_RUNNING, "");
}

void
outbox_link_is_idle(Relay *relay, Link *link)
{
	outbox_link_is_up(link);
	if (link->state == LINK_UP)
		show_that_link_is_up(relay, link);
}

static void
begin_link(Link *link, OutboxTime now)
{
	if (outbox_redis_server->complaint != NULL)
		outbox_link_fail(link, psprintf("outbox.redis_url cannot be used: %s",
										outbox_redis_server->complaint));
	else if (outbox_link_begin(link, outbox_redis_server))
		mine(link)->give_up_at = outbox_in_ms(now, CONNECT_TIMEOUT_S * 1000);
}

/*
 * Log in, select the database, load the scripts.
 */
static void
send_handshake(Link *link, const OutboxRedisUrl *url)
{
	outbox_link_greet(link);
	if (url->password != NULL && url->user != NULL)
		outbox_send_command(link, REQUEST_HANDSHAKE, NULL, 3,
							(const char *const[]) {"AUTH", url->user,
								url->password});
	else if (url->password != NULL)
		outbox_send_command(link, REQUEST_HANDSHAKE, NULL, 2,
							(const char *const[]) {"AUTH", url->password});
	if (url->db != 0)
		outbox_send_command(link, REQUEST_HANDSHAKE, NULL, 2,
							(const char *const[]) {"SELECT",
								psprintf("%d", url->db)});

	/* for CLIENT LIST; the answer is ignored, as an ACL may forbid it */
	outbox_send_command(link, REQUEST_IGNORED, NULL, 3,
						(const char *const[]) {"CLIENT", "SETNAME", "outbox"});
	outbox_send_scripts(link, NULL);
}

/*
 * Move bytes and take answers.  Trouble is in link->trouble.
 */
static void
exchange(Relay *relay, Link *link, OutboxTime now)
{
	const RedisConnection *conn = link->connection;

	if ((link->socket_ready || link->inflight > 0 ||
		 outbox_connection_unsent(conn) > 0 ||
		 !outbox_connection_is_open(conn)) && !outbox_link_io(link))
		return;
	if (!outbox_connection_is_open(conn))
	{
		if (now >= mine(link)->give_up_at)
			outbox_link_cut(link, "no connection within " CppAsString2(CONNECT_TIMEOUT_S) " s");
		return;
	}
	if (link->state == LINK_CONNECTING)
		send_handshake(link, outbox_redis_server);

	outbox_take_answers(relay, link);

	/*
	 * By the time at which the turn began, when nothing had been read yet:
	 * dealing with an answer may itself have taken long.
	 */
	if (link->inflight > 0 &&
		now >= outbox_in_ms(link->progress_at, ANSWER_TIMEOUT_S * 1000))
		outbox_link_cut(link, "no answer within " CppAsString2(ANSWER_TIMEOUT_S) " s");
}

void
outbox_run_link(Relay *relay, Link *link, OutboxTime now)
{
	if (outbox_is_held())
	{
		if (link->state != LINK_DOWN)
			end_link(relay, link);
		set_state(relay, outbox_hold_state(), outbox_hold_reason());
		return;
	}
	if (link->state == LINK_DOWN)
	{
		if (now < mine(link)->retry_at)
			return;
		begin_link(link, now);
	}
	if (link->trouble[0] == '\0')
		exchange(relay, link, now);
	if (link->trouble[0] != '\0')
	{
		take_down(relay, link, now);
		return;
	}
	/* an answer may have been a reason to hold everything */
	if (outbox_is_held())
		return;
	if (link->state == LINK_UP)
		show_that_link_is_up(relay, link);
	if (link->state >= LINK_READY)
	{
		pg_atomic_write_u32(&relay->slot->deaf, 0);

		/*
		 * A commit that still saw the flag set did not wake us, but is
		 * visible to the next snapshot.
		 */
		pg_memory_barrier();
		outbox_ask_for_cursors(relay, now);
		keep_alive(link, now);
	}
}

long
outbox_ms_until_connect(const Link *link, OutboxTime now)
{
	if (outbox_is_held())
		return LONG_MAX;
	if (link->state == LINK_DOWN)
		return outbox_ms_until(now, mine(link)->retry_at);
	if (link->state == LINK_CONNECTING)
		return outbox_ms_until(now, mine(link)->give_up_at);
	return LONG_MAX;
}
