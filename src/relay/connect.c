/*-------------------------------------------------------------------------
 *
 * connect.c
 *	  The connection as a whole: up, down, held.
 *
 * Design notes
 *
 *		down ──► connecting ──► ready ──► well
 *		 ▲          │             │         │
 *		 └──────────┴── trouble ──┴─────────┘	then wait, longer each time
 *
 * Ready means that the handshake is done, well that Redis has applied
 * something or that there is nothing to apply.  The difference matters where
 * Redis accepts connections and refuses writes: until it is well, the state
 * shown stays "waiting for redis" and the waits grow.
 *
 * Whatever the trouble is, it is met in one way: drop the connection and what
 * is in flight, and begin again with the cursors.  Messages stay where they
 * are, in staging.
 *
 * The first of a kind is logged, its repetition at DEBUG1.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/relay.h"

#include "common/pg_prng.h"
#include "guc.h"
#include "pgstat.h"
#include "utils/timestamp.h"

#define CONNECT_TIMEOUT_MS	5000
#define ANSWER_TIMEOUT_MS	10000
#define BACKOFF_MIN_MS		50
#define BACKOFF_MAX_MS		2000

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
close_link(Relay *relay)
{
	ListCell   *lc;

	outbox_redis_disconnect();
	outbox_drop_requests(relay);
	relay->linked = relay->greeted = false;
	relay->ready = relay->well = false;
	relay->trouble[0] = '\0';
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		outbox_discard_plan(queue);
		outbox_forget_streams(queue);
		queue->state = QUEUE_UNKNOWN;
	}
	/* commits needn't wake us for nothing */
	pg_atomic_write_u32(&relay->slot->deaf, 1);
}

static void
log_trouble(Relay *relay, const char *error)
{
	bool		repeated = strcmp(error, relay->last_trouble) == 0;
	OutboxErrorClass class = outbox_classify_error(error);

	ereport(repeated ? DEBUG1 :
			class == OUTBOX_ERROR_OPERATOR || class == OUTBOX_ERROR_REDIRECT ?
			WARNING : LOG,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("outbox is waiting for Redis: %s", error),
			 errdetail("Messages stay staged until it is back."),
			 class == OUTBOX_ERROR_OPERATOR ?
			 errhint("Check \"outbox.redis_url\".") :
			 class == OUTBOX_ERROR_REDIRECT ?
			 errhint("Redis Cluster is not supported yet.") : 0));
	strlcpy(relay->last_trouble, error, sizeof(relay->last_trouble));
}

/*
 * The link has failed, for the reason in relay->trouble or of the
 * connection's.  Try again after a while.
 */
void
outbox_link_down(Relay *relay, TimestampTz now)
{
	const char *error = pstrdup(relay->trouble[0] != '\0' ? relay->trouble :
								outbox_redis_error());
	int			wait;

	close_link(relay);
	log_trouble(relay, error);
	outbox_set_error(relay->slot, error);
	set_state(relay, OUTBOX_WAITING_FOR_REDIS, error);

	relay->backoff_ms = Min(Max(relay->backoff_ms * 2, BACKOFF_MIN_MS),
							BACKOFF_MAX_MS);
	wait = relay->backoff_ms * (0.75 + 0.5 * pg_prng_double(&pg_global_prng_state));
	relay->link_at = TimestampTzPlusMilliseconds(now, wait);
}

/*
 * Redis is somewhere else now: go there at once.
 */
void
outbox_link_changed(Relay *relay)
{
	relay->backoff_ms = 0;
	relay->link_at = 0;
	relay->last_trouble[0] = '\0';
	if (relay->linked)
		close_link(relay);
}

/*
 * Redis does what it is asked.
 */
void
outbox_link_well(Relay *relay)
{
	if (relay->last_trouble[0] != '\0')
		ereport(LOG, (errmsg("outbox is delivering to Redis again")));
	relay->last_trouble[0] = '\0';
	relay->well = true;
	relay->recount = true;
	relay->backoff_ms = 0;
	set_state(relay, OUTBOX_RUNNING, "");
}

/*
 * Nothing may be delivered until somebody says so.
 */
void
outbox_hold(Relay *relay, OutboxRelayState state, const char *why)
{
	if (relay->hold != state)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("outbox holds all messages: %s", why),
				 errhint("If they shall be delivered from here, call outbox_resume().")));
	relay->hold = state;
	snprintf(relay->hold_why, sizeof(relay->hold_why),
			 "%s; outbox_resume() delivers from here", why);
}

static void
connect_now(Relay *relay, TimestampTz now)
{
	relay->trouble[0] = '\0';
	relay->linked = true;
	if (outbox_redis_connect(outbox_redis_server))
		relay->link_at = TimestampTzPlusMilliseconds(now, CONNECT_TIMEOUT_MS);
	else
		outbox_link_down(relay, now);
}

/*
 * Ask for the cursors of queues that need it.
 */
static void
ask_for_cursors(Relay *relay, TimestampTz now)
{
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->inflight > 0 || queue->dropped)
			continue;
		if (queue->state == QUEUE_UNKNOWN ||
			(queue->state == QUEUE_BLOCKED && queue->retry_at <= now))
			outbox_send_cursor_request(relay, queue);
	}
}

/*
 * One turn of the link: connect, move bytes, take answers, ask for cursors.
 */
void
outbox_run_link(Relay *relay, TimestampTz now)
{
	size_t		unsent;

	if (relay->hold)
	{
		if (relay->linked)
			close_link(relay);
		set_state(relay, relay->hold, relay->hold_why);
		return;
	}
	if (!relay->linked && now >= relay->link_at)
		connect_now(relay, now);
	if (!relay->linked)
		return;

	unsent = outbox_redis_unsent();
	if (relay->heard || relay->inflight > 0 || outbox_redis_unsent() > 0 ||
		!outbox_redis_connected())
	{
		relay->heard = false;
		if (!outbox_redis_io())
		{
			outbox_link_down(relay, now);
			return;
		}
		/* a large message takes its time, as long as bytes go out */
		if (outbox_redis_unsent() < unsent)
			relay->progress_at = now;
	}
	if (!outbox_redis_connected())
	{
		if (now >= relay->link_at)
		{
			outbox_redis_set_error("no connection within 5 s");
			outbox_link_down(relay, now);
		}
		return;
	}
	if (!relay->greeted)
	{
		outbox_send_handshake(relay, outbox_redis_server);
		relay->greeted = true;
	}

	outbox_read_answers(relay);
	if (relay->inflight > 0 && relay->trouble[0] == '\0' &&
		TimestampDifferenceExceeds(relay->progress_at, now, ANSWER_TIMEOUT_MS))
		strlcpy(relay->trouble, "no answer within 10 s",
				sizeof(relay->trouble));
	if (relay->trouble[0] != '\0' || !outbox_redis_connected())
		outbox_link_down(relay, now);
	else if (relay->ready && !relay->hold)
	{
		pg_atomic_write_u32(&relay->slot->deaf, 0);
		/* a commit that still found us deaf is visible to the next snapshot */
		pg_memory_barrier();
		ask_for_cursors(relay, now);
	}
}
