/*-------------------------------------------------------------------------
 *
 * latency.c
 *	  Quantiles of the recent past, in constant memory.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Two histograms of a minute each are kept, the current one and the one
 * before.  Quantiles are taken from both, so they tell of the last one to two
 * minutes.  Bucket n counts latencies up to 10 * 1.2 ^ n microseconds, the last
 * bucket also all longer ones (more than a day).
 *
 *-------------------------------------------------------------------------
 */
#include "relay/base/latency.h"

#include <math.h>

#define HALF_US		INT64CONST(60000000)
#define FIRST_US	10.0
#define WIDTH		1.2

static void
turn(OutboxLatency *latency, TimestampTz now)
{
	int64		age = now - latency->since;

	if (age >= 0 && age < HALF_US)
		return;
	if (age >= 0 && age < 2 * HALF_US)
	{
		memcpy(latency->buckets[1], latency->buckets[0],
			   sizeof(latency->buckets[1]));
		latency->total[1] = latency->total[0];
	}
	else
	{
		memset(latency->buckets[1], 0, sizeof(latency->buckets[1]));
		latency->total[1] = 0;
	}
	memset(latency->buckets[0], 0, sizeof(latency->buckets[0]));
	latency->total[0] = 0;
	latency->since = now;
}

void
outbox_latency_add(OutboxLatency *latency, TimestampTz now, int64 us,
				   uint32 count)
{
	int			n = 0;

	if (us > FIRST_US)
		n = Min((int) ceil(log(us / FIRST_US) / log(WIDTH)),
				OUTBOX_LATENCY_BUCKETS - 1);
	turn(latency, now);
	latency->buckets[0][n] += count;
	latency->total[0] += count;
}

int64
outbox_latency_quantile(OutboxLatency *latency, TimestampTz now, double part)
{
	uint64		total;
	uint64		seen = 0;

	turn(latency, now);
	total = latency->total[0] + latency->total[1];
	if (total == 0)
		return -1;
	for (int n = 0; n < OUTBOX_LATENCY_BUCKETS; n++)
	{
		seen += latency->buckets[0][n] + latency->buckets[1][n];
		if (seen >= part * total)
			return (int64) (FIRST_US * pow(WIDTH, n));
	}
	pg_unreachable();
}
