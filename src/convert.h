/*-------------------------------------------------------------------------
 *
 * convert.h
 *	  Values in the form that others expect.
 *
 * Purpose: text as UTF-8, times since 1970, UUIDs and numbers as text.
 * Process: all; pure, but for conversions where the server's encoding is not
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

/* a piece of something, without a zero byte at its end */
typedef struct OutboxBytes
{
	const char *data;
	size_t		len;
} OutboxBytes;

/* text in the server's encoding as UTF-8; the same bytes if that is UTF-8 */
extern OutboxBytes outbox_utf8_bytes(const char *data, size_t len);
extern OutboxBytes outbox_text_bytes(const struct varlena *text);

/* text as text in UTF-8, as payloads are staged; the same if it is that already */
extern struct varlena *outbox_text_to_utf8(struct varlena *t);

/* an error if it has no form in UTF-8 */
extern void outbox_check_utf8(const char *data, size_t len);

#define OUTBOX_UUID_TEXT_LEN 36

/* in its usual form; the buffer has OUTBOX_UUID_TEXT_LEN + 1 bytes */
extern void outbox_uuid_text(const pg_uuid_t *uuid, char *buf);

/* the digits and a zero byte */
#define OUTBOX_UINT64_SIZE	21

/* returns the number of digits */
static inline int
outbox_uint64_text(uint64 n, char *buf)
{
	int			len = pg_ulltoa_n(n, buf);

	buf[len] = '\0';
	return len;
}

/* microseconds between 1970, where others begin to count, and 2000 */
#define OUTBOX_EPOCH_US \
	(((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)) * USECS_PER_DAY)

static inline int64
outbox_unix_us(TimestampTz t)
{
	return t + OUTBOX_EPOCH_US;
}

/* -1 if it is not a digit */
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
