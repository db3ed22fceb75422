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

void
outbox_uuid_text(const pg_uuid_t *uuid, char *buf)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*buf++ = '-';
		*buf++ = digits[uuid->data[i] >> 4];
		*buf++ = digits[uuid->data[i] & 0x0f];
	}
	*buf = '\0';
}
