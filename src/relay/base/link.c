/*-------------------------------------------------------------------------
 *
 * link.c
 *	  The relay's link to one Redis: the connection, and the requests on it.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 *		down ──► asking ──► connecting ──► greeting ──► ready ──► up
 *		 ▲          │            │             │          │        │
 *		 └──────────┴────────────┴──────── trouble ───────┴────────┘
 *
 * It asks only where Sentinels know which server is meant (relay/sentinel.c).
 *
 * A link is ready when the handshake is done, and up when Redis has applied
 * something or there is nothing to apply.  The difference matters where Redis
 * accepts connections and refuses writes: until the link is up, the state
 * shown stays "waiting for redis" and the waits between attempts grow.
 *
 * All trouble is dealt with in one way: the link is taken down, its requests
 * are forgotten, and the next connection begins with the cursors.  Messages
 * stay in staging meanwhile.
 *
 * Redis answers in the order of the requests, so these are a list.  The list
 * need not survive its connection: what became of its requests can be seen
 * from the cursors.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/base/link.h"

#include "redis/cluster_map.h"
#include "redis/errors.h"
#include "redis/master.h"
#include "redis/resp.h"
#include "redis_server.h"
#include "relay/base/queues.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* requests under way, of all queues together */
#define MAX_INFLIGHT	16

/* there is one more for each of these: it takes Redis about as long to apply one */
#define FURTHER_US		500

StaticAssertDecl(OUTBOX_QUEUE_INFLIGHT_FAR <= MAX_INFLIGHT,
				 "a queue may have its requests under way");

/* bytes that Redis hasn't taken yet */
#define MAX_UNSENT		(512 * 1024)

/* fewer bytes than these are no progress: nobody's line is so slow */
#define MIN_PROGRESS	100

/*
 * What answers may be.  A script names at most two things of each message of a
 * batch, and a position, which lists transactions in progress.  A cursor has a
 * field for each skipped message, and the end of two million of those is the end
 * of what Redis hands out in one piece.  Entries of consumers' streams hold
 * whatever consumers have added.  Without a request, Redis says at most why it
 * closes the connection.
 */
static const OutboxReplyLimits no_answer = {0, 0, 64 * 1024};
static const OutboxReplyLimits short_answer = {1, 1024, 1024 * 1024};
static const OutboxReplyLimits cursor = {1, 4 * 1024 * 1024, 256 * 1024 * 1024};
static const OutboxReplyLimits entries = {5, 1024 * 1024, 512 * 1024 * 1024};

/* the kinds that count apart are the last ones */
bool
outbox_is_of_consumer(RequestKind kind)
{
	return kind >= REQUEST_CONSUMER_CHECK;
}

static QueueRequests *
mine(const RelayQueue *queue)
{
	outbox_wake_queue(queue);
	return unconstify(QueueRequests *, queue->requests);
}

Link *
outbox_link_make(MemoryContext context, bool is_own)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	Link	   *link = palloc0(sizeof(Link));

	link->context = context;
	link->is_own = is_own;
	link->connection = outbox_connection_make();
	link->state = LINK_DOWN;
	link->away_since = outbox_now();
	dlist_init(&link->requests);
	MemoryContextSwitchTo(old);
	return link;
}

void
outbox_requests_init(RelayQueue *queue)
{
	queue->requests = outbox_make_part(queue, sizeof(QueueRequests));
	mine(queue)->last = REQUEST_CURSOR;
}

void
outbox_link_use(Link *link, const char *name, const OutboxRedisServer *server)
{
	Assert(link->state == LINK_DOWN);
	link->name = name;
	link->server = server;
}

void
outbox_link_is_in_use(Link *link, bool in_use)
{
	/*
	 * it has been away since it was wanted, not since it was up for somebody
	 * else
	 */
	if (in_use && !link->in_use && link->state == LINK_DOWN)
		link->away_since = outbox_now();
	link->in_use = in_use;
}

static void
connection_failed(Link *link)
{
	if (link->trouble[0] == '\0')
		link->hint = outbox_connection_hint(link->connection);
	outbox_link_cut(link, outbox_connection_error(link->connection));
}

void
outbox_link_gives_up(Link *link, int seconds)
{
	outbox_connection_give_up(link->connection, seconds);
	connection_failed(link);
}

static void
leave_down(Link *link, LinkState state)
{
	Assert(link->state <= LINK_ASKING && link->inflight == 0);
	link->trouble[0] = '\0';
	link->is_cut = false;
	link->hint = NULL;
	link->moved = link->answers_end = 0;
	link->partial_since = 0;
	link->round_trip = PG_INT64_MAX;	/* the first answer says it */
	link->state = state;
}

void
outbox_link_asks(Link *link)
{
	leave_down(link, LINK_ASKING);
}

bool
outbox_link_begin(Link *link, const OutboxRedisHost *host)
{
	leave_down(link, LINK_CONNECTING);
	link->host = host;
	if (link->server->fault != NULL)
	{
		outbox_link_fail(link, link->server->fault);
		return false;
	}
	if (outbox_connection_open(link->connection, link->server->url, host))
		return true;
	connection_failed(link);
	return false;
}

void
outbox_link_greet(Link *link)
{
	Assert(link->state == LINK_CONNECTING);
	link->state = LINK_GREETING;
	outbox_run_token(&outbox_shared->run, link->token);
}

void
outbox_link_log_in(Link *link)
{
	const OutboxRedisUrl *url = link->server->url;

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
}

void
outbox_link_is_ready(Link *link)
{
	if (link->state != LINK_GREETING)
		return;
	link->state = LINK_READY;
	outbox_wake_queues_of(link);
}

void
outbox_link_is_up(Link *link)
{
	if (link->state != LINK_READY)
		return;
	link->state = LINK_UP;
	link->away_since = 0;
}

static void
free_request(Link *link, Request *request)
{
	bool		of_consumer = outbox_is_of_consumer(request->kind);

	dlist_delete(&request->node);
	link->inflight--;
	link->consumer_reads -= of_consumer;
	if (request->queue != NULL)
	{
		QueueRequests *requests = mine(request->queue);

		requests->inflight -= !of_consumer;
		requests->consumer_reads -= of_consumer;
		requests->skip_or_retry -= request->kind == REQUEST_SKIP ||
			request->kind == REQUEST_RETRY;
	}
	outbox_snap_unref(request->to.prev);
	outbox_snap_unref(request->to.cur);
	if (request->entries != NULL)
		pfree(request->entries);
	pfree(request);
}

void
outbox_link_end(Link *link)
{
	dlist_mutable_iter iter;

	outbox_connection_close(link->connection);
	dlist_foreach_modify(iter, &link->requests)
		free_request(link, dlist_container(Request, node, iter.cur));
	Assert(link->inflight == 0 && link->consumer_reads == 0);
	link->more_answers = false;
	link->state = LINK_DOWN;
	if (link->away_since == 0)
		link->away_since = outbox_now();
}

void
outbox_link_fail(Link *link, const char *error)
{
	if (link->trouble[0] == '\0')
		outbox_clean_error(link->trouble, error, sizeof(link->trouble));
}

void
outbox_link_fail_with(Link *link, const char *error, const char *hint)
{
	if (link->trouble[0] == '\0')
		link->hint = hint;
	outbox_link_fail(link, error);
}

void
outbox_link_cut(Link *link, const char *error)
{
	if (link->trouble[0] == '\0')
		link->is_cut = true;
	outbox_link_fail(link, error);
}

const Request *
outbox_oldest_request(const Link *link)
{
	Link	   *l = unconstify(Link *, link);

	return dlist_is_empty(&l->requests) ? NULL :
		dlist_head_element(Request, node, &l->requests);
}

int64
outbox_unacknowledged(const RelayQueue *queue, TimestampTz *oldest)
{
	int64		n = 0;
	dlist_iter	i;

	*oldest = 0;
	if (queue->requests->inflight == 0)
		return 0;
	dlist_foreach(i, &queue->link->requests)
	{
		const Request *request = dlist_container(Request, node, i.cur);

		if (request->queue != queue ||
			(request->kind != REQUEST_BATCH && request->kind != REQUEST_SKIP))
			continue;
		n += request->count + request->skipped;
		if (*oldest == 0)
			*oldest = request->oldest;
	}
	return n;
}

Link *
outbox_default_link(const Relay *relay)
{
	return linitial(relay->links);
}

LinkState
outbox_best_link_state(const Relay *relay)
{
	LinkState	best = LINK_DOWN;
	ListCell   *lc;

	foreach(lc, relay->links)
		best = Max(best, ((Link *) lfirst(lc))->state);
	return best;
}

/*
 * A link whose connection fails meanwhile is found out on its next turn.
 */
void
outbox_flush_links(const Relay *relay)
{
	ListCell   *lc;

	foreach(lc, relay->links)
		(void) outbox_connection_flush(((Link *) lfirst(lc))->connection);
}

int
outbox_link_depth(const Link *link)
{
	int64		more = link->round_trip / FURTHER_US;

	return Min(OUTBOX_QUEUE_INFLIGHT + more, OUTBOX_QUEUE_INFLIGHT_FAR);
}

bool
outbox_link_may_send(const Link *link)
{
	return link->inflight < MAX_INFLIGHT &&
		outbox_connection_unsent(link->connection) < MAX_UNSENT;
}

static void
made_progress(Link *link)
{
	link->progress_at = outbox_now();
	link->moved = 0;
}

bool
outbox_link_io(Link *link)
{
	RedisConnection *conn = link->connection;
	size_t		unsent = outbox_connection_unsent(conn);
	uint64		received = outbox_connection_received(conn);

	link->socket_ready = false;
	if (!outbox_connection_io(conn))
	{
		connection_failed(link);
		return false;
	}
	/* what is large takes its time, on its way there and back */
	link->moved += unsent - outbox_connection_unsent(conn) +
		outbox_connection_received(conn) - received;
	if (link->moved >= MIN_PROGRESS)
		made_progress(link);
	return true;
}

void
outbox_link_socket_is_ready(Link *link)
{
	link->socket_ready = true;
}

void
outbox_link_has_more(Link *link, bool more)
{
	link->more_answers = more;
}

StringInfo
outbox_link_out(Link *link)
{
	return outbox_connection_out(link->connection);
}

Request *
outbox_expect_answer(Link *link, RequestKind kind, RelayQueue *queue)
{
	Request    *request = MemoryContextAllocZero(link->context,
												 sizeof(Request));
	bool		of_consumer = outbox_is_of_consumer(kind);

	/* nothing would forget it before the next connection */
	Assert(link->state >= LINK_CONNECTING);
	request->kind = kind;
	request->queue = queue;
	request->sent_at = outbox_now();
	dlist_push_tail(&link->requests, &request->node);
	if (link->inflight++ == 0)
		made_progress(link);
	link->consumer_reads += of_consumer;
	if (queue != NULL)
	{
		QueueRequests *requests = mine(queue);

		requests->inflight += !of_consumer;
		requests->consumer_reads += of_consumer;
		requests->skip_or_retry += kind == REQUEST_SKIP || kind == REQUEST_RETRY;
		if (kind == REQUEST_BATCH || kind == REQUEST_SKIP ||
			kind == REQUEST_RETRY)
			requests->last = kind;
	}
	return request;
}

Request *
outbox_send_command(Link *link, RequestKind kind, RelayQueue *queue, int argc,
					const char *const *argv)
{
	StringInfo	out = outbox_link_out(link);

	outbox_resp_command(out, argc);
	for (int i = 0; i < argc; i++)
		outbox_resp_string(out, argv[i]);
	return outbox_expect_answer(link, kind, queue);
}

static const OutboxReplyLimits *
next_limits(const Link *link)
{
	const Request *request = outbox_oldest_request(link);

	if (request == NULL)
		return &no_answer;
	switch (request->kind)
	{
		case REQUEST_ROLE:
			return &outbox_role_limits;
		case REQUEST_CLUSTER:
			return &outbox_cluster_map_limits;
		case REQUEST_CURSOR:
			return &cursor;
		case REQUEST_CONSUMER_CHECK:
		case REQUEST_CONSUMER_LOOK:
		case REQUEST_CONSUMER_READ:
			return &entries;
		default:
			return &short_answer;
	}
}

bool
outbox_next_answer(Link *link, Request **request, OutboxReply **reply)
{
	if (link->trouble[0] != '\0')
		return false;
	if (!outbox_connection_reply(link->connection, next_limits(link), reply))
	{
		connection_failed(link);
		return false;
	}
	if (*reply == NULL)
	{
		if (link->partial_since == 0 &&
			outbox_connection_received(link->connection) > link->answers_end)
			link->partial_since = outbox_now();
		return false;
	}
	link->answers++;
	link->answers_end = outbox_connection_received(link->connection);
	link->partial_since = 0;
	if (dlist_is_empty(&link->requests))
	{
		/* such as "max number of clients reached", before Redis closes */
		outbox_link_fail(link, outbox_reply_is_error(*reply) ?
						 outbox_reply_string(*reply) : "unexpected reply");
		outbox_reply_free(*reply);
		return false;
	}
	*request = dlist_head_element(Request, node, &link->requests);
	made_progress(link);
	link->answered_at = GetCurrentTimestamp();
	link->round_trip = Min(link->round_trip, outbox_now() - (*request)->sent_at);
	return true;
}

void
outbox_answer_done(Link *link, Request *request, OutboxReply *reply)
{
	free_request(link, request);
	outbox_reply_free(reply);
}
