/*-------------------------------------------------------------------------
 *
 * resp.c
 *	  Commands in the form in which Redis reads them.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Every argument of every message is written here, so this has to be fast:
 * printf formats are not used, and digits are made by hand.
 *
 *-------------------------------------------------------------------------
 */
#include "redis/resp.h"

#include "convert.h"

static void
append_prefix(StringInfo out, char prefix, size_t n)
{
	char		buf[OUTBOX_UINT64_SIZE + 3];	/* prefix, digits, \r\n */
	char	   *p = buf + sizeof(buf);

	*--p = '\n';
	*--p = '\r';
	do
		*--p = '0' + n % 10;
	while ((n /= 10) != 0);
	*--p = prefix;
	appendBinaryStringInfoNT(out, p, buf + sizeof(buf) - p);
}

void
outbox_resp_command(StringInfo out, int argc)
{
	append_prefix(out, '*', argc);
}

void
outbox_resp_arg(StringInfo out, const char *data, size_t len)
{
	append_prefix(out, '$', len);
	appendBinaryStringInfoNT(out, data, len);
	appendBinaryStringInfoNT(out, "\r\n", 2);
}

void
outbox_resp_string(StringInfo out, const char *s)
{
	outbox_resp_arg(out, s, strlen(s));
}

void
outbox_resp_number(StringInfo out, uint64 n)
{
	char		buf[OUTBOX_UINT64_SIZE];

	outbox_resp_arg(out, buf, outbox_uint64_text(n, buf));
}
