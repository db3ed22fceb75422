/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  The settings of a queue that have no argument of their own.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: read the argument "settings" of outbox_create_queue() and
 *	  outbox_alter_queue().
 * Process: backend.
 * Transaction: the caller's.
 * Memory: palloc'ed in the current context.
 * Errors: INVALID_PARAMETER_VALUE.
 * Locks: none.
 *
 * What can be added to a queue later becomes a key here, since another argument
 * would break calls and grants.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SETTINGS_H
#define OUTBOX_SETTINGS_H

#include "outbox.h"

typedef struct OutboxSettings
{
	const char *payload_type;	/* a type's name; NULL if not given */
	bool		has_fields;		/* given, maybe as null or [] */
	int			fields;			/* OUTBOX_FIELD_..., added up */
	int			partitions;		/* 0 if not given */

	bool		has_server;
	const char *server;			/* NULL: the default one */

	/* of outbox_alter_queue(), as the other function has arguments */
	bool		server_force;	/* do without the old server */
	const char *name;
	const char *target;
	const char *redis_key;
	const char *format;
} OutboxSettings;

/* returns the settings; they are jsonb, or NULL for none */
extern OutboxSettings outbox_read_settings(const struct varlena *settings, bool alter);

/* returns fields as an array of text, for a statement; 0 for none */
extern Datum outbox_fields_array(int fields);

#endif							/* OUTBOX_SETTINGS_H */
