/*-------------------------------------------------------------------------
 *
 * latency.h
 *	  Quantiles of the recent past, in constant memory.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: how long messages took, to within a tenth.
 * Process: relay. Pure: the clock is an argument.
 * Transaction: none needed.
 * Memory: the caller's struct, zeroed.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_LATENCY_H
#define OUTBOX_LATENCY_H

#include "outbox.h"

#define OUTBOX_LATENCY_BUCKETS	128

typedef struct OutboxLatency
{
	TimestampTz since;			/* when the newer half began */
	uint64		total[2];
	uint32		buckets[2][OUTBOX_LATENCY_BUCKETS];
} OutboxLatency;

/* count messages took this number of microseconds each */
extern void outbox_latency_add(OutboxLatency *latency, TimestampTz now,
							   int64 us, uint32 count);

/* microseconds that this part (0 to 1) of the messages took at most; -1: none */
extern int64 outbox_latency_quantile(OutboxLatency *latency, TimestampTz now,
									 double part);

#endif							/* OUTBOX_LATENCY_H */
