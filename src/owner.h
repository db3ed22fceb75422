/*-------------------------------------------------------------------------
 *
 * owner.h
 *	  Work on our tables with the rights of their owner, and no others.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: whatever somebody has attached to our tables must not run with the
 *	  rights of a caller or of the relay.
 * Process: backend and relay.
 * Transaction: the caller's.  If it is aborted, user and settings are as before.
 * Memory: none.
 * Errors: OBJECT_NOT_IN_PREREQUISITE_STATE if our relations have several
 *	  owners.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_OWNER_H
#define OUTBOX_OWNER_H

#include "outbox.h"

/* the search path of all our statements */
#define OUTBOX_SEARCH_PATH "pg_catalog, pg_temp"

/*
 * Settings, their values meanwhile: what would print the parameters of our
 * statements, payload and key, doesn't.  Some are of libraries that may not be
 * there.
 */
typedef struct OutboxSetting
{
	const char *name;
	const char *value;
} OutboxSetting;

extern const OutboxSetting outbox_quiet_settings[];
extern const int outbox_n_quiet_settings;

/* who was at work before */
typedef struct OutboxCaller
{
	Oid			user;
	int			context;
	int			nestlevel;		/* of settings */
} OutboxCaller;

/* become the owner of our tables */
extern void outbox_become_owner(OutboxCaller *caller);

/* run what may be the code of this role, with no more than its rights */
extern void outbox_become_lesser(OutboxCaller *caller, Oid role);

/* undo what has been set meanwhile; then be who was at work before */
extern void outbox_restore_settings(const OutboxCaller *caller);
extern void outbox_restore_user(const OutboxCaller *caller);

/* both */
extern void outbox_become_caller(const OutboxCaller *caller);

#endif							/* OUTBOX_OWNER_H */
