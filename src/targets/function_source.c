/*-------------------------------------------------------------------------
 *
 * function_source.c
 *	  Is a text the body of a Lua function?
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A queue's function is put between lines of ours, see function.lua, and its
 * source must not end the function that these lines begin: what follows would
 * run before the cursor is compared, with all that function.lua keeps away from
 * the source.
 *
 * In Lua, "end" ends what the last "do", "function" or "if" that is still open
 * has begun, and "until" what "repeat" has.  So if each "end" and "until" of the
 * source has its beginning in the source, and nothing is left open, then the
 * source cannot end anything of ours, provided that all of it is Lua; and if it
 * is not, Redis does not load the script.  So all that is needed here is to read
 * Lua's tokens as Lua 5.1 does, which is the version that Redis has.
 *
 * A "while" and a "for" have a "do"; "then", "else" and "elseif" are within
 * their "if".
 *
 *-------------------------------------------------------------------------
 */
#include "targets/function_source.h"

/* Lua allows fewer */
#define MAX_OPEN 250

typedef enum BlockEnd
{
	NO_BLOCK,
	ENDED_BY_END,
	ENDED_BY_UNTIL
} BlockEnd;

typedef struct Reader
{
	const char *at;
	const char *end;
	int			line;
	const char *fault;
	int			nopen;
	struct
	{
		BlockEnd	ended_by;
		int			line;
	}			open[MAX_OPEN];
} Reader;

/* the byte at this distance, or \0 behind the end */
static char
peek(const Reader *r, int distance)
{
	return r->end - r->at > distance ? r->at[distance] : '\0';
}

static void
advance(Reader *r, size_t n)
{
	n = Min(n, (size_t) (r->end - r->at));
	for (size_t i = 0; i < n; i++)
		r->line += r->at[i] == '\n';
	r->at += n;
}

static bool
is_newline(char c)
{
	return c == '\n' || c == '\r';
}

/* not isalpha(), which asks the locale */
static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/*
 * Returns the number of equal signs of a long bracket that begins here; -1 if
 * none does.
 */
static int
long_bracket(const Reader *r, int distance)
{
	int			level = 0;

	if (peek(r, distance) != '[')
		return -1;
	while (peek(r, distance + 1 + level) == '=')
		level++;
	return peek(r, distance + 1 + level) == '[' ? level : -1;
}

/*
 * Skip a long bracket behind so many bytes.
 */
static void
skip_long(Reader *r, int distance, int level, const char *what)
{
	int			line = r->line;

	advance(r, distance + level + 2);
	for (; r->at < r->end; advance(r, 1))
	{
		int			n = 0;

		if (*r->at != ']')
			continue;
		while (peek(r, 1 + n) == '=')
			n++;
		if (n == level && peek(r, 1 + n) == ']')
		{
			advance(r, level + 2);
			return;
		}
	}
	r->fault = psprintf("the function's source has no end of the %s in line %d",
						what, line);
}

static void
skip_comment(Reader *r)
{
	int			level = long_bracket(r, 2);

	if (level >= 0)
		skip_long(r, 2, level, "comment");
	else
		while (r->at < r->end && !is_newline(*r->at))
			advance(r, 1);
}

static void
skip_string(Reader *r)
{
	char		quote = *r->at;
	int			line = r->line;

	advance(r, 1);
	while (r->at < r->end && *r->at != quote && !is_newline(*r->at))
	{
		/* \r\n is one newline, and so is \n\r */
		if (*r->at == '\\')
			advance(r, is_newline(peek(r, 1)) && is_newline(peek(r, 2)) &&
					peek(r, 1) != peek(r, 2) ? 3 : 2);
		else
			advance(r, 1);
	}
	if (peek(r, 0) != quote)
		r->fault = psprintf("the function's source has no end of the string in line %d",
							line);
	advance(r, 1);
}

/*
 * A number goes on through letters that follow it: 3end is one token.
 */
static void
skip_number(Reader *r)
{
	while (is_digit(peek(r, 0)) || peek(r, 0) == '.')
		advance(r, 1);
	if ((peek(r, 0) == 'e' || peek(r, 0) == 'E') &&
		(peek(r, 1) == '+' || peek(r, 1) == '-'))
		advance(r, 2);
	while (is_digit(peek(r, 0)) || is_letter(peek(r, 0)))
		advance(r, 1);
}

static bool
is_word(const char *word, size_t len, const char *keyword)
{
	return strlen(keyword) == len && memcmp(word, keyword, len) == 0;
}

static void
read_word(Reader *r)
{
	const char *word = r->at;
	size_t		len;
	BlockEnd	begins;
	BlockEnd	ends;

	while (is_letter(peek(r, 0)) || is_digit(peek(r, 0)))
		advance(r, 1);
	len = r->at - word;
	begins = is_word(word, len, "repeat") ? ENDED_BY_UNTIL :
		is_word(word, len, "do") || is_word(word, len, "function") ||
		is_word(word, len, "if") ? ENDED_BY_END : NO_BLOCK;
	ends = is_word(word, len, "end") ? ENDED_BY_END :
		is_word(word, len, "until") ? ENDED_BY_UNTIL : NO_BLOCK;

	if (begins != NO_BLOCK && r->nopen == MAX_OPEN)
		r->fault = "the function's source is nested too deeply";
	else if (begins != NO_BLOCK)
	{
		r->open[r->nopen].ended_by = begins;
		r->open[r->nopen++].line = r->line;
	}
	else if (ends != NO_BLOCK)
	{
		if (r->nopen == 0 || r->open[r->nopen - 1].ended_by != ends)
			r->fault = psprintf("the function's source has an \"%s\" too many in line %d",
								ends == ENDED_BY_END ? "end" : "until", r->line);
		else
			r->nopen--;
	}
}

static void
read_token(Reader *r)
{
	char		c = *r->at;

	if (c == '-' && peek(r, 1) == '-')
		skip_comment(r);
	else if (c == '"' || c == '\'')
		skip_string(r);
	else if (long_bracket(r, 0) >= 0)
		skip_long(r, 0, long_bracket(r, 0), "string");
	else if (is_letter(c))
		read_word(r);
	else if (is_digit(c) || (c == '.' && is_digit(peek(r, 1))))
		skip_number(r);
	else if (c == '.')
		while (peek(r, 0) == '.')	/* .. and ... begin no number */
			advance(r, 1);
	else
		advance(r, 1);
}

const char *
outbox_function_fault(OutboxBytes source)
{
	Reader		r = {.at = source.data,.end = source.data + source.len,.line = 1};

	while (r.at < r.end && r.fault == NULL)
		read_token(&r);
	if (r.fault == NULL && r.nopen > 0)
		r.fault = psprintf("the function's source has no \"%s\" for what begins in line %d",
						   r.open[r.nopen - 1].ended_by == ENDED_BY_END ?
						   "end" : "until", r.open[r.nopen - 1].line);
	return r.fault;
}
