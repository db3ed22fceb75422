/*-------------------------------------------------------------------------
 *
 * convert.h
 *	  Values in the form that Redis and its clients expect.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: text as UTF-8, times since 1970, UUIDs and numbers as text.
 * Process: all.  Pure, but for conversions where the server's encoding is not
 *	  UTF-8.
 * Transaction: none needed in a UTF-8 database.
 * Memory: converted text is palloc'ed in the current context.
 * Errors: UNTRANSLATABLE_CHARACTER or CHARACTER_NOT_IN_REPERTOIRE for text
 *	  that has no form in UTF-8.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CONVERT_H
#define OUTBOX_CONVERT_H

#include "outbox.h"

#include "utils/builtins.h"

/* some bytes, without a zero byte at their end */
typedef struct OutboxBytes
{
	const char *data;
	size_t		len;
} OutboxBytes;

/* return text in the server's encoding as UTF-8; the same bytes in UTF-8 */
extern OutboxBytes outbox_utf8_bytes(const char *data, size_t len);
extern OutboxBytes outbox_text_bytes(const struct varlena *text);

/* returns text in UTF-8, as payloads are staged; t itself if nothing changes */
extern struct varlena *outbox_text_to_utf8(struct varlena *t);

/* an error if text in the server's encoding has no form in UTF-8 */
extern void outbox_check_utf8(const char *data, size_t len);

#define OUTBOX_UUID_TEXT_LEN 36

/* write a UUID in its usual form; buf has OUTBOX_UUID_TEXT_LEN + 1 bytes */
extern void outbox_uuid_text(const pg_uuid_t *uuid, char *buf);

/* room for the digits of any uint64 and a zero byte */
#define OUTBOX_UINT64_SIZE	21

/* write the digits and a zero byte; returns the number of digits */
static inline int
outbox_uint64_text(uint64 n, char *buf)
{
	int			len = pg_ulltoa_n(n, buf);

	buf[len] = '\0';
	return len;
}

/* microseconds from 1970, where unix time begins, to 2000, where TimestampTz does */
#define OUTBOX_EPOCH_US \
	(((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)) * USECS_PER_DAY)

/* returns microseconds since 1970 */
static inline int64
outbox_unix_us(TimestampTz t)
{
	return t + OUTBOX_EPOCH_US;
}

/* returns the value of a hexadecimal digit; -1 for any other character */
static inline int
outbox_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

#endif							/* OUTBOX_CONVERT_H */
