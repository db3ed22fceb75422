/*-------------------------------------------------------------------------
 *
 * policy.c
 *	  What a queue does with a message that Redis refuses, or that is old.
 *
 * Design notes
 *
 * The delay before attempt n + 1 is retry_delay * retry_backoff ^ (n - 1), at
 * most retry_max_delay, give or take a tenth: messages that were refused
 * together need not come back together.
 *
 * A queue whose policy is block has no skipped messages of its own making.  If
 * it was altered while it had some, they are tried on and never given up.
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

	/* infinity is more than any maximum, too */
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
