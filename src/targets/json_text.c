/*-------------------------------------------------------------------------
 *
 * json_text.c
 *	  JSON as it was written, and as encoders write it.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Parts of a payload are put into a consumer's message as they were written, so
 * numbers keep their digits and members their order.  jsonb would change them, and
 * PostgreSQL's parser needs names in the server's encoding.  So this is a parser of
 * its own, which is as strict as it can be: what it takes, every consumer's parser
 * reads.  Beyond JSON's own rules (RFC 8259) it refuses
 *
 *		what is nested more than a hundred deep
 *		numbers that are infinite as a double, as Ruby cannot write them again
 *		halves of surrogate pairs, which are no characters
 *
 * It calls itself for what is nested, and so no deeper than that.
 *
 *-------------------------------------------------------------------------
 */
#include "targets/json_text.h"

#include <math.h>

#include "common/base64.h"
#include "mb/pg_wchar.h"
#include "utils/json.h"

/* an integer with fewer digits is finite as a double */
#define SURELY_FINITE	300

static bool
fault(OutboxJsonScan *scan, const char *what)
{
	if (scan->fault == NULL)
		scan->fault = what;
	return false;
}

static void
skip_space(OutboxJsonScan *scan)
{
	while (scan->at < scan->end &&
		   (*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\n' || *scan->at == '\r'))
		scan->at++;
}

/* the next character, or 0 at the end */
static char
peek(const OutboxJsonScan *scan)
{
	return scan->at < scan->end ? *scan->at : '\0';
}

static bool
take(OutboxJsonScan *scan, char c)
{
	if (peek(scan) != c)
		return fault(scan, "It is not valid JSON.");
	scan->at++;
	return true;
}

static bool
take_digits(OutboxJsonScan *scan)
{
	const char *begin = scan->at;

	while (peek(scan) >= '0' && peek(scan) <= '9')
		scan->at++;
	return scan->at > begin || fault(scan, "It is not valid JSON.");
}

static bool
scan_number(OutboxJsonScan *scan)
{
	const char *begin = scan->at;
	bool		exponent = false;

	if (peek(scan) == '-')
		scan->at++;
	if (peek(scan) == '0')
		scan->at++;
	else if (!take_digits(scan))
		return false;
	if (peek(scan) == '.')
	{
		scan->at++;
		if (!take_digits(scan))
			return false;
	}
	if (peek(scan) == 'e' || peek(scan) == 'E')
	{
		exponent = true;
		scan->at++;
		if (peek(scan) == '+' || peek(scan) == '-')
			scan->at++;
		if (!take_digits(scan))
			return false;
	}
	if ((exponent || scan->at - begin > SURELY_FINITE) &&
		isinf(strtod(pnstrdup(begin, scan->at - begin), NULL)))
	{
		scan->at = begin;
		return fault(scan, "A number is out of range.");
	}
	return true;
}

/*
 * Four hexadecimal digits; -1 if they are none.
 */
static int
unicode_digits(const char *at, const char *end)
{
	int			c = 0;

	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		int			digit = outbox_hex_digit(at[i]);

		if (digit < 0)
			return -1;
		c = c << 4 | digit;
	}
	return c;
}

/*
 * Returns the character that an escape stands for and moves behind it; at is
 * behind the backslash.  Returns -1 if it is wrong.
 */
static int
take_escape(const char **at, const char *end)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char meanings[] = "\"\\/\b\f\n\r\t";
	const char *found;
	int			c;
	int			low;

	if (*at == end)
		return -1;
	if (**at != 'u')
	{
		found = **at == '\0' ? NULL : strchr(letters, **at);
		(*at)++;
		return found != NULL ? meanings[found - letters] : -1;
	}
	c = unicode_digits(*at + 1, end);
	*at += c < 0 ? 0 : 5;
	if (c < 0xd800 || c > 0xdfff)
		return c;
	low = c < 0xdc00 && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u' ?
		unicode_digits(*at + 2, end) : -1;
	if (low < 0xdc00 || low > 0xdfff)
		return -1;
	*at += 6;
	return 0x10000 + ((c & 0x3ff) << 10 | (low & 0x3ff));
}

static bool
scan_string(OutboxJsonScan *scan)
{
	if (!take(scan, '"'))
		return false;
	while (scan->at < scan->end && *scan->at != '"')
	{
		const char *at = scan->at + 1;

		if ((unsigned char) *scan->at < 0x20)
			return fault(scan, "It is not valid JSON.");
		if (*scan->at == '\\' && take_escape(&at, scan->end) < 0)
			return fault(scan, "An escape sequence stands for no character.");
		scan->at = at;
	}
	return take(scan, '"');
}

static bool
scan_word(OutboxJsonScan *scan)
{
	static const char *const words[] = {"true", "false", "null"};

	for (int i = 0; i < lengthof(words); i++)
	{
		size_t		len = strlen(words[i]);

		if (scan->end - scan->at >= len && memcmp(scan->at, words[i], len) == 0)
		{
			scan->at += len;
			return true;
		}
	}
	return fault(scan, "It is not valid JSON.");
}

static bool
scan_nested(OutboxJsonScan *scan, int depth, char bracket)
{
	char		closing = bracket == '{' ? '}' : ']';
	bool		first = true;
	OutboxBytes ignored;

	if (depth > OUTBOX_JSON_DEPTH)
		return fault(scan, "It is nested more than 100 deep.");
	scan->at++;
	while (outbox_scan_next(scan, closing, &first))
	{
		if (bracket == '{' && !outbox_scan_name(scan, &ignored))
			return false;
		if (!outbox_scan_value(scan, depth + 1, &ignored))
			return false;
	}
	return scan->fault == NULL;
}

bool
outbox_scan_value(OutboxJsonScan *scan, int depth, OutboxBytes *value)
{
	const char *begin;
	bool		ok;

	skip_space(scan);
	begin = scan->at;
	switch (peek(scan))
	{
		case '{':
		case '[':
			ok = scan_nested(scan, depth, *scan->at);
			break;
		case '"':
			ok = scan_string(scan);
			break;
		case 't':
		case 'f':
		case 'n':
			ok = scan_word(scan);
			break;
		default:
			ok = scan_number(scan);
			break;
	}
	*value = (OutboxBytes) {begin, scan->at - begin};
	return ok;
}

bool
outbox_scan_open(OutboxJsonScan *scan, char bracket)
{
	skip_space(scan);
	return take(scan, bracket);
}

bool
outbox_scan_next(OutboxJsonScan *scan, char bracket, bool *first)
{
	skip_space(scan);
	if (scan->fault != NULL)
		return false;
	if (peek(scan) == bracket)
	{
		scan->at++;
		return false;
	}
	if (!*first)
		return take(scan, ',');
	*first = false;
	return true;
}

bool
outbox_scan_name(OutboxJsonScan *scan, OutboxBytes *name)
{
	const char *begin;

	skip_space(scan);
	begin = scan->at + 1;
	if (!scan_string(scan))
		return false;
	*name = (OutboxBytes) {begin, scan->at - 1 - begin};
	skip_space(scan);
	return take(scan, ':');
}

bool
outbox_scan_end(OutboxJsonScan *scan)
{
	skip_space(scan);
	return scan->at == scan->end || fault(scan, "It is not valid JSON.");
}

OutboxBytes
outbox_json_string(OutboxBytes value)
{
	const char *at = value.data + 1;
	const char *end = value.data + value.len - 1;
	StringInfoData out;

	initStringInfo(&out);
	while (at < end)
	{
		unsigned char utf8[4];
		int			c;

		if (*at != '\\')
		{
			appendStringInfoChar(&out, *at++);
			continue;
		}
		at++;
		c = take_escape(&at, end);
		if (c < 0)
			break;
		unicode_to_utf8(c, utf8);
		appendBinaryStringInfo(&out, (char *) utf8, pg_utf_mblen(utf8));
	}
	return (OutboxBytes) {out.data, out.len};
}

/*
 * Is one of eight bytes a control character, a quote or a backslash?  They are
 * looked at all at once: subtracting borrows from a byte that is too small, and ~x
 * tells it from one that was large.
 */
static inline bool
has_escapes(uint64 x)
{
	const uint64 ones = UINT64CONST(0x0101010101010101);
	uint64		quote = x ^ ones * '"';
	uint64		backslash = x ^ ones * '\\';

	return (((x - ones * ' ') & ~x) | ((quote - ones) & ~quote) |
			((backslash - ones) & ~backslash)) & ones * 0x80;
}

/*
 * Copy what is before the first byte that has to be escaped; returns its length.
 */
static inline size_t
copy_plain(char *dst, const char *data, size_t len)
{
	size_t		n = 0;
	uint64		x;

	for (; len - n >= sizeof(x); n += sizeof(x))
	{
		memcpy(&x, data + n, sizeof(x));
		if (has_escapes(x))
			break;
		memcpy(dst + n, &x, sizeof(x));
	}
	for (; n < len; n++)
	{
		unsigned char c = data[n];

		if (c < ' ' || c == '"' || c == '\\')
			break;
		dst[n] = c;
	}
	return n;
}

static void
append_escape(StringInfo out, char c)
{
	static const char letters[] = "\"\\bfnrt";
	static const char meanings[] = "\"\\\b\f\n\r\t";
	const char *found = c == '\0' ? NULL : strchr(meanings, c);

	if (found == NULL)
		appendStringInfo(out, "\\u%04x", (unsigned char) c);
	else
	{
		appendStringInfoCharMacro(out, '\\');
		appendStringInfoCharMacro(out, letters[found - meanings]);
	}
}

/*
 * What escape_json() writes.  Most strings have nothing to escape, and are copied
 * eight bytes at a time here, not one.
 */
void
outbox_append_json_string(StringInfo out, OutboxBytes text)
{
	appendStringInfoCharMacro(out, '"');
	for (;;)
	{
		size_t		n;

		enlargeStringInfo(out, text.len + 1);
		n = copy_plain(out->data + out->len, text.data, text.len);
		out->len += n;
		if (n == text.len)
			break;
		append_escape(out, text.data[n]);
		text.data += n + 1;
		text.len -= n + 1;
	}
	appendStringInfoCharMacro(out, '"');
}

/*
 * RFC 4648, one line, padded.
 */
void
outbox_append_base64(StringInfo out, OutboxBytes bytes)
{
	int			size = pg_b64_enc_len(bytes.len);
	int			n;

	enlargeStringInfo(out, size + 1);
	n = outbox_b64_encode(bytes.data, bytes.len, out->data + out->len, size);
	Assert(n >= 0);
	out->len += n;
	out->data[out->len] = '\0';
}

void
outbox_append_members(StringInfo out, OutboxBytes object)
{
	OutboxJsonScan scan = {object.data, object.data + object.len, NULL};
	bool		first = true;

	if (!outbox_scan_open(&scan, '{') || !outbox_scan_next(&scan, '}', &first))
		return;
	appendStringInfoChar(out, ',');
	appendBinaryStringInfo(out, scan.at, scan.end - 1 - scan.at);
}
