/*-------------------------------------------------------------------------
 *
 * description.h
 *	  A job, described in JSON.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: read the description of a job, and find what is wrong with it.
 * Process: backend and relay.  Pure: no catalog, no socket.
 * Transaction: none needed.
 * Memory: values point into the payload; a fault is palloc'ed in the current
 *	  context.
 * Errors: none thrown; they are returned as text.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_DESCRIPTION_H
#define OUTBOX_DESCRIPTION_H

#include "outbox.h"

#include "targets/json_text.h"

/* more members than any description has */
#define OUTBOX_MAX_MEMBERS	16

/* no number of times, seconds or milliseconds is larger */
#define OUTBOX_MAX_COUNT	1000000000

typedef enum OutboxMemberKind
{
	OUTBOX_MEMBER_NAME,			/* a string that is not empty */
	OUTBOX_MEMBER_TEXT,
	OUTBOX_MEMBER_ARRAY,
	OUTBOX_MEMBER_OBJECT,
	OUTBOX_MEMBER_FLAG,			/* true or false */
	OUTBOX_MEMBER_COUNT,		/* an integer from 0 */
	OUTBOX_MEMBER_TTL,			/* the same, or -1 for no limit */
	OUTBOX_MEMBER_FLAG_OR_COUNT,
	OUTBOX_MEMBER_SECONDS,		/* a number greater than 0 */
	OUTBOX_MEMBER_TIME,			/* a point in time, see iso_time.h */
	OUTBOX_MEMBER_NAMES,		/* an array of these */
	OUTBOX_MEMBER_COUNTS		/* an array of these, not empty */
} OutboxMemberKind;

typedef struct OutboxMember
{
	const char *name;
	OutboxMemberKind kind;
	bool		needed;
	const struct OutboxDescription *nested; /* what is known of an object's
											 * members, or NULL */
} OutboxMember;

/* what the members of an object may be */
typedef struct OutboxDescription
{
	int			nmembers;
	OutboxMember members[OUTBOX_MAX_MEMBERS];
	const char *const *reserved;	/* other members that it may not have, up
									 * to a NULL; if NULL, it may have no
									 * others */
} OutboxDescription;

/*
 * Read a description.  values gets the text of each member, in the order of the
 * description's; data is NULL if it is not there, or null.  Returns NULL, or what
 * is wrong, in sentences that quote nothing of the payload.
 */
extern const char *outbox_read_description(const OutboxDescription *description,
										   OutboxBytes payload,
										   OutboxBytes *values);

#endif							/* OUTBOX_DESCRIPTION_H */
