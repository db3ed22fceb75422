/*-------------------------------------------------------------------------
 *
 * message_id.c
 *	  The ids of messages.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The id of a message is a UUID, whatever else its consumers know it by.  It is
 * one of version 7 (RFC 9562): 48 bits of milliseconds, 12 bits of the fraction
 * of one, the rest random.
 *
 *-------------------------------------------------------------------------
 */
#include "api/message_id.h"

#include "common/cryptohash.h"
#include "common/sha1.h"
#include "convert.h"
#include "targets/message_args.h"
#include "utils/timestamp.h"

/*
 * Write eight random bytes.  They are drawn in advance, since a call for few
 * bytes costs as much as a call for many.
 */
static void
take_random(unsigned char *dst)
{
	static unsigned char pool[64 * 8];
	static int	left = 0;

	if (left == 0)
	{
		if (!pg_strong_random(pool, sizeof(pool)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values")));
		left = sizeof(pool);
	}
	left -= 8;
	memcpy(dst, pool + left, 8);
}

static void
make_uuid_v7(pg_uuid_t *uuid, TimestampTz now)
{
	uint64		us = outbox_unix_us(now);
	uint64		ms = us / 1000;
	uint32		fraction = (us % 1000) * 4096 / 1000;

	take_random(&uuid->data[8]);
	for (int i = 0; i < 6; i++)
		uuid->data[i] = (unsigned char) (ms >> (40 - 8 * i));
	uuid->data[6] = 0x70 | (fraction >> 8);
	uuid->data[7] = fraction & 0xff;
	uuid->data[8] = 0x80 | (uuid->data[8] & 0x3f);
}

/*
 * The id of a message that has another one at its consumers: the UUID of version
 * 5 of the queue's name, a zero byte and that id.
 */
static void
make_uuid_v5(const OutboxQueue *queue, OutboxBytes message_id, pg_uuid_t *uuid)
{
	static const unsigned char namespace[UUID_LEN] = {
		0x5f, 0x0b, 0x1b, 0x5c, 0x0e, 0x52, 0x4c, 0x0b,
		0x9b, 0x4e, 0x6a, 0x5d, 0x24, 0x7f, 0x0c, 0x91
	};
	OutboxBytes name = outbox_utf8_bytes(queue->name, strlen(queue->name));
	OutboxBytes id = outbox_utf8_bytes(message_id.data, message_id.len);
	unsigned char digest[SHA1_DIGEST_LENGTH];
	pg_cryptohash_ctx *sha1 = pg_cryptohash_create(PG_SHA1);

	if (pg_cryptohash_init(sha1) < 0 ||
		pg_cryptohash_update(sha1, namespace, UUID_LEN) < 0 ||
		pg_cryptohash_update(sha1, (const uint8 *) name.data, name.len) < 0 ||
		pg_cryptohash_update(sha1, (const uint8 *) "", 1) < 0 ||
		pg_cryptohash_update(sha1, (const uint8 *) id.data, id.len) < 0 ||
		pg_cryptohash_final(sha1, digest, sizeof(digest)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute %s hash: %s", "SHA1",
						pg_cryptohash_error(sha1))));
	pg_cryptohash_free(sha1);
	memcpy(uuid->data, digest, UUID_LEN);
	uuid->data[6] = 0x50 | (uuid->data[6] & 0x0f);
	uuid->data[8] = 0x80 | (uuid->data[8] & 0x3f);
}

/*
 * Give the message an id, unless the caller has.
 */
void
outbox_identify_message(const OutboxQueue *queue, OutboxMessage *msg, TimestampTz now)
{
	static const pg_uuid_t nil = {{0}};
	bool		given = memcmp(&msg->id, &nil, sizeof(nil)) != 0;
	OutboxBytes message_id = outbox_text_option(msg->options, OUTBOX_OPTION_MESSAGE_ID);

	if (given && message_id.len > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("id and option \"%s\" must not both be given",
						OUTBOX_OPTION_MESSAGE_ID),
				 errhint("The id is made from the option then.")));
	if (message_id.len > 0)
		make_uuid_v5(queue, message_id, &msg->id);
	else if (!given)
		make_uuid_v7(&msg->id, now);
}
