/*-------------------------------------------------------------------------
 *
 * relay.h
 *	  What the files of the relay share.
 *
 * Purpose: the relay's view of its queues, and the steps between them.
 * Process: relay.
 * Transaction: functions that read tables say so; none is open while the
 *	  relay waits.
 * Memory: everything here lives in Relay.context; scratch is reset on every
 *	  turn of the loop.
 * Errors: thrown errors end the worker, which is started again and recovers
 *	  from Redis.
 * Locks: AccessShareLock on staging within a transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_H
#define OUTBOX_RELAY_H

#include "outbox.h"

#include "launcher.h"
#include "lib/ilist.h"
#include "redis.h"
#include "shmem.h"
#include "storage/latch.h"
#include "staging.h"
#include "target.h"
#include "tick.h"
#include "utils/hsearch.h"

/* batches of a queue under way at once */
#define OUTBOX_QUEUE_INFLIGHT	4

/* a row to be sent: its number and its place */
typedef struct PlanEntry
{
	uint64		seq;
	BlockNumber block;
	OffsetNumber offset;
	uint16		table;
} PlanEntry;

typedef enum RelayQueueState
{
	QUEUE_UNKNOWN,				/* its cursor has to be read */
	QUEUE_ASKED,				/* it is being read, or taken over */
	QUEUE_FLOWING,
	QUEUE_BLOCKED				/* it stands still until retry_at */
} RelayQueueState;

typedef struct RelayQueue
{
	OutboxQueue settings;
	char	   *cursor_key;
	MemoryContext context;		/* of this struct and its strings */
	bool		listed;			/* seen in outbox.queue */
	bool		dropped;		/* freed when nothing is in flight */

	RelayQueueState state;
	TimestampTz retry_at;
	int			failures;		/* in a row */
	char		error[OUTBOX_TEXT_SIZE];

	/*
	 * The tick being delivered: rows visible in cur and not in prev, of which
	 * those up to seq have been handed to Redis.  When it is finished, the
	 * next one may begin.
	 */
	OutboxSnap *prev;
	OutboxSnap *cur;
	XLogRecPtr	lsn;
	uint64		seq;			/* looked at */
	uint64		sent_seq;		/* sent; rows that rolled back are not */
	bool		finished;
	char	   *pos;			/* prev and cur as text; NULL: not made yet */

	/* rows of the tick still to be read, in seq order */
	PlanEntry  *plan;
	int			nplan;
	int			next;
	int			plan_size;
	int			plan_limit;
	bool		plan_cut;		/* there are more, beyond cut_seq */
	uint64		cut_seq;
	uint64		plan_number;	/* Relay.plan_number when it was made */
	bool		planning;		/* takes part in the plan being made */
	bool		next_tick;		/* ... with a fresh snapshot */

	/* what Redis will have when all in flight is applied */
	char	   *expect_pos;
	uint64		expect_seq;
	uint64		expect_count;	/* messages applied since the cursor began */
	int			inflight;		/* requests */

	/* what Redis has acknowledged */
	OutboxPosition acked;		/* prev NULL: nothing */
	uint64		acked_count;
	OutboxSnap *settled;		/* all that is visible in it */

	/* Redis has lost acknowledged messages: how many, how many go again */
	uint64		lost;
	uint64		resent;
	OutboxPosition before_loss; /* while lost > 0 */

	int64		waiting;		/* staged, not acknowledged */
	TimestampTz oldest;			/* of those, about */
} RelayQueue;

/* the transactions to look at, see reach.c */
typedef struct OutboxReach
{
	uint64		from;			/* all from here on */
	uint64		below;			/* up to here */
	uint64	   *xids;			/* and these */
	int			nxids;
	int			size;
} OutboxReach;

typedef struct QueueById
{
	int32		id;
	RelayQueue *queue;
} QueueById;

typedef enum RequestKind
{
	REQUEST_HANDSHAKE,			/* any error is the operator's */
	REQUEST_SCRIPT,				/* ... the last of them: answers the hash */
	REQUEST_IGNORED,			/* the answer doesn't matter */
	REQUEST_CURSOR,
	REQUEST_TAKEOVER,
	REQUEST_APPLY
} RequestKind;

/* a command whose answer is awaited; answers come in order */
typedef struct Request
{
	dlist_node	node;
	RequestKind kind;
	RelayQueue *queue;
	int			count;			/* messages */
	OutboxPosition pos;			/* the position this moves to */
	bool		finishes;		/* the last of its tick */
	TimestampTz newest;			/* enqueued_at of the last message */
} Request;

typedef struct Relay
{
	OutboxSlot *slot;
	MemoryContext context;
	MemoryContext scratch;
	MemoryContext batch;		/* of the batch being made */
	char		source[OUTBOX_UUID_TEXT_LEN + 1];
	TimeLineID	timeline;

	List	   *queues;			/* of RelayQueue */
	HTAB	   *by_id;			/* of QueueById; without dropped ones */
	RelayQueue *last_found;
	uint64		queues_epoch;	/* outbox_catalog_epoch() when they were read */
	bool		queues_stale;

	dlist_head	requests;
	int			inflight;
	TimestampTz progress_at;	/* last sent into silence, or answered */

	/* the link */
	bool		linked;			/* there is, or was, a connection */
	bool		greeted;		/* the handshake is sent */
	bool		ready;			/* the handshake is done */
	bool		well;			/* ... and Redis does what it is asked */
	bool		recount;		/* waiting has to be counted anew */
	TimestampTz link_at;		/* connect then, or give up connecting */
	int			backoff_ms;
	char		trouble[OUTBOX_TEXT_SIZE];	/* why it must go down */
	char		last_trouble[OUTBOX_TEXT_SIZE]; /* already logged */

	/* nothing may be delivered: the state and the reason */
	OutboxRelayState hold;		/* OUTBOX_HELD, OUTBOX_FENCED or 0 */
	bool		hold_by_state;	/* found in the database, not in Redis */
	char		hold_why[OUTBOX_TEXT_SIZE];

	/* waiting */
	WaitEventSet *wait_set;
	uint64		wait_link;		/* the connection that it waits on */
	int			wait_pos;
	int			wait_events;
	bool		heard;			/* something has happened on the socket */

	/* looking for new rows */
	bool		look;
	TimestampTz looked_at;
	uint64		plan_number;	/* of the last plan */
	uint32		files[OUTBOX_STAGING_TABLES];	/* of staging, when planned */

	OutboxSnap *counted;		/* rows visible in it have been counted */
	uint64		counted_from;	/* before that: xids from here on */

	/* rotation */
	TimestampTz current_since;
	TimestampTz settled_since[OUTBOX_STAGING_TABLES];
	uint64		settled_xid[OUTBOX_STAGING_TABLES];
	TimestampTz searched_at;

	/* registers */
	uint64		delivered;		/* in all */
	uint64		delivered_written;
	uint64		applied_written;

	/* the batch being made */
	OutboxArgs	args;
	StringInfoData seqs;
	StringInfoData command;
} Relay;

/* relay_queues.c: the list of queues. In a transaction. */
extern RelayQueue *outbox_find_queue(Relay *relay, int32 id);
extern void outbox_refresh_queues(Relay *relay);
extern void outbox_drop_queues(Relay *relay);
extern void outbox_free_queue(Relay *relay, RelayQueue *queue);

/* reach.c: what became visible between snapshots. In a transaction. */
extern OutboxSnap *outbox_take_snapshot(XLogRecPtr *lsn);
extern void outbox_reach_cover(OutboxReach *reach, const OutboxSnap *prev,
							   const OutboxSnap *cur);
extern void outbox_reach_scan(OutboxReach *reach, OutboxStaging *staging,
							  OutboxStagedVisit visit, void *arg);

/* census.c: count what waits, and publish it. The counts in a transaction. */
extern void outbox_census(Relay *relay, OutboxStaging *staging);
extern void outbox_recount(Relay *relay, OutboxStaging *staging);
extern void outbox_publish(Relay *relay);

/* plan.c: which rows each queue gets next. In a transaction. */
extern bool outbox_plan(Relay *relay, OutboxStaging *staging);
extern void outbox_discard_plan(RelayQueue *queue);
extern void outbox_set_tick(RelayQueue *queue, OutboxSnap *prev,
							OutboxSnap *cur, XLogRecPtr lsn, uint64 seq);

/* apply.c: batches out, answers in. */
extern void outbox_send_handshake(Relay *relay, const OutboxRedisUrl *url);
extern void outbox_send_cursor_request(Relay *relay, RelayQueue *queue);
extern void outbox_send_takeover(Relay *relay, RelayQueue *queue,
								 const char *expect_pos,
								 const char *expect_seq,
								 OutboxPosition *pos, uint64 count);
extern void outbox_send_forget(Relay *relay, RelayQueue *queue);
extern bool outbox_send_batch(Relay *relay, RelayQueue *queue,
							  OutboxStaging *staging);
extern void outbox_read_answers(Relay *relay);
extern void outbox_drop_requests(Relay *relay);

/* link.c: the connection as a whole, up and down. */
extern void outbox_run_link(Relay *relay, TimestampTz now);
extern void outbox_link_down(Relay *relay, TimestampTz now);
extern void outbox_link_well(Relay *relay);
extern void outbox_link_changed(Relay *relay);
extern void outbox_hold(Relay *relay, OutboxRelayState state,
						const char *why);

/* recover.c: a queue's cursor, as Redis has it. */
extern void outbox_recover_queue(Relay *relay, RelayQueue *queue,
								 const OutboxReply *reply);
extern void outbox_block_queue(Relay *relay, RelayQueue *queue,
							   const char *error);
extern void outbox_queue_flows(Relay *relay, RelayQueue *queue,
							   OutboxPosition *pos, uint64 count);

/* rotate.c: empty staging tables, keep registers. In transactions of its own. */
extern void outbox_rotate(Relay *relay, TimestampTz now);
extern void outbox_read_registers(Relay *relay);
extern void outbox_write_registers(Relay *relay);

/* relay_state.c: whose relay this is */
extern OutboxSlot *outbox_relay_attach(const OutboxRelayArgs *args);
extern void outbox_relay_leave(Relay *relay);
extern void outbox_fix_settings(void);
extern void outbox_read_relay_state(Relay *relay);

/* relay.c: the loop, and its transactions */
extern void outbox_begin_step(void);
extern void outbox_end_step(void);

extern PGDLLEXPORT void outbox_relay_main(Datum main_arg);

#endif							/* OUTBOX_RELAY_H */
