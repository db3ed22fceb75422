/*-------------------------------------------------------------------------
 *
 * server_commands.h
 *	  The commands that the Redis at hand has.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: the relay keeps what the server told it; backends ask whether a
 *	  queue's commands are among them.
 * Process: relay, backend.
 * Transaction: none needed.
 * Memory: shared, in the database's slot.
 * Errors: none.
 * Locks: OutboxShared.lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SERVER_COMMANDS_H
#define OUTBOX_SERVER_COMMANDS_H

#include "outbox.h"

#include "shmem.h"

/* no command has a longer name */
#define OUTBOX_COMMAND_NAME		64

typedef enum OutboxCommandKnown
{
	OUTBOX_COMMANDS_NOT_KNOWN,	/* the relay could not ask the server */
	OUTBOX_COMMAND_MISSING,
	OUTBOX_COMMAND_FOUND
} OutboxCommandKnown;

/* keep what commands.lua has answered; NULL: the server did not say */
extern void outbox_keep_server_commands(OutboxSlot *slot, const char *answer);

/* look for a command; *found is filled in if it is there */
extern OutboxCommandKnown outbox_find_server_command(Oid database,
													 const char *name,
													 OutboxServerCommand *found);

#endif							/* OUTBOX_SERVER_COMMANDS_H */
