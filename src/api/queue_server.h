/*-------------------------------------------------------------------------
 *
 * queue_server.h
 *	  The server of a queue.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: check the server that a queue is to have; make the queue's view depend
 *	  on it.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: none.
 * Errors: UNDEFINED_OBJECT, INSUFFICIENT_PRIVILEGE.
 * Locks: those that are held while a row of a catalog is read or written.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_QUEUE_SERVER_H
#define OUTBOX_QUEUE_SERVER_H

#include "outbox.h"

/*
 * An error if there is no server of this name, or the caller may not use it.
 * Returns the name as outbox.queue has it: NULL for the default server.
 */
extern const char *outbox_check_server(const char *name);

/* DROP SERVER tells that the view depends on these; either may be NULL */
extern void outbox_depend_on_servers(Oid view, const char *server,
									 const char *moving_from);

#endif							/* OUTBOX_QUEUE_SERVER_H */
