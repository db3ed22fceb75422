/*-------------------------------------------------------------------------
 *
 * policy.c
 *	  What a queue does with a message that Redis refuses, or that is old.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The delay before attempt n + 1 is retry_delay * retry_backoff ^ (n - 1), at
 * most retry_max_delay, give or take a tenth, so that messages that were refused
 * together are not all tried again together.
 *
 * With the policy "block" a queue skips no messages.  If it has some from an
 * earlier policy, they are tried again and never given up.
 *
 *-------------------------------------------------------------------------
 */
#include "queue/policy.h"

#include <math.h>

bool
outbox_gives_up(const OutboxQueue *queue, int attempts)
{
	switch (queue->on_failure)
	{
		case OUTBOX_BLOCK:
			return false;
		case OUTBOX_RETRY:
			return attempts >= queue->max_attempts;
		case OUTBOX_DEAD_LETTER:
			return true;
	}
	pg_unreachable();
}

int64
outbox_retry_delay(const OutboxQueue *queue, int attempts, double chance)
{
	double		delay = queue->retry_delay *
	pow(queue->retry_backoff, Max(attempts - 1, 0));

	/* the power may be infinite */
	delay = Min(delay, (double) queue->retry_max_delay);
	return (int64) (delay * (0.9 + 0.2 * chance));
}

bool
outbox_is_expired(const OutboxQueue *queue, TimestampTz enqueued_at,
				  TimestampTz now)
{
	return queue->expires_after > 0 &&
		now - enqueued_at > queue->expires_after;
}
