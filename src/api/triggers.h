/*-------------------------------------------------------------------------
 *
 * triggers.h
 *	  Our triggers on users' tables: make and drop them.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: what captures and Watermill's forwarding have in common.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: results are palloc'ed in the current context.
 * Errors: UNDEFINED_FUNCTION, INSUFFICIENT_PRIVILEGE, those of the commands.
 * Locks: ShareRowExclusiveLock on a table that gets a trigger, and the locks of
 *	  the commands, to the transaction's end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_TRIGGERS_H
#define OUTBOX_TRIGGERS_H

#include "outbox.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

/* returns the trigger function with this name in the called function's schema */
extern Oid	outbox_trigger_function(FunctionCallInfo fcinfo, const char *name);

/* return names, qualified and quoted */
extern char *outbox_function_name(Oid function);
extern char *outbox_relation_name(Relation rel);
extern char *outbox_operator_name(Oid operator);

/*
 * Open and lock a table to make a trigger on it.  The right to do that is
 * checked before the table is locked.
 */
extern Relation outbox_open_for_trigger(Oid relid);

/* run a command such as CREATE TRIGGER, with the caller's rights */
extern void outbox_run_command(const char *command);

/* has the trigger this function and first argument?  NULL fits any argument */
extern bool outbox_is_trigger(const Trigger *trigger, Oid function,
							  const char *first_arg);

/* returns the OIDs of all tables with such a trigger; clones do not count */
extern List *outbox_tables_with_trigger(Oid function, const char *first_arg);

/* drop a table's triggers of this kind; returns false if there are none */
extern bool outbox_drop_triggers(Oid relid, Oid function,
								 const char *first_arg);

#endif							/* OUTBOX_TRIGGERS_H */
