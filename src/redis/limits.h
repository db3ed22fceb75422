/*-------------------------------------------------------------------------
 *
 * limits.h
 *	  How large a reply of Redis may be.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: refuse a reply that can be no answer before memory is spent on it.
 * Process: relay.
 * Transaction: none needed.
 * Memory: an OutboxReplyGuard is the connection's.
 * Errors: none thrown: hiredis's reader fails, and outbox_guard_complaint()
 *	  says why.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_LIMITS_H
#define OUTBOX_LIMITS_H

#include "outbox.h"

/* what a reply has at most, all its parts together */
typedef struct OutboxReplyLimits
{
	int			depth;			/* arrays within arrays; 0: it is no array */
	uint64		elements;		/* of all its arrays */
	uint64		bytes;			/* of all its strings, and of one unfinished */
} OutboxReplyLimits;

typedef struct OutboxReplyGuard OutboxReplyGuard;

struct redisReader;

/* a guard, in the current memory context */
extern OutboxReplyGuard *outbox_guard_make(void);

/* a new reader is to be guarded; what was read before is forgotten */
extern void outbox_guard_reader(OutboxReplyGuard *guard,
								struct redisReader *reader);

/* the limits of the reply that is being read, or is read next */
extern void outbox_guard_limits(OutboxReplyGuard *guard,
								const OutboxReplyLimits *limits);

/* the reply is complete: the next one begins */
extern void outbox_guard_next(OutboxReplyGuard *guard);

/*
 * What the reply has too much of, NULL if nothing; also by the bytes that the
 * reader could make nothing of yet.
 */
extern const char *outbox_guard_complaint(OutboxReplyGuard *guard,
										  const struct redisReader *reader);

#endif							/* OUTBOX_LIMITS_H */
