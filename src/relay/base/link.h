/*-------------------------------------------------------------------------
 *
 * link.h
 *	  The relay's link to one Redis: the connection, and the requests on it.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: send requests, remember their order, notice trouble.  When a link
 *	  is connected and taken down is decided in relay/link_life.c.
 * Process: relay.
 * Transaction: none needed; none may be open while the relay waits for the
 *	  link.
 * Memory: a Link lives as long as the relay; a Request until its answer has
 *	  been dealt with or the link is taken down.
 * Errors: none thrown for what Redis does.  A command may be written in any
 *	  state of the link: if the link has failed, the command is dropped with
 *	  all requests, and the queues' cursors are read again.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_LINK_H
#define OUTBOX_RELAY_LINK_H

#include "outbox.h"

#include "clock.h"
#include "lib/ilist.h"
#include "redis/connection.h"
#include "relay/base/state.h"
#include "server_run.h"
#include "store/position.h"

/*
 * Batches of a queue under way at once, of a server that is near and at most: what
 * Redis is still to do must last until the next one has come.
 */
#define OUTBOX_QUEUE_INFLIGHT	4
#define OUTBOX_QUEUE_INFLIGHT_FAR	12

/* see the chart in link.c */
typedef enum LinkState
{
	LINK_DOWN,
	LINK_ASKING,				/* Sentinels, where the server is */
	LINK_CONNECTING,
	LINK_GREETING,				/* the handshake is under way */
	LINK_READY,					/* Redis answers */
	LINK_UP						/* ... and has applied what there was */
} LinkState;

typedef enum RequestKind
{
	REQUEST_HANDSHAKE,			/* any error is the operator's */
	REQUEST_ROLE,				/* is it a master? */
	REQUEST_CLUSTER,			/* which node of a cluster has which slot */
	REQUEST_SCRIPT,				/* loads a script; of the link or of a queue */
	REQUEST_IGNORED,			/* the answer doesn't matter */
	REQUEST_COMMANDS,			/* which commands the server has */
	REQUEST_ERRAND,				/* what a backend wants to know of cursors */
	REQUEST_REPLICAS,			/* what replicas have, upkeep/replicas.c */
	REQUEST_CURSOR,
	/* calls of the scripts: from here ... */
	REQUEST_TAKEOVER,			/* writes a cursor back as our own */
	REQUEST_MOVE,				/* a cursor goes to another server, or comes */
	REQUEST_LOOK,				/* is an idle cursor where it was? */
	REQUEST_BATCH,
	REQUEST_SKIP,				/* a batch in which messages may be skipped */
	REQUEST_RETRY,				/* skipped messages, tried again; ... to here */
	/* for the streams in which consumers answer; these must be the last ones */
	REQUEST_CONSUMER_CHECK,
	REQUEST_CONSUMER_LOOK,		/* at several queues' streams */
	REQUEST_CONSUMER_READ,
	REQUEST_CONSUMER_TRIM
} RequestKind;

/* a command whose answer is awaited; answers come in order */
typedef struct Request
{
	dlist_node	node;
	RequestKind kind;
	RelayQueue *queue;			/* or NULL */
	int			number;			/* which script or stream */
	OutboxTime	sent_at;

	/* if it is a batch or a retry */
	OutboxPosition to;			/* the position that the cursor moves to */
	bool		finishes;		/* the last batch of its tick */
	int			count;			/* messages to be applied */
	int			skipped;		/* messages covered and not applied */
	TimestampTz oldest;			/* enqueued_at of the first message */
	TimestampTz newest;			/* ... and of the last one */
	struct PlanEntry *entries;	/* count of them: what was planned */

	bool		may_move;		/* if it asks for a cursor: may it be moved? */

	/* if it is a takeover */
	uint64		applied;		/* messages, as the cursor counts them */
} Request;

typedef struct Link
{
	const struct OutboxRedisServer *server; /* NULL: it is to be read */
	const char *name;			/* of the server, as queues have it; NULL: the
								 * default */
	bool		is_own;			/* it serves one queue at a time */
	bool		in_use;			/* else: has the server queues? */
	RelayQueue *guest;			/* ... which is this one; or NULL */
	const struct Link *followed;	/* ... and had this home when it came */

	/* written by relay/cluster.c */
	bool		is_seed;		/* it asks a cluster for its map, and serves
								 * no queue */
	struct Link *seed;			/* that one, if this is a link to a node; kept
								 * for good */
	int			slots;			/* of a seed's cluster that have a node */
	struct LinkCluster *cluster;

	/* written by link.c */
	MemoryContext context;
	RedisConnection *connection;
	const struct OutboxRedisHost *host; /* that it was last connected to */
	LinkState	state;
	OutboxTime	away_since;		/* when it was up last; 0: it is */
	char		token[OUTBOX_TOKEN_SIZE];	/* of this connection */
	bool		socket_ready;	/* the wait has seen an event of the socket */
	bool		more_answers;	/* some have been read and not been taken */
	dlist_head	requests;
	int			inflight;		/* how many requests */
	int			consumer_reads; /* ... of which for consumers' streams */
	OutboxTime	progress_at;	/* when bytes or an answer last moved */
	uint64		moved;			/* bytes received and sent since then */
	TimestampTz answered_at;	/* when the last answer came */
	int64		round_trip;		/* microseconds that an answer takes, at least */
	uint64		answers;		/* ever */
	uint64		answers_end;	/* bytes received with the last one */
	OutboxTime	partial_since;	/* when the next one began to come; 0: not yet */
	char		trouble[OUTBOX_TEXT_SIZE];	/* why it must go down */
	bool		is_cut;			/* ... and it isn't what Redis has answered */
	const char *hint;			/* what can be done about it; or NULL */

	/*
	 * written by relay/link_life.c, link_shown.c, relay/wait.c,
	 * relay/sentinel.c, deliver/script.c
	 */
	struct LinkLife *life;
	struct LinkShown *shown;
	struct LinkSentinel *sentinel;
	struct LinkWait *wait;
	struct LinkScripts *scripts;

	/* written by relay/upkeep/replicas.c; NULL if it serves one queue */
	struct LinkReplicas *replicas;
} Link;

/* how many requests of a queue are under way; written by link.c */
typedef struct QueueRequests
{
	int			inflight;		/* all but those for consumers' streams */
	int			skip_or_retry;	/* ... of which REQUEST_SKIP and REQUEST_RETRY */
	int			consumer_reads; /* for consumers' streams */
	RequestKind last;			/* of the last batch or retry that was sent */
} QueueRequests;

/* is the queue to go to another link as soon as nothing is under way here? */
static inline bool
outbox_queue_leaves(const RelayQueue *queue)
{
	return queue->link != queue->home && !queue->link->is_own;
}

/* the link that stands for the server: that of a cluster, or itself */
static inline struct Link *
outbox_server_link(struct Link *link)
{
	return link->seed != NULL ? link->seed : link;
}

/* is its server a cluster? */
static inline bool
outbox_is_in_cluster(const Link *link)
{
	if (link->is_own && link->guest != NULL)
		link = link->guest->home;
	return link->is_seed || link->seed != NULL;
}

/* is it a request for the streams in which consumers answer? */
extern bool outbox_is_of_consumer(RequestKind kind);

/* a link that is down */
extern Link *outbox_link_make(MemoryContext context, bool is_own);
extern void outbox_requests_init(RelayQueue *queue);

/* connect to this server from now on; the link is down */
extern void outbox_link_use(Link *link, const char *name,
							const struct OutboxRedisServer *server);

/* has its server queues? */
extern void outbox_link_is_in_use(Link *link, bool in_use);

/* the link is down, and it has to be found out where its server is */
extern void outbox_link_asks(Link *link);

/*
 * Begin to connect a link that is down, or has found out, to this host of its
 * server.  False, with the reason in link->trouble, if that has failed at once.
 */
extern bool outbox_link_begin(Link *link, const OutboxRedisHost *host);

/* it could not be connected within this time */
extern void outbox_link_gives_up(Link *link, int seconds);

/* it is connected, and the handshake begins */
extern void outbox_link_greet(Link *link);

/* send user, password and number of the database */
extern void outbox_link_log_in(Link *link);

/* the handshake is done */
extern void outbox_link_is_ready(Link *link);

/* Redis has applied something, or there is nothing to apply */
extern void outbox_link_is_up(Link *link);

/* close the connection and forget all requests */
extern void outbox_link_end(Link *link);

/*
 * Note that the link has to be taken down; the first reason is kept.  It is cut
 * if the connection has ended, or what came on it was no answer at all.
 */
extern void outbox_link_fail(Link *link, const char *error);
extern void outbox_link_cut(Link *link, const char *error);

/* the same, and say what can be done about it */
extern void outbox_link_fail_with(Link *link, const char *error,
								  const char *hint);

/*
 * How many messages of the queue were sent in batches whose answers are awaited, and
 * when the first of them was enqueued (0: there is none).
 */
extern int64 outbox_unacknowledged(const RelayQueue *queue, TimestampTz *oldest);

/* the request that is answered next; NULL if none is under way */
extern const Request *outbox_oldest_request(const Link *link);

/* the link to the default server */
extern Link *outbox_default_link(const Relay *relay);

/* the state of the relay's best link */
extern LinkState outbox_best_link_state(const Relay *relay);

/* send what the links' sockets take */
extern void outbox_flush_links(const Relay *relay);

/* are there few enough requests and unsent bytes for one more? */
extern bool outbox_link_may_send(const Link *link);

/* how many batches of a queue may be under way on the link */
extern int	outbox_link_depth(const Link *link);

/* send and read what the socket takes and has; false if the link has failed */
extern bool outbox_link_io(Link *link);

/* the wait has seen an event of the socket */
extern void outbox_link_socket_is_ready(Link *link);

/* there are more answers than a turn has time for */
extern void outbox_link_has_more(Link *link, bool more);

/* where a command is to be written */
extern StringInfo outbox_link_out(Link *link);

/* a command was written: its answer is the next one to be awaited */
extern Request *outbox_expect_answer(Link *link, RequestKind kind,
									 RelayQueue *queue);

/* write a command of plain strings, and await its answer */
extern Request *outbox_send_command(Link *link, RequestKind kind,
									RelayQueue *queue, int argc,
									const char *const *argv);

/*
 * Take the next answer and the request it belongs to.  False if there is none,
 * or the link has failed.  The caller calls outbox_answer_done() afterwards,
 * which frees both.
 */
extern bool outbox_next_answer(Link *link, Request **request,
							   OutboxReply **reply);
extern void outbox_answer_done(Link *link, Request *request,
							   OutboxReply *reply);

#endif							/* OUTBOX_RELAY_LINK_H */
