/*-------------------------------------------------------------------------
 *
 * link.h
 *	  The relay's link to one Redis: the connection, and what was asked on it.
 *
 * Purpose: send commands, remember whose answers come next, notice trouble.
 *	  How a link comes up and goes down is decided in relay/connect.c.
 * Process: relay.
 * Transaction: none needed; none may be open while the relay waits for the
 *	  link.
 * Memory: a Link lives as long as the relay; a Request until its answer has
 *	  been dealt with, or the link goes down.
 * Errors: none thrown for what Redis does.  A command may be written in any
 *	  state of the link: if the link has failed the command is dropped with
 *	  all that is under way, and the queues are read again from their cursors.
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
#include "store/position.h"

/* batches of a queue under way at once */
#define OUTBOX_QUEUE_INFLIGHT	4

/* see the chart in link.c */
typedef enum LinkState
{
	LINK_DOWN,
	LINK_CONNECTING,
	LINK_GREETING,				/* the handshake is under way */
	LINK_READY,					/* Redis answers */
	LINK_UP						/* ... and does what it is asked */
} LinkState;

typedef enum RequestKind
{
	REQUEST_HANDSHAKE,			/* any error is the operator's */
	REQUEST_SCRIPT,				/* loads a script; of the link or of a queue */
	REQUEST_IGNORED,			/* the answer doesn't matter */
	REQUEST_CURSOR,
	REQUEST_TAKEOVER,			/* writes a cursor back as our own */
	REQUEST_BATCH,
	REQUEST_SKIP,				/* a batch in which messages may be skipped */
	REQUEST_RETRY,				/* skipped messages, tried again */
	/* of the streams in which consumers answer; the last ones, as they count apart */
	REQUEST_CONSUMER_CHECK,
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

	/* of batches */
	OutboxPosition to;			/* the position that the cursor moves to */
	bool		finishes;		/* the last batch of its tick */
	int			count;			/* messages to be applied */
	int			skipped;		/* messages covered and not applied */
	TimestampTz oldest;			/* enqueued_at of the first message */
	TimestampTz newest;			/* ... and of the last one */
	struct PlanEntry *entries;	/* of the messages, if they may be skipped */

	uint64		applied;		/* of a takeover: the cursor's count */
} Request;

typedef struct Link
{
	/* written by link.c */
	MemoryContext context;
	RedisConnection *connection;
	LinkState	state;
	bool		socket_ready;	/* something has happened on the socket */
	dlist_head	requests;
	int			inflight;		/* requests */
	int			consumer_reads; /* ... of consumers' streams */
	OutboxTime	progress_at;	/* when bytes or an answer last moved */
	TimestampTz answered_at;	/* when the last answer came */
	char		trouble[OUTBOX_TEXT_SIZE];	/* why it must go down */

	/* written by relay/connect.c, relay/wait.c, relay/deliver/script.c */
	struct LinkLife *life;
	struct LinkWait *wait;
	struct LinkScripts *scripts;
} Link;

/* a queue's requests under way; written by link.c */
typedef struct QueueRequests
{
	int			inflight;		/* all but those of consumers' streams */
	int			skip_or_retry;			/* of these: REQUEST_SKIP and REQUEST_RETRY */
	int			consumer_reads;
	RequestKind last;			/* the last batch or retry that was sent */
} QueueRequests;

extern Link *outbox_link_make(MemoryContext context);
extern void outbox_requests_init(RelayQueue *queue);

/* the states, in their order; ending drops all requests */
extern bool outbox_link_begin(Link *link, const OutboxRedisUrl *url);
extern void outbox_link_greet(Link *link);
extern void outbox_link_is_ready(Link *link);
extern void outbox_link_is_up(Link *link);
extern void outbox_link_end(Link *link);

/* the link must go down; the first reason counts */
extern void outbox_link_fail(Link *link, const char *error);

/* the state of the relay's best link */
extern LinkState outbox_best_link_state(const Relay *relay);

/* send what the links' sockets take */
extern void outbox_flush_links(const Relay *relay);

/* is there room for more requests? */
extern bool outbox_link_may_send(const Link *link);

/* move bytes; false if the connection is gone */
extern bool outbox_link_io(Link *link);

/* whoever waits has seen something happen on the socket */
extern void outbox_link_socket_is_ready(Link *link);

/* where a command is to be written, and that its answer is awaited */
extern StringInfo outbox_link_out(Link *link);
extern Request *outbox_expect_answer(Link *link, RequestKind kind,
									 RelayQueue *queue);

/* a command of plain strings, and that its answer is awaited */
extern Request *outbox_send_command(Link *link, RequestKind kind,
									RelayQueue *queue, int argc,
									const char *const *argv);

/*
 * The next answer and what it answers; false if there is none.  Whoever takes
 * it gives both back when it has been dealt with.
 */
extern bool outbox_next_answer(Link *link, Request **request,
							   OutboxReply **reply);
extern void outbox_answer_done(Link *link, Request *request,
							   OutboxReply *reply);

#endif							/* OUTBOX_RELAY_LINK_H */
