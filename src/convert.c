/*-------------------------------------------------------------------------
 *
 * convert.c
 *	  Values in the form that Redis and its clients expect.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Redis gets UTF-8 whatever the server's encoding is.  Messages are enqueued
 * only if their text has a form in UTF-8, so converting staged text cannot fail.
 *
 *-------------------------------------------------------------------------
 */
#include "convert.h"

#include "port/pg_bswap.h"
#include "mb/pg_wchar.h"

OutboxBytes
outbox_utf8_bytes(const char *data, size_t len)
{
	OutboxBytes bytes = {data, len};

	if (GetDatabaseEncoding() != PG_UTF8)
	{
		bytes.data = pg_server_to_any(data, len, PG_UTF8);
		if (bytes.data != data)
			bytes.len = strlen(bytes.data);
	}
	return bytes;
}

OutboxBytes
outbox_text_bytes(const struct varlena *text)
{
	return outbox_utf8_bytes(VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text));
}

struct varlena *
outbox_text_to_utf8(struct varlena *t)
{
	OutboxBytes bytes = outbox_text_bytes(t);

	if (bytes.data == VARDATA_ANY(t))
		return t;
	return (struct varlena *) cstring_to_text_with_len(bytes.data, bytes.len);
}

void
outbox_check_utf8(const char *data, size_t len)
{
	(void) pg_server_to_any(data, (int) len, PG_UTF8);
}

/*
 * Write 4 bytes as 8 digits, all of them at once: each half byte gets a byte of its
 * own, and those from 10 on the distance from '9' to 'a' in addition.
 */
static void
write_hex(char *to, const unsigned char *from)
{
	uint32		bytes;
	uint64		digits;
	uint64		letters;

	memcpy(&bytes, from, sizeof(bytes));
	digits = pg_ntoh32(bytes);
	digits = (digits | digits << 16) & UINT64CONST(0x0000ffff0000ffff);
	digits = (digits | digits << 8) & UINT64CONST(0x00ff00ff00ff00ff);
	digits = (digits | digits << 4) & UINT64CONST(0x0f0f0f0f0f0f0f0f);
	letters = (digits + UINT64CONST(0x0606060606060606)) >> 4 &
		UINT64CONST(0x0101010101010101);
	digits += UINT64CONST(0x3030303030303030) + letters * ('a' - '9' - 1);
	digits = pg_hton64(digits);
	memcpy(to, &digits, sizeof(digits));
}

void
outbox_uuid_text(const pg_uuid_t *uuid, char *buf)
{
	char		hex[2 * UUID_LEN];

	for (int i = 0; i < UUID_LEN; i += 4)
		write_hex(hex + 2 * i, uuid->data + i);
	memcpy(buf, hex, 8);
	memcpy(buf + 9, hex + 8, 4);
	memcpy(buf + 14, hex + 12, 4);
	memcpy(buf + 19, hex + 16, 4);
	memcpy(buf + 24, hex + 20, 12);
	buf[8] = buf[13] = buf[18] = buf[23] = '-';
	buf[OUTBOX_UUID_TEXT_LEN] = '\0';
}
