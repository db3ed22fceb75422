/*-------------------------------------------------------------------------
 *
 * capture_settings.h
 *	  What a capture's messages have in them.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: read the argument "settings" of outbox_capture(), which its triggers
 *	  have, too.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: none is kept.
 * Errors: INVALID_PARAMETER_VALUE.
 * Locks: none.
 *
 * What can be added to a capture later becomes a key here, since another argument
 * would break calls and grants.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CAPTURE_SETTINGS_H
#define OUTBOX_CAPTURE_SETTINGS_H

#include "outbox.h"

/* which old values a message has */
typedef enum OutboxOldValues
{
	OUTBOX_OLD_ALL,
	OUTBOX_OLD_CHANGED,			/* of an update those that it has changed */
	OUTBOX_OLD_NONE
} OutboxOldValues;

/* what becomes of a row that is too large for a message */
typedef enum OutboxTooLarge
{
	OUTBOX_TOO_LARGE_OMIT,		/* its largest columns are left out */
	OUTBOX_TOO_LARGE_KEY,		/* all columns are, but for the key */
	OUTBOX_TOO_LARGE_FAIL		/* the statement that writes it fails */
} OutboxTooLarge;

typedef struct OutboxCaptureSettings
{
	OutboxOldValues old;
	bool		unchanged;		/* an update has what it has not changed, too */
	bool		bigint_text;	/* values of bigint are strings */
	bool		numeric_text;	/* those of numeric are */
	OutboxTooLarge too_large;
	bool		too_large_given;
} OutboxCaptureSettings;

/* returns the settings; given is jsonb, or NULL for none */
extern OutboxCaptureSettings outbox_read_capture_settings(const struct varlena *given);

#endif							/* OUTBOX_CAPTURE_SETTINGS_H */
