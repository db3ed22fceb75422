/*-------------------------------------------------------------------------
 *
 * partition.c
 *	  A queue's partitions: their numbers, and their places in Redis.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A queue with n partitions has n ids, one after the other: those of its
 * partitions.  The first one is the queue's.  A row has the id of its partition,
 * in staging and wherever it lies later.  So to the relay a partition is a queue:
 * it has a cursor, stands still and goes on for itself, and its rows are found in
 * the index as those of any queue.  What is proven of a queue holds for it.
 *
 * Who enqueues chooses the partition, by the message's key or else by its number.
 * As the number of partitions never changes, it does not matter when that is done;
 * done once, no later version of us and no other encoding can choose another one.
 *
 * The checksum is CRC16 as XMODEM has it, which is that of Redis Cluster:
 * polynomial 0x1021, beginning with 0, nothing reflected.
 *
 * A partition's key in Redis has its number in the hash tag, for partitions to be
 * in different slots, and the cursor in that of its partition.  The tag has the
 * queue's name too: else all queues would share the same slots.
 *
 *-------------------------------------------------------------------------
 */
#include "queue/partition.h"

#include "convert.h"

#define POLYNOMIAL 0x1021

uint16
outbox_crc16(const char *data, size_t len)
{
	uint16		crc = 0;

	for (size_t i = 0; i < len; i++)
	{
		crc ^= (uint16) ((unsigned char) data[i] << 8);
		for (int bit = 0; bit < 8; bit++)
			crc = (uint16) (crc << 1) ^ ((crc & 0x8000) != 0 ? POLYNOMIAL : 0);
	}
	return crc;
}

int
outbox_partition_of_key(const OutboxQueue *queue, const struct varlena *key)
{
	OutboxBytes bytes;

	if (queue->partitions == 1)
		return 0;
	bytes = outbox_text_bytes(key);
	return outbox_crc16(bytes.data, bytes.len) % queue->partitions;
}

/*
 * The digits' checksum, and not the number itself: a transaction may enqueue to
 * two queues in turns, and then all numbers are even for one of them.
 */
int
outbox_partition_of_seq(const OutboxQueue *queue, uint64 seq)
{
	char		digits[OUTBOX_UINT64_SIZE];
	int			len = outbox_uint64_text(seq, digits);

	return outbox_crc16(digits, len) % queue->partitions;
}

/*
 * Redis takes what is between the first { and the first } behind it, unless that
 * is nothing.
 */
bool
outbox_find_tag(const char *redis_key, const char **tag, int *len)
{
	const char *open = strchr(redis_key, '{');
	const char *close = open != NULL ? strchr(open, '}') : NULL;

	if (close == NULL || close == open + 1)
		return false;
	*tag = open + 1;
	*len = (int) (close - *tag);
	return true;
}

int
outbox_slot_of_bytes(const char *key)
{
	const char *tag = key;
	int			len = (int) strlen(key);

	(void) outbox_find_tag(key, &tag, &len);
	return outbox_crc16(tag, len) % OUTBOX_CLUSTER_SLOTS;
}

int
outbox_slot_of(const char *redis_key)
{
	OutboxBytes bytes = outbox_utf8_bytes(redis_key, strlen(redis_key));

	return outbox_slot_of_bytes(pnstrdup(bytes.data, bytes.len));
}

char *
outbox_partition_redis_key(const OutboxQueue *queue, int partition)
{
	const char *key = queue->redis_key;
	const char *tag;
	int			len;

	if (queue->partitions == 1)
		return pstrdup(key);
	if (!outbox_find_tag(key, &tag, &len))
		return psprintf("{%s:%d}", key, partition);
	len += (int) (tag - key);
	return psprintf("%.*s:%d%s", len, key, partition, key + len);
}

char *
outbox_queue_title(const OutboxQueue *queue)
{
	return queue->partitions == 1 ? psprintf("queue \"%s\"", queue->name) :
		psprintf("partition %d of queue \"%s\"", queue->partition, queue->name);
}

OutboxQueue *
outbox_make_partition(const OutboxQueue *queue, int partition)
{
	OutboxQueue *result = palloc(sizeof(OutboxQueue));

	*result = *queue;
	result->id += partition;
	result->partition = partition;
	result->redis_key = outbox_partition_redis_key(queue, partition);
	return result;
}

List *
outbox_partition_list(const List *queues)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, queues)
	{
		const OutboxQueue *queue = lfirst(lc);

		for (int i = 0; i < queue->partitions; i++)
			result = lappend(result, outbox_make_partition(queue, i));
	}
	return result;
}
