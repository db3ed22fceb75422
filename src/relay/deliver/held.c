/*-------------------------------------------------------------------------
 *
 * held.c
 *	  Skipped messages of a queue, and the keys that wait for them.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * When a message is refused, later messages of its key wait behind it, in
 * outbox.deferred.  Such a key is held.  The hashes of held keys are kept in
 * memory, so that a later message can be skipped without reading the table.
 * Two keys with the same hash wait for each other, and nothing worse happens.
 *
 * outbox.deferred has the time at which a message is due, by the wall clock.
 * If the message can't be sent at that time, since a table is locked or the
 * cursor doesn't cover the message yet, it is looked for again after a moment
 * that the monotonic clock measures.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/held.h"

#include "catalog/pg_collation.h"
#include "datatype/timestamp.h"
#include "queue/partition.h"
#include "relay/base/queues.h"
#include "relay/base/step.h"
#include "store/query.h"
#include "store/skipped_rows.h"
#include "store/tables.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

/* a key that has skipped messages, by its hash */
typedef struct HeldKey
{
	uint64		hash;
	int64		count;
} HeldKey;

static const StepLock failure_locks[] = {
	{OUTBOX_REL_DEFERRED, true},
	{OUTBOX_REL_DEAD_LETTER, true}
};

static QueueHeld *
mine(const RelayQueue *queue)
{
	outbox_wake_queue(queue);
	return unconstify(QueueHeld *, queue->held);
}

void
outbox_held_init(RelayQueue *queue)
{
	queue->held = outbox_make_part(queue, sizeof(QueueHeld));
	mine(queue)->retry_at = DT_NOEND;
}

bool
outbox_lock_failures(void)
{
	return outbox_take_locks(failure_locks, lengthof(failure_locks));
}

bool
outbox_begin_failure_step(void)
{
	return outbox_begin_locked_step(failure_locks, lengthof(failure_locks));
}

bool
outbox_begin_failure_step_of(const RelayQueue *queue)
{
	if (!outbox_begin_failure_step())
		return false;
	if (outbox_queue_is_free(outbox_queue_of(queue->settings)))
		return true;
	outbox_end_step();
	return false;
}

uint64
outbox_key_hash(const struct varlena *key)
{
	return DatumGetUInt64(DirectFunctionCall2Coll(hashtextextended,
												  C_COLLATION_OID,
												  PointerGetDatum(key),
												  Int64GetDatum(0)));
}

bool
outbox_key_is_held(const RelayQueue *queue, const OutboxMessage *msg)
{
	uint64		hash;

	if (queue->held->keys == NULL || msg->key == NULL)
		return false;
	hash = outbox_key_hash(msg->key);
	return hash_search(queue->held->keys, &hash, HASH_FIND, NULL) != NULL;
}

static void
hold_key(RelayQueue *queue, uint64 hash, int64 count)
{
	QueueHeld  *held = mine(queue);
	HeldKey    *key;
	bool		found;

	if (held->keys == NULL)
	{
		HASHCTL		ctl;

		ctl.keysize = sizeof(uint64);
		ctl.entrysize = sizeof(HeldKey);
		ctl.hcxt = queue->context;
		held->keys = hash_create("outbox held keys", 64, &ctl,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	key = hash_search(held->keys, &hash, HASH_ENTER, &found);
	key->count = found ? key->count + count : count;
}

static void
forget_keys(QueueHeld *held)
{
	if (held->keys != NULL)
		hash_destroy(held->keys);
	held->keys = NULL;
}

void
outbox_hold_message(RelayQueue *queue, const OutboxMessage *msg)
{
	mine(queue)->count++;
	if (msg->key != NULL)
		hold_key(queue, outbox_key_hash(msg->key), 1);
}

void
outbox_unhold_messages(RelayQueue *queue, int64 n)
{
	mine(queue)->count -= n;
}

void
outbox_release_key(RelayQueue *queue, uint64 hash)
{
	QueueHeld  *held = mine(queue);
	HeldKey    *key;

	if (held->keys == NULL)
		return;
	key = hash_search(held->keys, &hash, HASH_FIND, NULL);
	if (key == NULL || --key->count > 0)
		return;
	hash_search(held->keys, &hash, HASH_REMOVE, NULL);
	if (hash_get_num_entries(held->keys) == 0)
		forget_keys(held);
}

void
outbox_retry_is_due(RelayQueue *queue, TimestampTz due)
{
	QueueHeld  *held = mine(queue);

	held->retry_at = Min(held->retry_at, due);
}

void
outbox_retry_not_before(RelayQueue *queue, OutboxTime not_before)
{
	mine(queue)->not_before = not_before;
}

void
outbox_note_evacuated(RelayQueue *queue, bool evacuated)
{
	mine(queue)->evacuated = evacuated;
}

void
outbox_forget_held(RelayQueue *queue)
{
	QueueHeld  *held = mine(queue);

	forget_keys(held);
	held->count = 0;
	held->evacuated = false;
	held->retry_at = DT_NOEND;
	held->not_before = 0;
}

void
outbox_hold_hash(RelayQueue *queue, uint64 hash)
{
	mine(queue)->count++;
	hold_key(queue, hash, 1);
}

void
outbox_hold_keyless(RelayQueue *queue, int64 n)
{
	mine(queue)->count += n;
}

void
outbox_held_was_read(RelayQueue *queue)
{
	QueueHeld  *held = mine(queue);
	OutboxParam params[] = {
		{"queue", INT4OID, Int32GetDatum(queue->settings->id)}
	};

	if (held->count > 0)
		held->retry_at = 0;
	held->evacuated =
		outbox_query("SELECT FROM outbox.deferred WHERE queue = $queue"
					 " AND reason = 'evacuated' LIMIT 1",
					 params, lengthof(params)) > 0;
}

void
outbox_find_next_retry(RelayQueue *queue)
{
	OutboxParam params[] = {
		{"queue", INT4OID, Int32GetDatum(queue->settings->id)}
	};
	uint64		n = outbox_query("SELECT due_at FROM outbox.deferred"
								 " WHERE queue = $queue AND reason = 'retry'"
								 " AND due_at IS NOT NULL"
								 " ORDER BY due_at LIMIT 1",
								 params, lengthof(params));

	/* a row without a time has been edited by hand; it is never due */
	mine(queue)->retry_at = n > 0 ? outbox_result_int64(0, 1) : DT_NOEND;
	mine(queue)->not_before = 0;
}

void
outbox_retry_next_of_keys(RelayQueue *queue, const uint64 *hashes, int n,
						  TimestampTz now)
{
	OutboxParam params[] = {
		{"queue", INT4OID, Int32GetDatum(queue->settings->id)},
		{"hashes", INT8ARRAYOID, outbox_int8_array(hashes, n)}
	};
	uint64	   *behind;
	uint64		nbehind;

	if (n == 0)
		return;
	nbehind = outbox_query("SELECT f.seq FROM (SELECT DISTINCT unnest($hashes) AS hash) AS k,"
						   " LATERAL (SELECT b.seq, b.reason FROM outbox.deferred AS b"
						   " WHERE b.queue = $queue"
						   " AND " OUTBOX_KEY_HASH("b.key") " = k.hash"
						   " AND b.reason IN " OUTBOX_REASONS_SKIPPED
						   " ORDER BY b.seq LIMIT 1) AS f"
						   " WHERE f.reason = 'behind'",
						   params, lengthof(params));
	behind = palloc((nbehind + 1) * sizeof(uint64));
	for (uint64 i = 0; i < nbehind; i++)
		behind[i] = (uint64) outbox_result_int64(i, 1);
	if (nbehind > 0)
		outbox_change_skipped(queue->settings->id, behind, (int) nbehind, OUTBOX_RETRIED,
							  now, NULL, NULL);
}
