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
 * One link serves all queues.  A queue at which that is cut again and again, or
 * whose cursor takes long to read, is served by one of a few others for a while,
 * alone (deliver/suspect.c).  Such a link is connected when the shared one
 * answers.  Its trouble is the queue's: that stands still, and the link is free
 * for another one.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/link_life.h"

#include <limits.h>

#include "common/pg_prng.h"
#include "pgstat.h"
#include "redis/errors.h"
#include "redis_server.h"
#include "relay/answers.h"
#include "relay/base/hold.h"
#include "relay/base/queues.h"
#include "relay/base/standby.h"
#include "relay/consumers/streams.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/read_cursor.h"
#include "relay/deliver/plan.h"
#include "relay/deliver/script.h"
#include "relay/deliver/suspect.h"

#define CONNECT_TIMEOUT_S	5
#define ANSWER_TIMEOUT_S	10
#define BACKOFF_MIN_MS		50
#define BACKOFF_MAX_MS		2000

/* an answer that takes longer than this to come is slow */
#define SLOW_ANSWER_MS		1000

/* how soon to look again whether a queue can have a link of its own */
#define OWN_LINK_AGAIN_MS	50

/* how often it is shown how far the synchronous standby has got */
#define SHOW_AGAIN_MS		1000

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
}

static void
set_state(Relay *relay, OutboxRelayState state, const char *why)
{
	outbox_set_state(relay->slot, state, why);
	pgstat_report_activity(STATE_IDLE,
						   state == OUTBOX_WAITING_FOR_REDIS ?
						   psprintf("waiting for redis: %s", why) :
						   state == OUTBOX_WAITING_FOR_STANDBY ?
						   psprintf("waiting for standby: %s", why) :
						   state == OUTBOX_RUNNING ? "running" : why);
}

static void
end_link(Relay *relay, Link *link)
{
	ListCell   *lc;

	outbox_link_end(link);
	mine(link)->up_is_shown = false;
	mine(link)->standby_shown_at = 0;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->link != link)
			continue;
		outbox_queue_is_unknown(queue);
		outbox_consumer_is_cut_off(queue);
	}
	/* without a link a commit would wake the relay for nothing */
	if (!link->is_own)
		pg_atomic_write_u32(&relay->slot->deaf, 1);
}

static void
log_trouble(Link *link, const char *error, OutboxTime now)
{
	LinkLife   *life = mine(link);
	const char *server = link->server->name;
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
			 server != NULL ?
			 errhint("Check server \"%s\" and its user mapping.", server) :
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
	if (outbox_classify_error(error) == OUTBOX_ERROR_OPERATOR)
		life->refusals++;
	log_trouble(link, error, now);
	outbox_set_error(relay->slot, error);
	set_state(relay, OUTBOX_WAITING_FOR_REDIS, error);

	life->backoff_ms = Min(Max(life->backoff_ms * 2, BACKOFF_MIN_MS),
						   BACKOFF_MAX_MS);
	wait = life->backoff_ms *
		(0.75 + 0.5 * pg_prng_double(&pg_global_prng_state));
	life->retry_at = outbox_in_ms(now, wait);
}

static void
send_guest_back(Relay *relay, Link *link)
{
	if (link->guest == NULL)
		return;
	link->guest->link = outbox_shared_link(relay);
	link->guest = NULL;
}

void
outbox_link_has_moved(Relay *relay, Link *link)
{
	LinkLife   *life = mine(link);

	life->backoff_ms = 0;
	life->retry_at = 0;
	life->ping_ms = 0;
	life->ask_commands_at = 0;
	life->last_trouble[0] = '\0';
	if (link->state != LINK_DOWN)
		end_link(relay, link);
	send_guest_back(relay, link);
}

/*
 * Show and log, once for each connection, that the link is up.
 */
static void
show_that_link_is_up(Relay *relay, Link *link)
{
	LinkLife   *life = mine(link);

	if (life->up_is_shown || life->standby_shown_at != 0)
		return;
	if (life->last_trouble[0] != '\0')
		ereport(LOG, (errmsg("outbox is delivering to Redis again")));
	life->last_trouble[0] = '\0';
	life->backoff_ms = 0;
	life->up_is_shown = true;
	set_state(relay, OUTBOX_RUNNING, "");
}

/*
 * Show that messages wait for the synchronous standby, about once a second with
 * how far it has got, and log it once.
 */
static void
show_standby(Relay *relay, Link *link, OutboxTime now)
{
	LinkLife   *life = mine(link);
	const char *why = outbox_standby_trouble(now);

	if (why == NULL)
	{
		if (life->standby_shown_at == 0)
			return;
		ereport(LOG, (errmsg("outbox does not wait for the synchronous standby any more")));
		life->standby_shown_at = 0;
		set_state(relay, OUTBOX_RUNNING, "");
		return;
	}
	if (life->standby_shown_at == 0)
		ereport(outbox_may_log(&life->allowance, now) ? LOG : DEBUG1,
				(errmsg("outbox is waiting for the synchronous standby: %s", why),
				 errhint("Messages stay staged until a standby of \"synchronous_standby_names\" has them.")));
	else if (now < outbox_in_ms(life->standby_shown_at, SHOW_AGAIN_MS))
		return;
	life->standby_shown_at = now;
	set_state(relay, OUTBOX_WAITING_FOR_STANDBY, why);
}

void
outbox_link_is_idle(Relay *relay, Link *link)
{
	outbox_link_is_up(link);
	if (link->state == LINK_UP && !link->is_own)
		show_that_link_is_up(relay, link);
}

static void
begin_link(Link *link, OutboxTime now)
{
	if (outbox_link_begin(link))
		mine(link)->give_up_at = outbox_in_ms(now, CONNECT_TIMEOUT_S * 1000);
}

/*
 * Log in, select the database, load the scripts, ask what the server has.
 */
static void
send_handshake(Link *link, OutboxTime now)
{
	const OutboxRedisUrl *url = link->server->url;

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
	if (now >= mine(link)->ask_commands_at)
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
 * The link of a queue has failed.  The queue stands still for a while.
 */
static void
own_link_failed(Relay *relay, Link *link)
{
	RelayQueue *queue = link->guest;
	Link	   *shared = outbox_shared_link(relay);
	uint64		seq = link->is_cut ?
	outbox_message_under_way(outbox_oldest_request(link)) : 0;
	const char *why = seq == 0 ? pstrdup(link->trouble) :
	psprintf("the connection ends when it is sent: %s", link->trouble);
	bool		is_named = queue->suspect->is_named &&
	queue->settings->on_failure != OUTBOX_BLOCK;

	outbox_own_link_was_cut(queue, seq, link->trouble, shared);
	outbox_link_end(link);
	outbox_consumer_is_cut_off(queue);
	if (queue->settings->paused_at != 0 || queue->listed->dropped || is_named ||
		shared->state < LINK_READY)
		outbox_queue_is_unknown(queue);
	else
		outbox_block_queue(relay, queue, seq, why);
	send_guest_back(relay, link);
}

/*
 * Is this queue waiting for a link of its own, and can it have one?
 */
static bool
waits_for_own_link(const RelayQueue *queue, OutboxTime now)
{
	const QueueState *state = queue->state;

	return outbox_wants_own_link(queue) && !queue->listed->dropped &&
		queue->link->guest != queue && queue->requests->inflight == 0 &&
		queue->requests->consumer_reads == 0 &&
		(state->state == QUEUE_UNKNOWN ||
		 (state->state == QUEUE_BLOCKED && state->retry_at <= now));
}

static bool
take_guest(Relay *relay, Link *link, OutboxTime now)
{
	Link	   *shared = outbox_shared_link(relay);
	ListCell   *lc;

	if (shared->state < LINK_READY)
		return false;
	foreach(lc, outbox_suspects())
	{
		RelayQueue *queue = lfirst(lc);

		if (!waits_for_own_link(queue, now) ||
			!outbox_judge_suspect(queue, shared))
			continue;
		link->guest = queue;
		queue->link = link;
		return true;
	}
	return false;
}

/*
 * A queue that stands still leaves its link to others.  One that has done well
 * goes back to the shared one.
 */
static void
let_guest_go(Relay *relay, Link *link)
{
	RelayQueue *queue = link->guest;
	RelayQueueState state = queue->state->state;

	if (link->inflight > 0)
		return;
	if (state == QUEUE_FLOWING && !queue->listed->dropped)
	{
		if (!outbox_is_cleared(queue))
			return;
		outbox_suspect_goes_back(queue);
	}
	else if (state != QUEUE_BLOCKED && state != QUEUE_PAUSED &&
			 !queue->listed->dropped)
		return;
	send_guest_back(relay, link);
	outbox_link_end(link);
	outbox_consumer_is_cut_off(queue);
}

static void
run_own_link(Relay *relay, Link *link, OutboxTime now)
{
	if (link->guest == NULL && !take_guest(relay, link, now))
		return;
	if (link->state == LINK_DOWN)
		begin_link(link, now);
	if (link->trouble[0] == '\0')
		exchange(relay, link, now);
	if (link->trouble[0] != '\0')
	{
		own_link_failed(relay, link);
		return;
	}
	if (link->state < LINK_READY || outbox_is_held())
		return;
	outbox_ask_for_cursors(relay, link, now);
	let_guest_go(relay, link);
}

void
outbox_run_link(Relay *relay, Link *link, OutboxTime now)
{
	if (outbox_is_held())
	{
		if (link->state != LINK_DOWN)
			end_link(relay, link);
		send_guest_back(relay, link);
		set_state(relay, outbox_hold_state(), outbox_hold_reason());
		return;
	}
	if (link->is_own)
	{
		run_own_link(relay, link, now);
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
	if (link->state >= LINK_READY)
		show_standby(relay, link, now);
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
		outbox_ask_for_cursors(relay, link, now);
		keep_alive(link, now);
	}
}

long
outbox_ms_until_connect(const Link *link, OutboxTime now)
{
	if (outbox_is_held())
		return LONG_MAX;
	if (link->state == LINK_DOWN)
		return link->is_own ? LONG_MAX :
			outbox_ms_until(now, mine(link)->retry_at);
	if (link->state == LINK_CONNECTING)
		return outbox_ms_until(now, mine(link)->give_up_at);
	return LONG_MAX;
}

long
outbox_ms_until_own_link(OutboxTime now)
{
	long		ms = LONG_MAX;
	ListCell   *lc;

	if (outbox_is_held())
		return ms;
	foreach(lc, outbox_suspects())
	{
		const RelayQueue *queue = lfirst(lc);

		if (waits_for_own_link(queue, now))
			return OWN_LINK_AGAIN_MS;
		if (outbox_wants_own_link(queue) && queue->state->state == QUEUE_BLOCKED)
			ms = Min(ms, outbox_ms_until(now, queue->state->retry_at));
	}
	return ms;
}
