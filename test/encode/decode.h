/*-------------------------------------------------------------------------
 *
 * decode.h
 *	  What the encoders write, read again, for tests.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: decoders that share no code with src, and are strict: each knows
 *	  one encoding of a value only, the shortest.
 * Process: backend.
 * Transaction: none needed.
 * Memory: results point into what is decoded; arrays are palloc'ed.
 * Errors: DATA_CORRUPTED, and what is wrong.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DECODE_H
#define DECODE_H

#include "outbox.h"

#include "targets/target.h"

typedef struct Pair
{
	OutboxBytes name;
	OutboxBytes value;
} Pair;

/* asynq.TaskMessage */
typedef struct Task
{
	OutboxBytes texts[16];		/* by the field's number */
	int64		integers[16];
	int			npairs;			/* field 15 */
	Pair	   *pairs;
} Task;

extern OutboxBytes *decode_resp(const char *data, size_t len, int *count);
extern void decode_task(OutboxBytes in, Task *task);
extern Pair *decode_msgpack(OutboxBytes in, int *npairs);

#endif							/* DECODE_H */
