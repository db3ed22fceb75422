/*-------------------------------------------------------------------------
 *
 * fuzz_jobs.c
 *	  Jobs for Celery, Sidekiq, RQ and Dramatiq.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A payload is made of what means something in a description, right or wrong, and
 * sometimes damaged.  What is taken must be JSON to PostgreSQL's own parser, and so
 * must be what is sent, with each member's text in it as it was; what is refused
 * is refused in an orderly way, and the encoder sends nothing of it.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "targets/celery.h"
#include "targets/dramatiq.h"
#include "targets/jobs.h"
#include "targets/rq.h"
#include "targets/sidekiq.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#define MAX_MEMBERS	8

static const OutboxJobSystem *const systems[] = {
	&outbox_celery_system, &outbox_sidekiq_system, &outbox_rq_system, &outbox_dramatiq_system
};
static const OutboxTarget targets[] = {
	OUTBOX_TARGET_CELERY, OUTBOX_TARGET_SIDEKIQ, OUTBOX_TARGET_RQ, OUTBOX_TARGET_DRAMATIQ
};

static const char *const names[] = {
	"task", "class", "func", "actor", "args", "kwargs", "options", "expires", "ignore_result",
	"shadow", "time_limit", "soft_time_limit", "retry", "dead", "tags", "backtrace", "wrapped",
	"retry_for", "retry_queue", "description", "timeout", "result_ttl", "retries_left",
	"retry_intervals", "meta", "max_retries", "redis_message_id", "id", "jid", "", "t\\u0061sk"
};

static const char *const samples[] = {
	"null", "true", "false", "0", "1", "-1", "-0", "2.5", "1e3", "1000000000", "1000000001", "1e308",
	"1e309", "-1e400", "1e-400", "01", "1.", "NaN", "\"\"", "\"x\"", "\"\\n\\\"\\u00e9\"", "\"\\u0000\"",
	"\"\\ud83d\\ude00\"", "\"\\ud800\"", "\"\\x\"", "\"2030-01-31T23:59:59.5Z\"",
	"\"2028-02-29 00:00:00+05:30\"", "\"2027-02-29 00:00:00+00\"", "\"infinity\"", "[]", "[1]",
	"[\"x\"]", "[ 1 , 2 ]", "{}", "{ }", "{\"a\":1}", "{\"max_retries\":3}", "{\"eta\":1}", "tru", "]", ""
};

typedef struct Described
{
	int			n;
	const char *name[MAX_MEMBERS];
	StringInfoData value[MAX_MEMBERS];
} Described;

static void
append_value(Input *in, StringInfo out, int depth)
{
	int			n = take(in, 1);

	if (n < 160 || depth == 0)
		appendStringInfoString(out, samples[n % lengthof(samples)]);
	else if (n < 176)
	{
		Text		text = take_text(in, "");

		append_json(out, &text.utf8);
	}
	else if (n < 192)
	{
		int			nested = 94 + take(in, 1) % 10;

		for (int i = 0; i < nested; i++)
			appendStringInfoString(out, n % 2 == 0 ? "[" : "{\"a\":");
		appendStringInfoChar(out, '1');
		for (int i = 0; i < nested; i++)
			appendStringInfoChar(out, n % 2 == 0 ? ']' : '}');
	}
	else
	{
		int			members = n % 4;

		appendStringInfoChar(out, n % 8 < 4 ? '[' : '{');
		for (int i = 0; i < members; i++)
		{
			appendStringInfoString(out, i > 0 ? ", " : "");
			if (n % 8 >= 4)
				appendStringInfo(out, "\"%s\":", names[take(in, 1) % lengthof(names)]);
			append_value(in, out, depth - 1);
		}
		appendStringInfoChar(out, n % 8 < 4 ? ']' : '}');
	}
}

/*
 * What has to be there, usually, and some members; returns whether it was left
 * as it is.
 */
static bool
take_description(Input *in, int system, Described *d, StringInfo out)
{
	static const char *const first[] = {"task", "class", "func", "actor"};
	int			damage = take(in, 1);

	d->n = 1 + take(in, 1) % (MAX_MEMBERS - 1);
	appendStringInfoChar(out, '{');
	for (int i = 0; i < d->n; i++)
	{
		initStringInfo(&d->value[i]);
		d->name[i] = i == 0 ? first[system] : names[take(in, 1) % lengthof(names)];
		if (i == 0 && take(in, 1) < 240)
			appendStringInfoString(&d->value[i], "\"n\\u00e9\\\"me\"");
		else
			append_value(in, &d->value[i], 3);
		appendStringInfo(out, "%s\"%s\" : ", i == 0 ? " " : ",\n", d->name[i]);
		append_stringinfo(out, &d->value[i]);
	}
	appendStringInfoString(out, " } ");
	if (damage < 32 && damage % 2 == 0)
		out->len = take(in, 2) % out->len;
	else if (damage < 32)
		out->data[take(in, 2) % out->len] = (char) take(in, 1);
	return damage >= 32;
}

static void
check_is_json(OutboxBytes bytes)
{
	JsonLexContext *lex = outbox_json_lex(unconstify(char *, bytes.data), (int) bytes.len);

	check(pg_verify_mbstr(PG_UTF8, bytes.data, (int) bytes.len, true));
	check(pg_parse_json(lex, &nullSemAction) == JSON_SUCCESS);
	outbox_json_lex_free(lex);
}

static bool
has(OutboxBytes bytes, const char *s, size_t len)
{
	for (size_t i = 0; i + len <= bytes.len; i++)
		if (memcmp(bytes.data + i, s, len) == 0)
			return true;
	return false;
}

/* base64, as base64.b64decode() has it */
static OutboxBytes
decode_base64(const char *s)
{
	static const char digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	StringInfoData out;
	uint32		bits = 0;
	int			nbits = 0;

	initStringInfo(&out);
	for (; *s != '"' && *s != '='; s++)
	{
		check(*s != '\0' && strchr(digits, *s) != NULL);
		bits = bits << 6 | (uint32) (strchr(digits, *s) - digits);
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			appendStringInfoChar(&out, (char) (bits >> nbits));
		}
	}
	return (OutboxBytes) {out.data, out.len};
}

/*
 * What is sent is JSON, and has the members as they were.
 */
static void
check_sent(const Model *m, int system, const Described *d)
{
	static const int nargs[] = {4, 8, 0, 9};
	int			count = next_count();
	OutboxBytes sent[2] = {{"", 0}, {"", 0}};

	check(count + next == ndecoded && (nargs[system] == 0 || count == nargs[system]));
	if (system == 2)
	{
		check(next_is_number(3) && next_is("SADD") && next_is("rq:queues"));
		check(next_is(psprintf("rq:queue:%s", redis_key.utf8.data)));
		next += 2;
		check(next_is(psprintf("rq:job:%s", m->id)));
		next += 5;
		sent[0] = next_arg();
		check_is_json(sent[0]);
		next = ndecoded - 3;
		check(next_is("RPUSH"));
		next++;
		check(next_is(m->id));
		return;
	}
	next = system == 3 ? ndecoded - 5 : ndecoded - 1;
	sent[0] = next_arg();
	check_is_json(sent[0]);
	check(has(sent[0], m->id, 36));
	if (system == 0)
	{
		sent[1] = decode_base64(sent[0].data + strlen("{\"body\":\""));
		check_is_json(sent[1]);
	}
	next = ndecoded;
	for (int i = 0; d != NULL && i < d->n; i++)
	{
		const StringInfoData *v = &d->value[i];

		if (v->data[0] == 'n' || strcmp(d->name[i], "expires") == 0 ||
			strcmp(d->name[i], "options") == 0)
			continue;
		check(has(sent[0], v->data, v->len) || has(sent[1], v->data, v->len));
	}
}

static bool
is_refused(OutboxTarget target, const OutboxMessage *msg)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool refused = false;

	PG_TRY();
	{
		outbox_check_job(target, msg);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		check(error->sqlerrcode == ERRCODE_INVALID_PARAMETER_VALUE);
		refused = true;
	}
	PG_END_TRY();
	return refused;
}

void
fuzz_jobs(Input *in)
{
	int			system = take(in, 1) % lengthof(systems);
	OutboxBytes values[OUTBOX_MAX_MEMBERS];
	Described	described;
	StringInfoData payload;
	OutboxBytes bytes;
	const char *fault;
	bool		whole;
	Model	   *m;

	take_queue(in, targets[system]);
	initStringInfo(&payload);
	whole = take_description(in, system, &described, &payload);
	m = take_message(in);
	if (systems[system]->reserved_headers == NULL)
		m->msg.headers = NULL;
	m->msg.payload = make_value(in, payload.data, payload.len);
	bytes = (OutboxBytes) {payload.data, payload.len};

	fault = outbox_read_description(systems[system]->description, bytes, values);
	check(fault == NULL || fault[0] != '\0');
	if (fault != NULL || m->msg.headers == NULL)
		check(is_refused(targets[system], &m->msg) == (fault != NULL));
	outbox_target_encode(&args, &queue, &m->msg);
	decode();
	if (fault != NULL)
	{
		check(next_count() == 1 && next_is("-2"));
		return;
	}
	check_is_json(bytes);
	check_sent(m, system, whole ? &described : NULL);
}
