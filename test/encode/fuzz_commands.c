/*-------------------------------------------------------------------------
 *
 * fuzz_commands.c
 *	  The target of commands, and the compiler of templates.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Arguments are made of what means something in them, right or wrong.  The slow and
 * simple expand() says whether they must be refused, and what becomes of them.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "targets/commands.h"
#include "utils/timestamp.h"

static void
append_iso(StringInfo out)
{
	static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int64		us = UNIX_US(args.now);
	int64		days = us / USECS_PER_DAY;
	int			s = us % USECS_PER_DAY / USECS_PER_SEC;
	int			year = 1970;
	int			month = 0;
	int			length;

	for (;; year++)
	{
		bool		leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

		if (days < 365 + leap)
			break;
		days -= 365 + leap;
	}
	for (;; month++)
	{
		bool		leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

		length = lengths[month] + (month == 1 && leap);
		if (days < length)
			break;
		days -= length;
	}
	appendStringInfo(out, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", year, month + 1,
					 (int) days + 1, s / 3600, s / 60 % 60, s % 60, (int) (us % USECS_PER_SEC));
}

/*
 * What a placeholder stands for; false if there is none of that name.  The
 * headers are JSON and not written again here: they are looked at apart.
 */
static bool
fill_in(StringInfo out, const char *name, size_t len, const Model *m)
{
	int64		us = UNIX_US(args.now);
	char	   *s = pnstrdup(name, len);

	if (strcmp(s, "id") == 0)
		appendStringInfoString(out, m->id);
	else if (strcmp(s, "queue") == 0)
		append_stringinfo(out, &queue_name.utf8);
	else if (strcmp(s, "redis_key") == 0)
		append_stringinfo(out, &redis_key.utf8);
	else if (strcmp(s, "type") == 0)
		append_stringinfo(out, &m->type.utf8);
	else if (strcmp(s, "key") == 0)
		append_stringinfo(out, &m->key.utf8);
	else if (strcmp(s, "payload") == 0)
		appendBinaryStringInfo(out, m->payload.data, m->payload.len);
	else if (strcmp(s, "headers") == 0)
	{
		OutboxBytes bytes = outbox_headers_json(&m->msg);

		check_headers_json(m, bytes);
		appendBinaryStringInfo(out, bytes.data, bytes.len);
	}
	else if (strcmp(s, "attempt") == 0)
		appendStringInfo(out, "%d", m->msg.attempts + 1);
	else if (strcmp(s, "now_s") == 0)
		appendStringInfo(out, INT64_FORMAT, us / 1000000);
	else if (strcmp(s, "now_ms") == 0)
		appendStringInfo(out, INT64_FORMAT, us / 1000);
	else if (strcmp(s, "now_ns") == 0)
		appendStringInfo(out, INT64_FORMAT, us * 1000);
	else if (strcmp(s, "now_iso") == 0)
		append_iso(out);
	else if (strncmp(s, "header.", 7) == 0 && len > 7)
	{
		for (int i = 0; i < m->nheaders; i++)
			if (m->headers[i].name.utf8.len == len - 7 &&
				memcmp(m->headers[i].name.utf8.data, s + 7, len - 7) == 0)
				append_stringinfo(out, &m->headers[i].value.utf8);
	}
	else
		return false;
	return true;
}

/*
 * What ought to become of an argument, given in UTF-8; false if it is wrong.
 */
static bool
expand(StringInfo out, const StringInfoData *arg, const Model *m)
{
	initStringInfo(out);
	for (int i = 0; i < arg->len; i++)
	{
		int			j = i + 1;

		if (arg->data[i] != '{' && arg->data[i] != '}')
			appendStringInfoChar(out, arg->data[i]);
		else if (j < arg->len && arg->data[j] == arg->data[i])
			appendStringInfoChar(out, arg->data[i++]);
		else
		{
			if (arg->data[i] == '}')
				return false;
			while (j < arg->len && arg->data[j] != '}')
				j++;
			if (j == arg->len || !fill_in(out, arg->data + i + 1, j - i - 1, m))
				return false;
			i = j;
		}
	}
	return true;
}

/* text made of what means something in arguments */
static Text
take_argument(Input *in, const Model *m)
{
	static const char *const words[] = {
		"{id}", "{queue}", "{redis_key}", "{type}", "{key}", "{payload}", "{headers}",
		"{attempt}", "{now_s}", "{now_ms}", "{now_ns}", "{now_iso}", "{header.a}",
		"{{", "}}", "{", "}", "{}", "id", "header.", "{header.", "{Id}", ".", "{now_"
	};
	int			n = take(in, 1) % 6;
	Text		text;

	init_text(&text);
	while (n-- > 0)
	{
		int			word = take(in, 1);

		if (word < lengthof(words))
			append_text(&text, words[word]);
		else if (word < 64 && m->nheaders > 0)
		{
			const Header *h = &m->headers[word % m->nheaders];

			append_text(&text, "{header.");
			append_stringinfo(&text.server, &h->name.server);
			append_stringinfo(&text.utf8, &h->name.utf8);
			append_text(&text, "}");
		}
		else if (word < 160)
			append_character(&text, in);
		else
		{
			Text		more = take_text(in, "");

			append_stringinfo(&text.server, &more.server);
			append_stringinfo(&text.utf8, &more.utf8);
		}
	}
	return text;
}

typedef struct Shape
{
	int			ncommands;
	int			nargs[4];
	Text		args[4][8];
} Shape;

/*
 * Commands with any arguments: they are refused if one of them is wrong, and
 * expanded as they should be if none is.
 */
static void
take_commands(Input *in, const Model *m, Shape *shape, StringInfo json)
{
	shape->ncommands = 1 + take(in, 1) % 4;
	for (int i = 0; i < shape->ncommands; i++)
	{
		int			nargs = shape->nargs[i] = 3 + take(in, 1) % 6;

		appendStringInfoString(json, i == 0 ? "{\"commands\":[[" : "],[");
		for (int j = 0; j < nargs; j++)
		{
			Text	   *text = &shape->args[i][j];

			init_text(text);
			if (j == 0)
				append_text(text, take_bool(in) ? "rpush" : "A.B");
			else
				*text = take_argument(in, m);
			if (j > 0)
				appendStringInfoChar(json, ',');
			append_json(json, &text->server);
		}
	}
	appendStringInfoString(json, "]]}");
}

static void
check_commands(const Model *m, const Shape *shape)
{
	int			count = next_count();

	check(count + next == ndecoded);
	for (int i = 0; i < shape->ncommands; i++)
	{
		check(next_is_number(shape->nargs[i]));
		for (int j = 0; j < shape->nargs[i]; j++)
		{
			StringInfoData expected;

			check(expand(&expected, &shape->args[i][j].utf8, m));
			check(same(next_arg(), expected.data, expected.len));
		}
	}
}

void
fuzz_commands(Input *in)
{
	const char *error = NULL;
	const char *hint = NULL;
	bool		fine = true;
	Shape	   *shape = palloc0(sizeof(Shape));
	StringInfoData json;
	StringInfoData ignored;
	Model	   *m;

	take_queue(in, OUTBOX_TARGET_COMMANDS);
	m = take_message(in);
	initStringInfo(&json);
	take_commands(in, m, shape, &json);
	for (int i = 0; i < shape->ncommands; i++)
		for (int j = 0; j < shape->nargs[i]; j++)
			fine &= expand(&ignored, &shape->args[i][j].utf8, m);

	queue.options = make_jsonb(in, json.data);
	queue.template = outbox_template_compile(queue.options, &error, &hint);
	check((queue.template != NULL) == fine);
	check((error == NULL) == fine && (fine || error[0] != '\0'));
	if (!fine)
		return;
	outbox_target_encode(&args, &queue, &m->msg);
	decode();
	check_commands(m, shape);
	check(next == ndecoded);
}
