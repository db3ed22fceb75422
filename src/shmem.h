/*-------------------------------------------------------------------------
 *
 * shmem.h
 *	  What relays, launcher and backends share.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: one slot for each database with a relay: which process commits wake,
 *	  and what the status views show.
 * Process: all.  outbox_shared is NULL where the library is not preloaded.
 * Transaction: none needed.
 * Memory: shared, sized at postmaster start.  It holds no pointers.
 * Errors: none thrown.
 * Locks: as noted at each group of fields.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SHMEM_H
#define OUTBOX_SHMEM_H

#include "outbox.h"

#include "port/atomics.h"
#include "server_run.h"
#include "storage/dsm.h"
#include "storage/lwlock.h"

/* requests for relays that the launcher has not taken yet */
#define OUTBOX_MAX_REQUESTS		64

/* databases and processes that keep relays away from them */
#define OUTBOX_MAX_AWAY			64

/* commands of a Redis (8.6 has 275 without modules); if it has more, none is known */
#define OUTBOX_MAX_COMMANDS		2048

/* servers of one database that are shown; there may be more */
#define OUTBOX_MAX_SERVERS		64

#define OUTBOX_TEXT_SIZE		256
#define OUTBOX_QUEUE_TEXT_SIZE	160

/* of a cursor's position, as text; one with many transactions in it is longer */
#define OUTBOX_POSITION_SIZE	256
#define OUTBOX_POSITION_TOO_LONG "-"

#define OUTBOX_NOBODY			PG_UINT32_MAX

typedef enum OutboxRelayState
{
	OUTBOX_NOT_RUNNING,
	OUTBOX_STARTING,
	OUTBOX_RUNNING,
	OUTBOX_WAITING_FOR_REDIS,
	OUTBOX_WAITING_FOR_STANDBY,
	OUTBOX_HELD,
	OUTBOX_FENCED,
	OUTBOX_DISABLED
} OutboxRelayState;

/* bits of OutboxSlot.told */
#define OUTBOX_TOLD_QUEUES	1
#define OUTBOX_TOLD_STATE	2

/* why a relay has ended */
typedef enum OutboxOutcome
{
	OUTBOX_OUTCOME_NONE,		/* it has not ended */
	OUTBOX_OUTCOME_FAILED,		/* an error */
	OUTBOX_OUTCOME_TOLD,		/* somebody has told it to end */
	OUTBOX_OUTCOME_AWAY,		/* ... who wants it to be away from the
								 * database */
	OUTBOX_OUTCOME_NOT_NEEDED	/* the database does not have the extension */
} OutboxOutcome;

typedef enum OutboxQueueState
{
	OUTBOX_QUEUE_STARTING,		/* its cursor has not been read yet */
	OUTBOX_QUEUE_FLOWING,
	OUTBOX_QUEUE_BLOCKED,		/* Redis refuses its messages */
	OUTBOX_QUEUE_WAITING,		/* its server is away */
	OUTBOX_QUEUE_PAUSED
} OutboxQueueState;

/*
 * What the relay does in a turn of its loop, see relay/base/turn.h; the names
 * are in api/turns.c.
 */
typedef enum OutboxStep
{
	OUTBOX_STEP_OTHER,
	OUTBOX_STEP_SETTINGS,		/* the server's configuration is read */
	OUTBOX_STEP_QUEUES,			/* the list of queues is read */
	OUTBOX_STEP_LINK,			/* bytes are sent and read */
	OUTBOX_STEP_ANSWERS,		/* ... and dealt with */
	OUTBOX_STEP_REFUSALS,		/* answers that are recorded in the tables */
	OUTBOX_STEP_CURSORS,		/* cursors are asked for */
	OUTBOX_STEP_RECONCILE,		/* the tables are compared with a cursor */
	OUTBOX_STEP_DELAYED,		/* delayed messages are staged */
	OUTBOX_STEP_CONSUMERS,		/* consumers' streams are asked for */
	OUTBOX_STEP_PLAN,			/* rows to be sent are found */
	OUTBOX_STEP_BATCHES,		/* ... and sent */
	OUTBOX_STEP_RETRIES,		/* refused messages are sent again */
	OUTBOX_STEP_RESEND,			/* delivered messages are staged again */
	OUTBOX_STEP_BACKLOG,		/* waiting messages are counted */
	OUTBOX_STEP_COUNTS,			/* deferred messages are counted */
	OUTBOX_STEP_PURGE,			/* rows that were kept long enough go */
	OUTBOX_STEP_TOTALS,			/* totals and registers are written */
	OUTBOX_STEP_ROTATION,		/* staging is evacuated and emptied */
	OUTBOX_STEPS
} OutboxStep;

/* a long turn of the relay's loop */
typedef struct OutboxTurn
{
	int64		us;				/* how long, by one of two clocks; 0: none */
	TimestampTz at;				/* when it ended */
	int32		queue;			/* the last one it worked for, or 0 */
	int64		rows;			/* how many rows or messages it went through */
} OutboxTurn;

/* the longest turns that a step has taken most of */
typedef struct OutboxLongest
{
	OutboxTurn	cpu;			/* by the CPU time of the relay */
	OutboxTurn	wall;			/* by the monotonic clock */
} OutboxLongest;

/* what the relay publishes about a queue's partition */
typedef struct OutboxPublished
{
	int32		queue;			/* its id, also for a partition */
	int			partition;		/* negative: all of them together */
	OutboxQueueState state;
	TimestampTz since;
	int64		waiting;		/* staged or evacuated, not covered */
	int64		delayed;		/* not due yet */
	int64		retrying;		/* skipped: refused, or waiting behind those */
	int64		dead;			/* dead letters now */
	TimestampTz oldest;			/* enqueued_at of a waiting one; 0: none */
	uint64		delivered;		/* totals */
	uint64		failed;
	uint64		dead_lettered;
	uint64		expired;
	TimestampTz last_success;	/* 0: never */
	TimestampTz last_error_at;	/* 0: never */
	int64		latency_p50;	/* microseconds; -1: not known */
	int64		latency_p99;
	char		why[OUTBOX_QUEUE_TEXT_SIZE];
	char		last_error[OUTBOX_QUEUE_TEXT_SIZE];
	char		position[OUTBOX_POSITION_SIZE]; /* what Redis has
												 * acknowledged; empty: not
												 * known, or too long */
	uint64		position_seq;
} OutboxPublished;

/* what the relay publishes about a server that queues have */
typedef struct OutboxShownServer
{
	char		name[NAMEDATALEN];	/* empty: that of outbox.redis_url */
	char		address[OUTBOX_TEXT_SIZE];
	OutboxRelayState state;
	TimestampTz since;
	char		why[OUTBOX_TEXT_SIZE];
	char		last_error[OUTBOX_TEXT_SIZE];
	TimestampTz last_error_at;	/* 0: never */
	TimestampTz last_success;	/* 0: never */
	int			queues;
	int64		waiting;		/* messages of these */
	uint64		delivered;
} OutboxShownServer;

/* which commands Redis has, see server_commands.c */
typedef struct OutboxServerCommand
{
	uint32		hash;			/* of the name in lower case */
	int16		arity;			/* as COMMAND has it; negative: at least */
	bool		noscript;		/* scripts may not call it */
	int16		first_key;		/* which arguments are keys; 0: none, or that */
	int16		last_key;		/* ... depends; negative: from the end */
	int16		key_step;
} OutboxServerCommand;

typedef struct OutboxServerCommands
{
	int			count;			/* 0: not known */
	OutboxServerCommand command[OUTBOX_MAX_COMMANDS];
} OutboxServerCommands;

/*
 * What a backend has the relay ask Redis: see api/cursors.c.
 */
#define OUTBOX_ERRAND_KEY	520 /* a name of a cursor, and \0 */
#define OUTBOX_ERRAND_SIZE	(64 * 1024)

typedef enum OutboxErrandKind
{
	OUTBOX_ERRAND_FIND,			/* cursors, from the place in arg on; of a
								 * cluster's node key */
	OUTBOX_ERRAND_REMOVE		/* the cursor key if its mark is arg */
} OutboxErrandKind;

typedef struct OutboxErrand
{
	int			pid;			/* whose it is; 0: there is none */
	uint32		procno;
	uint32		number;			/* not 0: of this errand */
	bool		is_done;
	OutboxErrandKind kind;
	char		server[NAMEDATALEN];	/* whom to ask; empty: the default */
	char		key[OUTBOX_ERRAND_KEY];
	char		arg[OUTBOX_TEXT_SIZE];
	char		error[OUTBOX_TEXT_SIZE];
	char		node[OUTBOX_ERRAND_KEY];	/* of a cluster, that was asked;
											 * empty: it is none */
	char		next[OUTBOX_ERRAND_KEY];	/* the node to be asked then;
											 * empty: none */
	int			size;
	char		data[OUTBOX_ERRAND_SIZE];	/* elements with \0 at their ends */
} OutboxErrand;

typedef struct OutboxSlot
{
	/* no lock: read by every commit that enqueued */
	pg_atomic_uint32 database;	/* 0: the slot is free */
	pg_atomic_uint32 procno;	/* the relay's, or OUTBOX_NOBODY */
	pg_atomic_uint32 deaf;		/* commits need not wake the relay */
	pg_atomic_uint32 told;		/* queues or the extension have changed */
	pg_atomic_uint32 staging_current;	/* the table for new rows */
	pg_atomic_uint64 due;		/* the earliest due_at that commits have given
								 * since the relay looked; PG_UINT64_MAX: none */

	/* no lock: written by the relay, read by backends */
	pg_atomic_uint64 waiting;
	pg_atomic_uint64 oldest;	/* TimestampTz, or 0 */
	pg_atomic_uint64 delivered;
	pg_atomic_uint64 last_success;	/* TimestampTz, or 0 */
	pg_atomic_uint64 backlog_counts;	/* how often it was counted */
	pg_atomic_uint32 count_wanted;	/* a backend waits for the next count */
	pg_atomic_uint32 errand_wanted; /* ... for the answer to its errand */

	/* OutboxShared.lock */
	int			pid;			/* the relay's, or 0 */
	uint32		generation;		/* only this worker may use the slot */
	OutboxOutcome outcome;
	OutboxRelayState state;
	TimestampTz since;
	char		why[OUTBOX_TEXT_SIZE];
	char		last_error[OUTBOX_TEXT_SIZE];
	TimestampTz last_error_at;
	char		server[NAMEDATALEN];	/* that gets the messages; empty: see
										 * address */
	char		address[OUTBOX_TEXT_SIZE];	/* of it; empty: not known yet */
	char		staging_kept_by[OUTBOX_TEXT_SIZE];	/* empty: nobody */
	TimestampTz staging_kept_since;
	char		replicas_behind[OUTBOX_TEXT_SIZE];	/* what is wrong; empty:
													 * they have what is
													 * wanted */
	TimestampTz replicas_behind_since;
	OutboxLongest longest[OUTBOX_STEPS];	/* the relay reads it without lock */
	int			npublished;		/* -1: unknown */
	dsm_handle	published;		/* so many OutboxPublished, see
								 * published_places.h */
	TimestampTz published_at;
	TimestampTz totals_at;		/* outbox.queue_total was complete; 0: not
								 * known */
	int			nservers;		/* maybe more than fit */
	OutboxShownServer servers[OUTBOX_MAX_SERVERS];
	OutboxServerCommands server_commands;
	OutboxErrand errand;
} OutboxSlot;

/* a database that may have no relay, and the process that wants it so */
typedef struct OutboxAway
{
	Oid			database;
	int			pid;
} OutboxAway;

typedef struct OutboxShared
{
	LWLock	   *lock;
	pg_atomic_uint32 launcher_procno;
	OutboxRunShared run;		/* see server_run.h */

	/* lock */
	TimestampTz no_worker_since;	/* databases wait for a worker; 0: none
									 * does */
	bool		scan_wanted;	/* pg_database has changed */
	int			naway;
	OutboxAway	away[OUTBOX_MAX_AWAY];
	int			nrequests;
	bool		overflow;		/* there were more requests than fit */
	Oid			requests[OUTBOX_MAX_REQUESTS];

	int			nslots;
	OutboxSlot	slots[FLEXIBLE_ARRAY_MEMBER];
} OutboxShared;

extern OutboxShared *outbox_shared;

/* ask for shared memory; only from _PG_init() of a preloaded library */
extern void outbox_shmem_init_hooks(void);

/* returns the slot of a database, or NULL; InvalidOid finds a free slot */
extern OutboxSlot *outbox_find_slot(Oid database);

/* set the latch of this process, unless it is OUTBOX_NOBODY */
extern void outbox_wake_procno(uint32 procno);

/* ask the launcher to see whether this database needs a relay */
extern void outbox_request_relay(Oid database);

/* ask the launcher to read pg_database */
extern void outbox_request_scan(void);

/* lower slot->due to this time; returns false if it was that early already */
extern bool outbox_lower_due(OutboxSlot *slot, TimestampTz due);

/* record the relay's state and the reason for it, or NULL */
extern void outbox_set_state(OutboxSlot *slot, OutboxRelayState state,
							 const char *why);

/* record the last error, with the time of now */
extern void outbox_set_error(OutboxSlot *slot, const char *error);

#endif							/* OUTBOX_SHMEM_H */
