/*-------------------------------------------------------------------------
 *
 * server_run.h
 *	  Which run of which server this is.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: tell one life of shared memory from every other one, also from
 *	  those of copies of this server.
 * Process: all.  The postmaster makes the run, relays and CREATE EXTENSION
 *	  describe it.
 * Transaction: none needed.
 * Memory: shared; a description is the caller's.
 * Errors: a WARNING if a restored backup can't be marked as such.
 * Locks: none; the run does not change in its life.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SERVER_RUN_H
#define OUTBOX_SERVER_RUN_H

#include "outbox.h"

#include "access/xlogdefs.h"
#include "port/atomics.h"

/* 64 random bits in hex, and \0 */
#define OUTBOX_RUN_ID_SIZE	17

/* boot id, device and inode of the data directory, and \0 */
#define OUTBOX_PLACE_SIZE	96

/* a run's id, a dot, the number of a connection, and \0 */
#define OUTBOX_TOKEN_SIZE	(OUTBOX_RUN_ID_SIZE + 21)

/* what shared memory has of this server's run */
typedef struct OutboxRunShared
{
	char		id[OUTBOX_RUN_ID_SIZE];
	char		place[OUTBOX_PLACE_SIZE];
	char		restored[OUTBOX_RUN_ID_SIZE];	/* the run in which this data
												 * directory was restored from
												 * a backup; "": in none */
	XLogRecPtr	shutdown;		/* checkpoint of a clean shutdown before */
	pg_atomic_uint64 connections;	/* that relays have made */
} OutboxRunShared;

/* a run of a server, as outbox.run has it */
typedef struct OutboxRun
{
	char		id[OUTBOX_RUN_ID_SIZE];
	uint64		system;			/* the system identifier of pg_control */
	TimeLineID	timeline;
	XLogRecPtr	start;			/* where its WAL begins */
	char		place[OUTBOX_PLACE_SIZE];	/* where its data directory is */
} OutboxRun;

/* make the run of this shared memory; in the postmaster */
extern void outbox_run_init(OutboxRunShared *run);

/* describe the run; recovery must have ended */
extern void outbox_run_describe(const OutboxRunShared *shared, OutboxRun *run);

/* a token that no other connection of any server has or had */
extern void outbox_run_token(OutboxRunShared *shared, char *token);

#endif							/* OUTBOX_SERVER_RUN_H */
