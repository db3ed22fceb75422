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

#include "relay/base/latency.h"
#include "launcher.h"
#include "lib/ilist.h"
#include "redis/connection.h"
#include "shmem.h"
#include "storage/latch.h"
#include "store/staging.h"
#include "targets/target.h"
#include "store/position.h"
#include "utils/hsearch.h"

/* batches of a queue under way at once */
#define OUTBOX_QUEUE_INFLIGHT	4

/* how often the relay looks around by itself */
#define OUTBOX_CHORES_INTERVAL_MS 1000

/* what is due, but locked or not covered yet, is looked at again after this */
#define OUTBOX_LOOK_AGAIN_US	20000

/* the size of a batch */
#define OUTBOX_BATCH_MESSAGES	256
#define OUTBOX_BATCH_BYTES		(128 * 1024)

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
	QUEUE_BLOCKED,				/* it stands still until retry_at */
	QUEUE_PAUSED				/* it stands still until it is resumed */
} RelayQueueState;

/* what has become of a queue's messages, since it was created */
typedef struct RelayTotals
{
	uint64		delivered;
	uint64		failed;			/* attempts that were refused */
	uint64		dead_lettered;	/* expired ones included */
	uint64		expired;
} RelayTotals;

typedef enum OutboxScript
{
	OUTBOX_SCRIPT_APPLY,
	OUTBOX_SCRIPT_CAREFUL
} OutboxScript;

#define OUTBOX_SCRIPTS	(OUTBOX_SCRIPT_CAREFUL + 1)

/* SHA-1 in hex */
#define OUTBOX_SHA_SIZE	41

/* see streams.c */
typedef struct RelayConsumer RelayConsumer;

typedef struct RelayQueue
{
	OutboxQueue settings;
	MemoryContext options_context;	/* of settings.options and .template */
	char		shas[OUTBOX_SCRIPTS][OUTBOX_SHA_SIZE];	/* of its own scripts */
	char	   *cursor_key;
	MemoryContext context;		/* of this struct and its strings */
	bool		listed;			/* seen in outbox.queue */
	bool		dropped;		/* freed when nothing is in flight */

	RelayQueueState state;
	TimestampTz retry_at;
	int			failures;		/* in a row */
	TimestampTz still_since;	/* when it began to stand still, or 0 */
	char		why[OUTBOX_QUEUE_TEXT_SIZE];	/* it does */

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
	int			past_ticks;		/* this one and so many less one to come may
								 * have rows outside of staging */

	/* what Redis will have when all in flight is applied */
	char	   *expect_pos;
	uint64		expect_seq;
	int			inflight;		/* requests */

	/* messages that Redis has refused, see skip.c */
	bool		careful;		/* one batch at a time, with care */
	bool		careful_inflight;
	TimestampTz careful_at;		/* the next one not before */
	HTAB	   *held_keys;		/* of HeldKey; NULL: none */
	int64		held;			/* messages skipped */
	TimestampTz again_at;		/* when to look for those to be tried again */
	bool		again_went;		/* ... and that was what went last */

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

	/* evacuated rows that go when the retention has passed, see evacuate.c */
	bool		evacuated;		/* there may be some */
	int			evacuating;		/* the table being copied, -1: none */
	uint64		evacuated_xid;	/* ... as far as this row */
	uint64		evacuated_seq;
	OutboxSnap *purge_snap;		/* those visible in it ... */
	TimestampTz purge_at;		/* ... then */

	/* what consumers answer, see streams.c */
	RelayConsumer *consumer;	/* NULL: it isn't known how far it is read */
	TimestampTz consumer_at;	/* when to read next */
	int			consumer_reads; /* requests, not counted as in flight */

	/* what is shown, see totals.c */
	RelayTotals totals;
	RelayTotals totals_written;
	int64		delayed;
	int64		dead;
	int64		counting_delayed;	/* in the pass under way */
	int64		counting_dead;
	OutboxLatency latency;
	TimestampTz last_success;
	TimestampTz last_error_at;
	char		last_error[OUTBOX_QUEUE_TEXT_SIZE];
} RelayQueue;

/* a key that has skipped messages, by its hash */
typedef struct HeldKey
{
	uint64		hash;
	int64		count;
} HeldKey;

/* the transactions to look at, see tick.c */
typedef struct OutboxReach
{
	uint64		from;			/* all from here on */
	uint64		below;			/* up to here */
	uint64	   *xids;			/* and these */
	int			nxids;
	int			size;
} OutboxReach;

/* rows of a staging table that Redis hasn't acknowledged */
typedef enum TableSearch
{
	TABLE_WAITED_FOR,			/* there are some that will be delivered */
	TABLE_STILL,				/* they are of queues that stand still */
	TABLE_SETTLED				/* there are none */
} TableSearch;

/* a queue's cursor, as Redis has it */
typedef struct RelayCursor
{
	const char *pos;			/* "": there is none */
	const char *seq;
	uint64		count;			/* messages applied since it began */
	int			nskips;
	uint64	   *skips;			/* seqs */
	const char **errors;		/* why; "": behind another one */
} RelayCursor;

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
	REQUEST_APPLY,
	REQUEST_CAREFUL,			/* moves the cursor, skips what fails */
	REQUEST_AGAIN,				/* skipped messages, tried again */
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
	RelayQueue *queue;
	int			count;			/* messages */
	OutboxPosition pos;			/* the position this moves to */
	bool		finishes;		/* the last of its tick */
	uint64		total;			/* of a takeover: the cursor's count */
	TimestampTz oldest;			/* enqueued_at of the first message */
	TimestampTz newest;			/* ... and of the last one */
	int			skipped;		/* messages covered and not applied */
	PlanEntry  *entries;		/* of a careful batch, count of them */
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
	uint32		files[OUTBOX_TABLES];	/* of the tables, when planned */

	OutboxSnap *counted;		/* rows visible in it have been counted */
	uint64		counted_from;	/* before that: xids from here on */

	/* rotation */
	TimestampTz current_since;
	TimestampTz settled_since[OUTBOX_STAGING_TABLES];
	uint64		settled_xid[OUTBOX_STAGING_TABLES];
	TimestampTz searched_at;
	TableSearch search[OUTBOX_STAGING_TABLES];	/* what the last one found */
	bool		hurry;			/* rows are left to copy or delete */
	bool		truncated;		/* skip lists may be shortened */

	/* deferred messages, see delayed.c */
	TimestampTz due_at;			/* of the next delayed one; DT_NOEND: none */
	bool		look_for_requests;	/* of outbox_resend() */
	bool		requests_wait;	/* ... for their queues to flow */

	/* consumers */
	int			consumer_reads; /* of all queues */
	TimestampTz forget_returned_at;

	/* registers */
	uint64		delivered;		/* in all */
	uint64		delivered_written;
	uint64		applied_written;
	TimestampTz totals_written_at;

	/* where the passes that count are, see totals.c */
	TimestampTz counting_due;
	int64		counting_seq;
	int32		counting_dead_queue;
	TimestampTz counting_dead_at;
	int64		counting_dead_seq;

	/* the batch being made */
	OutboxArgs	args;
	StringInfoData seqs;
	StringInfoData command;
} Relay;

/* queues.c: the list of queues. In a transaction. */
extern RelayQueue *outbox_find_queue(Relay *relay, int32 id);
extern void outbox_refresh_queues(Relay *relay);
extern void outbox_drop_queues(Relay *relay);
extern void outbox_free_queue(Relay *relay, RelayQueue *queue);

/* tick.c: what became visible between snapshots. In a transaction. */
extern OutboxSnap *outbox_take_snapshot(XLogRecPtr *lsn);
extern void outbox_reach_cover(OutboxReach *reach, const OutboxSnap *prev,
							   const OutboxSnap *cur);
extern void outbox_reach_scan(OutboxReach *reach, OutboxStaging *staging,
							  OutboxStagedVisit visit, void *arg);

/* delayed.c: what becomes due. In transactions of its own. */
extern void outbox_look_for_due(Relay *relay);
extern bool outbox_move_due(Relay *relay, TimestampTz now);
extern void outbox_resend_requested(Relay *relay);

/* backlog.c: count what waits, and publish it. The counts in a transaction. */
extern void outbox_census(Relay *relay, OutboxStaging *staging);
extern void outbox_recount(Relay *relay, OutboxStaging *staging);
extern void outbox_publish(Relay *relay);

/* tick.c: a snapshot as SQL takes it: text, to be cast to pg_snapshot. */
extern Datum outbox_snap_text(const OutboxSnap *snap);

/* plan.c: which rows each queue gets next. In a transaction. */
extern bool outbox_plan(Relay *relay, OutboxStaging *staging);
extern void outbox_flush_wal(XLogRecPtr lsn);
extern void outbox_discard_plan(RelayQueue *queue);
extern bool outbox_plan_again(Relay *relay, RelayQueue *queue);
extern void outbox_set_tick(RelayQueue *queue, OutboxSnap *prev,
							OutboxSnap *cur, XLogRecPtr lsn, uint64 seq);

/* script.c: the scripts, and how a call of one begins. */
extern const char *outbox_script_text(OutboxScript script,
									  const RelayQueue *queue);
extern void outbox_script_loaded(OutboxScript script, RelayQueue *queue,
								 const char *sha);
extern void outbox_script_call(StringInfo out, OutboxScript script,
							   const RelayQueue *queue, const char *mode,
							   int nargs, const char *expect_pos,
							   const char *expect_seq, const char *pos,
							   uint64 seq);
extern void outbox_script_channel(StringInfo out, const RelayQueue *queue);
extern void outbox_resp_number(StringInfo out, uint64 n);

/* requests.c: commands to Redis, and whose answers come next. */
extern void outbox_empty_buffer(StringInfo buf);
extern void outbox_send_command(Relay *relay);
extern Request *outbox_expect_answer(Relay *relay, RequestKind kind,
									 RelayQueue *queue);
extern void outbox_drop_requests(Relay *relay);
extern void outbox_send_handshake(Relay *relay, const OutboxRedisUrl *url);
extern void outbox_send_cursor_request(Relay *relay, RelayQueue *queue);
extern void outbox_send_takeover(Relay *relay, RelayQueue *queue,
								 const RelayCursor *cursor,
								 OutboxPosition *pos,
								 int ndrop, const uint64 *drop);
extern void outbox_send_forget(Relay *relay, RelayQueue *queue);
extern void outbox_link_trouble(Relay *relay, const char *error);
extern void outbox_queue_error(Relay *relay, RelayQueue *queue,
							   const char *error);
extern void outbox_read_answers(Relay *relay);

/* batch.c: batches out, answers in. The batches in a transaction. */
extern bool outbox_needs_care(const RelayQueue *queue,
							  const OutboxMessage *msg, TimestampTz now);
extern bool outbox_send_batch(Relay *relay, RelayQueue *queue,
							  OutboxStaging *staging);
extern const char *outbox_tick_text(Relay *relay, RelayQueue *queue);
extern Request *outbox_expect_batch(Relay *relay, RequestKind kind,
									RelayQueue *queue);
extern void outbox_expect_position(RelayQueue *queue, const char *pos,
								   uint64 seq);
extern void outbox_messages_applied(Relay *relay, RelayQueue *queue,
									int count, TimestampTz oldest,
									TimestampTz newest);
extern void outbox_position_reached(Relay *relay, RelayQueue *queue,
									const Request *request);
extern void outbox_cursor_differs(RelayQueue *queue);
extern void outbox_apply_answer(Relay *relay, RelayQueue *queue,
								Request *request, const OutboxReply *reply);

/* the messages of a batch that the script is to try */
typedef struct CarefulBatch
{
	int			count;
	PlanEntry	entries[OUTBOX_BATCH_MESSAGES];
	bool		keyed[OUTBOX_BATCH_MESSAGES];
	uint64		hashes[OUTBOX_BATCH_MESSAGES];
	TimestampTz oldest;
	TimestampTz newest;
} CarefulBatch;

/*
 * skip.c: batches in which messages may be skipped. The batches in a
 * transaction, the answers in one of their own.
 */
extern bool outbox_may_go_carefully(RelayQueue *queue, TimestampTz now);
extern void outbox_send_careful(Relay *relay, RelayQueue *queue,
								OutboxStaging *staging);
extern void outbox_careful_answer(Relay *relay, RelayQueue *queue,
								  Request *request, const OutboxReply *reply);
extern void outbox_careful_begin(Relay *relay, CarefulBatch *batch);
extern void outbox_careful_add(Relay *relay, RelayQueue *queue,
							   CarefulBatch *batch, const OutboxMessage *msg,
							   const PlanEntry *entry);
extern void outbox_careful_call(Relay *relay, RelayQueue *queue,
								const char *mode, const char *pos, uint64 seq);
extern void outbox_careful_sent(Relay *relay, Request *request,
								const CarefulBatch *batch, int skipped);
extern uint64 outbox_failed_seq(const OutboxReply *reply, int n);
extern const char *outbox_failed_error(const OutboxReply *reply, int n);
extern void outbox_pause_after_failure(Relay *relay, RelayQueue *queue,
									   TimestampTz begin);

/* retry.c: skipped messages, tried again. Likewise. */
extern bool outbox_wants_again(RelayQueue *queue, TimestampTz now);
extern void outbox_send_again(Relay *relay, RelayQueue *queue);
extern void outbox_let_next_go(RelayQueue *queue, const uint64 *hashes, int n,
							   TimestampTz now);
extern void outbox_again_done(Relay *relay, RelayQueue *queue,
							  Request *request, const OutboxReply *reply,
							  int nfailed);

/* failure.c: what becomes of a message that failed. In a transaction. */
extern bool outbox_lock_failures(void);
extern bool outbox_key_is_held(const RelayQueue *queue,
							   const OutboxMessage *msg);
extern uint64 outbox_key_hash(const struct varlena *key);
extern void outbox_hold_key(RelayQueue *queue, uint64 hash, int64 count);
extern void outbox_release_key(RelayQueue *queue, uint64 hash);
extern void outbox_forget_keys(RelayQueue *queue);
extern void outbox_message_behind(RelayQueue *queue, const OutboxMessage *msg);
extern bool outbox_message_refused(RelayQueue *queue, OutboxMessage *msg,
								   const char *error, bool held,
								   TimestampTz now);
extern void outbox_message_expired(RelayQueue *queue, OutboxMessage *msg,
								   TimestampTz now);
extern TimestampTz outbox_message_returned(RelayQueue *queue,
										   OutboxMessage *msg,
										   const char *error, bool is_dead,
										   TimestampTz now);

/* streams.c: streams in which consumers answer. In transactions of its own. */
#define OUTBOX_CONSUMER_STREAMS 2

extern char *outbox_consumer_key(const RelayQueue *queue, int which);
extern TimestampTz outbox_consumers_due(Relay *relay);
extern void outbox_read_consumers(Relay *relay, TimestampTz now);
extern void outbox_consumer_answer(Relay *relay, RelayQueue *queue,
								   Request *request, const OutboxReply *reply);
extern void outbox_forget_streams(RelayQueue *queue);

/* returned.c: what becomes of what they return. In a transaction. */
extern bool outbox_lock_returned(void);
extern void outbox_take_returned(Relay *relay, RelayQueue *queue,
								 const OutboxReply *fields, const char *where,
								 bool is_dead, TimestampTz now);
extern void outbox_forget_messages(int32 queue, Datum *ids, int n);

/* ... in one of its own */
extern void outbox_forget_returned(Relay *relay, TimestampTz now);

/* reconcile.c: the skip list and the tables. In transactions of its own. */
extern bool outbox_reconcile(RelayQueue *queue, const RelayCursor *cursor,
							 const OutboxPosition *pos, bool older,
							 int *ndrop, uint64 **drop);

/* totals.c: what is shown of queues. In a transaction. */
extern void outbox_read_totals(RelayQueue *queue);
extern void outbox_write_totals(Relay *relay, TimestampTz now, bool all);
extern void outbox_count_deferred(Relay *relay);
extern bool outbox_anything_deferred(void);

/* evacuate.c: what a standing queue has in staging. Own transactions. */
extern bool outbox_stands_still(const RelayQueue *queue);
extern bool outbox_evacuate(Relay *relay, int table, bool rest);
extern void outbox_purge(Relay *relay, TimestampTz now);

/* connect.c: the connection as a whole, up and down. */
extern void outbox_run_link(Relay *relay, TimestampTz now);
extern void outbox_link_down(Relay *relay, TimestampTz now);
extern void outbox_link_well(Relay *relay);
extern void outbox_link_changed(Relay *relay);
extern void outbox_hold(Relay *relay, OutboxRelayState state,
						const char *why);

/* recover.c: a queue's cursor, as Redis has it; queues that stand still. */
extern void outbox_recover_queue(Relay *relay, RelayQueue *queue,
								 const OutboxReply *reply);
extern void outbox_block_queue(Relay *relay, RelayQueue *queue, uint64 seq,
							   const char *error);
extern void outbox_stop_queue(RelayQueue *queue);
extern void outbox_queue_flows(Relay *relay, RelayQueue *queue,
							   OutboxPosition *pos, uint64 count);

/* rotate.c: empty staging tables, keep registers. In transactions of its own. */
extern void outbox_rotate(Relay *relay, TimestampTz now);
extern void outbox_read_registers(Relay *relay);
extern void outbox_write_registers(Relay *relay);

/* attach.c: whose relay this is */
extern OutboxSlot *outbox_relay_attach(const OutboxRelayArgs *args);
extern void outbox_relay_leave(Relay *relay);
extern void outbox_fix_settings(void);
extern void outbox_read_relay_state(Relay *relay);

/* wait.c: until there is something to do. In no transaction. */
extern void outbox_wait_for_work(Relay *relay, TimestampTz chores_at);

/* relay.c: the loop, and its transactions */
extern bool outbox_may_send(Relay *relay);
extern void outbox_begin_step(void);
extern void outbox_end_step(void);

extern PGDLLEXPORT void outbox_relay_main(Datum main_arg);

#endif							/* OUTBOX_RELAY_H */
