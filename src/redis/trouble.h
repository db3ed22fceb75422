/*-------------------------------------------------------------------------
 *
 * trouble.h
 *	  Why a connection has failed, and what can be done about it.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: let whoever notices say so to whoever logs it.
 * Process: relay.
 * Transaction: none needed.
 * Memory: none of its own.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_TROUBLE_H
#define OUTBOX_TROUBLE_H

#include "redis/errors.h"

/* longer texts are cut */
#define OUTBOX_TROUBLE_SIZE	256

typedef struct RedisTrouble
{
	char		text[OUTBOX_TROUBLE_SIZE];
	const char *hint;			/* what the operator can do; or NULL */
} RedisTrouble;

/* returns false, for callers that do so when there is trouble */
static inline bool
outbox_trouble(RedisTrouble *trouble, const char *text, const char *hint)
{
	outbox_clean_error(trouble->text, text, OUTBOX_TROUBLE_SIZE);
	trouble->hint = hint;
	return false;
}

#endif							/* OUTBOX_TROUBLE_H */
