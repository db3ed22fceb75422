/*-------------------------------------------------------------------------
 *
 * server_status.h
 *	  The state of each server, from shared memory.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: read what the relay has published about servers.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: palloc'ed in the current context.
 * Errors: none.
 * Locks: OutboxShared.lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SERVER_STATUS_H
#define OUTBOX_SERVER_STATUS_H

#include "outbox.h"

#include "shmem.h"

/* a state, as the views call it */
extern const char *outbox_state_name(OutboxRelayState state);

/* what is published of servers, and of how many more nothing is */
extern OutboxShownServer *outbox_copy_servers(int *n, int *more);

/*
 * The state of the server of this name, as queues have it; OUTBOX_NOT_RUNNING if it
 * is not known.
 */
extern OutboxRelayState outbox_server_state(const char *name);

#endif							/* OUTBOX_SERVER_STATUS_H */
