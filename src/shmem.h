/*-------------------------------------------------------------------------
 *
 * shmem.h
 *	  What relays, launcher and backends share.
 *
 * Purpose: one slot for each database with a relay: whom to wake, how it is.
 * Process: all.  outbox_shared is NULL where the library isn't preloaded.
 * Transaction: none needed.
 * Memory: shared, sized at postmaster start.  No pointers in it.
 * Errors: none thrown.
 * Locks: as noted at each group of fields.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SHMEM_H
#define OUTBOX_SHMEM_H

#include "outbox.h"

#include "port/atomics.h"
#include "storage/lwlock.h"

/* the queues of one database whose backlog is known outside the relay */
#define OUTBOX_MAX_PUBLISHED	1024

/* starts of relays that backends have asked for and the launcher not seen */
#define OUTBOX_MAX_REQUESTS		64

#define OUTBOX_TEXT_SIZE		256
#define OUTBOX_QUEUE_TEXT_SIZE	160

#define OUTBOX_NOBODY			PG_UINT32_MAX

typedef enum OutboxRelayState
{
	OUTBOX_NOT_RUNNING,
	OUTBOX_STARTING,
	OUTBOX_RUNNING,
	OUTBOX_WAITING_FOR_REDIS,
	OUTBOX_HELD,
	OUTBOX_FENCED
} OutboxRelayState;

/* why a relay has ended */
typedef enum OutboxOutcome
{
	OUTBOX_OUTCOME_NONE,		/* it hasn't */
	OUTBOX_OUTCOME_EXITED,		/* error or signal: start it again */
	OUTBOX_OUTCOME_NOT_NEEDED	/* the database hasn't got the extension */
} OutboxOutcome;

/* how a queue is */
typedef enum OutboxQueueState
{
	OUTBOX_QUEUE_STARTING,		/* its cursor has not been read yet */
	OUTBOX_QUEUE_FLOWING,
	OUTBOX_QUEUE_BLOCKED,		/* Redis refuses it */
	OUTBOX_QUEUE_PAUSED
} OutboxQueueState;

/* what is known of a queue outside the relay */
typedef struct OutboxPublished
{
	int32		queue;
	OutboxQueueState state;
	TimestampTz since;
	int64		waiting;		/* staged or evacuated, not covered */
	int64		delayed;		/* not due yet */
	int64		held;			/* skipped: refused, or behind one refused */
	int64		dead;			/* dead letters now */
	TimestampTz oldest;			/* of those waiting; 0: none */
	uint64		delivered;		/* totals */
	uint64		failed;
	uint64		dead_lettered;
	uint64		expired;
	TimestampTz last_success;	/* 0: never, like the next */
	TimestampTz last_error_at;
	int64		latency_p50;	/* microseconds; -1: nothing was delivered */
	int64		latency_p99;
	char		why[OUTBOX_QUEUE_TEXT_SIZE];
	char		last_error[OUTBOX_QUEUE_TEXT_SIZE];
} OutboxPublished;

typedef struct OutboxSlot
{
	/* no lock: read by every commit that enqueued */
	pg_atomic_uint32 database;	/* 0: the slot is free */
	pg_atomic_uint32 procno;	/* the relay's, or OUTBOX_NOBODY */
	pg_atomic_uint32 deaf;		/* Redis is away: commits needn't wake it */
	pg_atomic_uint32 told;		/* queues or extension have changed */
	pg_atomic_uint32 staging_current;	/* the table for new rows */
	pg_atomic_uint64 due;		/* the earliest due_at of messages that commits
								 * have deferred since the relay looked;
								 * PG_UINT64_MAX: none */

	/* no lock: written by the relay, read by the view */
	pg_atomic_uint64 waiting;
	pg_atomic_uint64 oldest;	/* TimestampTz, or 0 */
	pg_atomic_uint64 delivered;
	pg_atomic_uint64 last_success;	/* TimestampTz, or 0 */
	pg_atomic_uint64 censuses;	/* how often the backlog was counted */
	pg_atomic_uint32 census_wanted;

	/* OutboxShared.lock */
	int			pid;			/* the relay's, or 0 */
	uint32		generation;		/* of the worker that may use the slot */
	OutboxOutcome outcome;
	OutboxRelayState state;
	TimestampTz since;
	char		why[OUTBOX_TEXT_SIZE];
	char		last_error[OUTBOX_TEXT_SIZE];
	TimestampTz last_error_at;
	int			npublished;		/* -1: more queues than fit, or unknown */
	OutboxPublished published[OUTBOX_MAX_PUBLISHED];
} OutboxSlot;

typedef struct OutboxShared
{
	LWLock	   *lock;
	pg_atomic_uint32 launcher_procno;

	/* lock */
	int			nrequests;
	bool		overflow;		/* more were asked for than fit */
	Oid			requests[OUTBOX_MAX_REQUESTS];

	int			nslots;
	OutboxSlot	slots[FLEXIBLE_ARRAY_MEMBER];
} OutboxShared;

extern OutboxShared *outbox_shared;

extern void outbox_shmem_init_hooks(void);
extern OutboxSlot *outbox_find_slot(Oid database);
extern void outbox_wake_procno(uint32 procno);
extern void outbox_request_relay(Oid database);

/* a message is due then; true if the relay knew of no earlier one */
extern bool outbox_lower_due(OutboxSlot *slot, TimestampTz due);
extern void outbox_set_state(OutboxSlot *slot, OutboxRelayState state,
							 const char *why);
extern void outbox_set_error(OutboxSlot *slot, const char *error);

#endif							/* OUTBOX_SHMEM_H */
