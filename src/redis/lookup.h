/*-------------------------------------------------------------------------
 *
 * lookup.h
 *	  Look the name of a host up, without waiting.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: getaddrinfo() that never stops the relay.
 * Process: relay.
 * Transaction: none needed.
 * Memory: malloc'ed, until outbox_lookup_abandon(); what is still looked up then
 *	  is freed by the thread that does it.
 * Errors: none thrown.
 * Locks: a mutex between the relay and the thread, held for moments.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_LOOKUP_H
#define OUTBOX_LOOKUP_H

#include "outbox.h"

#include "redis/trouble.h"

struct addrinfo;

typedef struct RedisLookup RedisLookup;

/* begin to look a name up; NULL if that can't be begun */
extern RedisLookup *outbox_lookup_begin(const char *name, int port,
										RedisTrouble *trouble);

/* does it look this name up, and has it begun lately? */
extern bool outbox_lookup_is_of(const RedisLookup *lookup, const char *name,
								int port);

/* readable when it is done */
extern pgsocket outbox_lookup_socket(const RedisLookup *lookup);

extern bool outbox_lookup_is_done(RedisLookup *lookup);

/*
 * Returns the addresses of a lookup that is done, which are part of it; NULL if
 * there are none.
 */
extern const struct addrinfo *outbox_lookup_result(RedisLookup *lookup,
												   RedisTrouble *trouble);

/* its result isn't needed any more, or will not be */
extern void outbox_lookup_abandon(RedisLookup *lookup);

#endif							/* OUTBOX_LOOKUP_H */
