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

/* room for a prefix, the digits of any number, and the end of a line */
#define LINE_SIZE (OUTBOX_UINT64_SIZE + 3)

/*
 * Write a line with a prefix and a number; returns where it ends.
 */
static char *
write_line(char *to, char prefix, size_t n)
{
	*to++ = prefix;
	if (n >= 1000)
		to += pg_ulltoa_n(n, to);
	else
	{
		if (n >= 100)
			*to++ = '0' + n / 100;
		if (n >= 10)
			*to++ = '0' + n / 10 % 10;
		*to++ = '0' + n % 10;
	}
	*to++ = '\r';
	*to++ = '\n';
	return to;
}

void
outbox_resp_command(StringInfo out, int argc)
{
	char		line[LINE_SIZE];

	appendBinaryStringInfoNT(out, line, write_line(line, '*', argc) - line);
}

/*
 * Each message is made of many of these, most of them short.
 */
void
outbox_resp_arg(StringInfo out, const char *data, size_t len)
{
	char	   *to;

	enlargeStringInfo(out, LINE_SIZE + len + 2);
	to = write_line(out->data + out->len, '$', len);
	memcpy(to, data, len);
	to += len;
	*to++ = '\r';
	*to++ = '\n';
	out->len = to - out->data;
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
