/*-------------------------------------------------------------------------
 *
 * fuzz_messages.c
 *	  The targets whose messages need no template.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Some messages are encoded as a batch, then each by itself.  What was written is
 * read in the order in which the script takes it.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#define MAX_MESSAGES	6

OutboxBytes *decoded;
int			ndecoded;
int			next;

/* the next of the arguments */

void
decode(void)
{
	decoded = decode_resp(args.data.data, args.data.len, &ndecoded);
	check(ndecoded == args.count);
	next = 0;
}

OutboxBytes
next_arg(void)
{
	check(next < ndecoded);
	return decoded[next++];
}

bool
same(OutboxBytes a, const char *data, size_t len)
{
	return a.len == len && memcmp(a.data, data, len) == 0;
}

bool
equal_text(OutboxBytes a, const Text *text)
{
	return same(a, text->utf8.data, text->utf8.len);
}

bool
next_is(const char *s)
{
	return same(next_arg(), s, strlen(s));
}

bool
next_is_bytes(OutboxBytes bytes)
{
	return same(next_arg(), bytes.data, bytes.len);
}

bool
next_is_text(const Text *text)
{
	return equal_text(next_arg(), text);
}

bool
next_is_number(int64 n)
{
	return next_is(psprintf(INT64_FORMAT, n));
}

/* the count of what follows up to the end of a message, six digits */
int
next_count(void)
{
	OutboxBytes bytes = next_arg();
	int			n = atoi(pnstrdup(bytes.data, bytes.len));

	check(bytes.len == 6 && n > 0);
	return n;
}

/*
 * The headers, each of them, and no other.
 */
void
check_pairs(const Model *m, const Pair *pairs, int npairs)
{
	check(npairs == m->nheaders);
	for (int i = 0; i < npairs; i++)
	{
		int			j = 0;

		while (j < npairs && !equal_text(pairs[i].name, &m->headers[j].name))
			j++;
		check(j < npairs);
		check(equal_text(pairs[i].value, &m->headers[j].value));
		for (int k = 0; k < i; k++)
			check(!equal_text(pairs[k].name, &m->headers[j].name));
	}
}

/* what arrived, in the server's encoding */
static Jsonb *
parse_utf8(OutboxBytes bytes)
{
	return parse_json(pg_any_to_server(pnstrdup(bytes.data, bytes.len), bytes.len, PG_UTF8));
}

void
check_headers_json(const Model *m, OutboxBytes bytes)
{
	Jsonb	   *expected = m->msg.headers != NULL ?
		(Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(m->msg.headers)) : parse_json("{}");

	check(DatumGetBool(DirectFunctionCall2(jsonb_eq, JsonbPGetDatum(parse_utf8(bytes)),
										   JsonbPGetDatum(expected))));
}

/* asynq */

static void
append_option(StringInfo json, const char *name, int64 n)
{
	if (n > 0)
		appendStringInfo(json, "%s\"%s\":" INT64_FORMAT, json->len > 1 ? "," : "", name, n);
}

static void
append_text_option(StringInfo json, const char *name, const Text *text)
{
	if (text->server.len == 0)
		return;
	appendStringInfo(json, "%s\"%s\":", json->len > 1 ? "," : "", name);
	append_json(json, &text->server);
}

static void
take_options(Input *in, Model *m)
{
	int			parts = take(in, 1);
	int64		now = UNIX_US(args.now) / USECS_PER_SEC;
	StringInfoData json;

	m->max_retry = 25;
	init_text(&m->unique_key);
	init_text(&m->group);
	if (parts & 1)
		m->max_retry = take_number(in, PG_INT32_MAX);
	if (parts & 2)
		m->timeout = take_number(in, LONGEST);
	if (parts & 4)
		m->deadline = take_number(in, 2 * LONGEST);
	if (parts & 8)
		m->retention = take_number(in, LONGEST);
	if (parts & 16 && (m->unique_ttl = take_number(in, LONGEST)) > 0)
		m->unique_key = take_text(in, "u");
	if (parts & 32)
		m->group = take_text(in, "g");
	if (parts & 64)
		m->process_at = take_bool(in) ? take_number(in, 2 * LONGEST) : now - 2 + take(in, 1) % 5;
	if (m->msg.type == NULL)
	{
		append_text(&m->type, "t");
		m->msg.type = make_value(in, "t", 1);
	}
	if (!(parts & 127) && take_bool(in))
		return;
	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	append_option(&json, "timeout", m->timeout);
	append_option(&json, "deadline", m->deadline);
	append_option(&json, "retention", m->retention);
	append_option(&json, "unique_ttl", m->unique_ttl);
	append_text_option(&json, "unique_key", &m->unique_key);
	append_text_option(&json, "group", &m->group);
	append_option(&json, "process_at", m->process_at);
	appendStringInfo(&json, "%s\"max_retry\":" INT64_FORMAT "}", json.len > 1 ? "," : "",
					 m->max_retry);
	m->msg.options = make_jsonb(in, json.data);
}

static void
check_task(const Model *m, const Text *lock)
{
	Task		task;

	decode_task(next_arg(), &task);
	check(equal_text(task.texts[1], &m->type));
	check(same(task.texts[2], m->payload.data, m->payload.len));
	check(same(task.texts[3], m->id, 36));
	check(equal_text(task.texts[4], &redis_key));
	check(task.integers[5] == m->max_retry && task.integers[6] == 0);
	check(task.texts[7].len == 0);
	check(task.integers[8] == (m->timeout == 0 && m->deadline == 0 ? 1800 : m->timeout));
	check(task.integers[9] == m->deadline);
	check(equal_text(task.texts[10], lock));
	check(task.integers[11] == 0);
	check(task.integers[12] == m->retention);
	check(task.integers[13] == 0);
	check(equal_text(task.texts[14], &m->group));
	check_pairs(m, task.pairs, task.npairs);
}

static void
check_asynq(const Model *m)
{
	int64		ns = UNIX_US(args.now) * 1000;
	int64		s = UNIX_US(args.now) / USECS_PER_SEC;
	bool		scheduled = m->process_at > s;
	bool		grouped = m->group.utf8.len > 0;
	int			end = next_count();
	Text		lock;

	end += next;
	init_text(&lock);
	if (m->unique_ttl > 0)
	{
		append_text(&lock, psprintf("asynq:{%s}:unique:", redis_key.utf8.data));
		append_text(&lock, m->type.utf8.data);
		append_text(&lock, ":");
		append_text(&lock, m->unique_key.utf8.data);
	}
	check(next_is(scheduled ? "scheduled" : grouped ? "aggregating" : "pending"));
	check(next_is(m->id));
	check_task(m, &lock);
	check(next_is_number(scheduled ? m->process_at : grouped ? s : ns));
	if (next < end)
		check(next_is_text(&m->group));
	else
		check(!grouped && m->unique_ttl == 0);
	if (next < end)
	{
		check(m->unique_ttl > 0 && next_is_text(&lock));
		check(next_is_number(m->unique_ttl + (scheduled ? m->process_at - s : 0)));
	}
	else
		check(m->unique_ttl == 0);
	check(next == end);
}

/* streams and Watermill */

static void
check_stream_entry(const Model *m, const char *shape)
{
	bool		named = shape[0] == 'g';
	int			end = 0;
	Pair	   *pairs;

	if (named)
	{
		OutboxBytes n = next_arg();

		end = atoi(pnstrdup(n.data, n.len)) + next;
		if (queue.maxlen > 0)
			check(next_is("MAXLEN") && next_is("~") && next_is_number(queue.maxlen));
		check(next_is("*"));
	}
	check((!named || next_is("id")) && next_is(m->id));
	if (m->msg.type != NULL)
		check((!named || next_is("type")) && next_is_text(&m->type));
	if (m->msg.key != NULL)
		check((!named || next_is("key")) && next_is_text(&m->key));
	check((!named || next_is("payload")) && next_is_bytes(m->payload));
	if (queue.consumer_retry)
		check(named && next_is("attempt") && next_is_number(m->msg.attempts + 1));
	if (queue.consumer_retry && m->msg.history != NULL && m->msg.attempts > 0)
		check(next_is("error") && next_is_text(&m->error));
	if (queue.fields & OUTBOX_FIELD_ENQUEUED_AT)
		check(named && next_is("enqueued_at") && next_is_number(UNIX_US(m->msg.enqueued_at) / 1000));
	if (queue.fields & OUTBOX_FIELD_QUEUE)
		check(named && next_is("queue") && next_is_text(&queue_name));
	if (!named)
	{
		check(m->msg.headers == NULL && queue.maxlen == 0);
		check((m->msg.type != NULL) == (shape[0] == 't'));
		check((m->msg.key != NULL) == (strchr(shape, 'k') != NULL));
		return;
	}
	check(end <= ndecoded && (end - next) % 2 == 0);
	pairs = palloc((end - next) * sizeof(Pair));
	for (int i = 0; next < end; i++)
	{
		OutboxBytes name = next_arg();

		check(name.len >= 2 && memcmp(name.data, "h:", 2) == 0);
		pairs[i] = (Pair) {{name.data + 2, name.len - 2}, next_arg()};
		if (next == end)
			check_pairs(m, pairs, i + 1);
	}
}

static void
check_watermill_entry(const Model *m, const char *shape)
{
	bool		named = shape[0] == 'g';
	int			npairs;
	Pair	   *pairs;

	if (named)
		check(next_is_number(queue.maxlen > 0 ? 10 : 7));
	if (named && queue.maxlen > 0)
		check(next_is("MAXLEN") && next_is("~") && next_is_number(queue.maxlen));
	check(!named || next_is("*"));
	check((!named || next_is("_watermill_message_uuid")) && next_is(m->id));
	check(!named || next_is("metadata"));
	pairs = decode_msgpack(next_arg(), &npairs);
	check_pairs(m, pairs, npairs);
	check((!named || next_is("payload")) && next_is_bytes(m->payload));
}

static void
check_entry(const Model *m, const char *shape)
{
	if (queue.target == OUTBOX_TARGET_WATERMILL)
		check_watermill_entry(m, shape);
	else
		check_stream_entry(m, shape);
}

/*
 * Runs as the script takes them.
 */
static void
check_runs(Model *const *models, int n)
{
	char		last[8] = "";

	for (int i = 0; i < n;)
	{
		OutboxBytes shape = next_arg();
		OutboxBytes digits = next_arg();
		int			count = atoi(pnstrdup(digits.data, digits.len));
		char		name[8];

		check(shape.len < sizeof(name) && digits.len == 4);
		memcpy(name, shape.data, shape.len);
		name[shape.len] = '\0';
		check(strcmp(name, last) != 0);
		check(strcmp(name, "p") == 0 || strcmp(name, "tp") == 0 || strcmp(name, "kp") == 0 ||
			  strcmp(name, "tkp") == 0 || strcmp(name, "w") == 0 || strcmp(name, "g") == 0);
		check((strcmp(name, "w") == 0) == (queue.target == OUTBOX_TARGET_WATERMILL &&
										   queue.maxlen == 0));
		check(count > 0 && i + count <= n);
		for (strcpy(last, name); count > 0; count--)
			check_entry(models[i++], name);
	}
}

/* lists and channels */

static JsonbValue *
json_member(Jsonb *object, const char *name)
{
	JsonbValue	key = {.type = jbvString};

	key.val.string.val = unconstify(char *, name);
	key.val.string.len = strlen(name);
	return findJsonbValueFromContainer(&object->root, JB_FOBJECT, &key);
}

static bool
is_string(const JsonbValue *v, const char *data, size_t len)
{
	return v != NULL && v->type == jbvString && v->val.string.len == len &&
		memcmp(v->val.string.val, data, len) == 0;
}

static void
check_base64(const JsonbValue *v, OutboxBytes payload)
{
	static const char digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	StringInfoData s;

	initStringInfo(&s);
	for (size_t i = 0; i < payload.len; i += 3)
	{
		size_t		left = payload.len - i;
		uint32		bits = (uint8) payload.data[i] << 16;

		if (left > 1)
			bits |= (uint8) payload.data[i + 1] << 8;
		if (left > 2)
			bits |= (uint8) payload.data[i + 2];
		appendStringInfo(&s, "%c%c%c%c", digits[bits >> 18], digits[bits >> 12 & 63],
						 left > 1 ? digits[bits >> 6 & 63] : '=',
						 left > 2 ? digits[bits & 63] : '=');
	}
	check(is_string(v, s.data, s.len));
}

static void
check_fields(Jsonb *json, const Model *m)
{
	JsonbValue *at = json_member(json, "enqueued_at");
	JsonbValue *name = json_member(json, "queue");

	check((at != NULL) == ((queue.fields & OUTBOX_FIELD_ENQUEUED_AT) != 0));
	check(at == NULL || (at->type == jbvNumeric &&
						 DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(at->val.numeric))) ==
						 UNIX_US(m->msg.enqueued_at) / 1000));
	check((name != NULL) == ((queue.fields & OUTBOX_FIELD_QUEUE) != 0));
	check(name == NULL || is_string(name, queue_name.server.data, queue_name.server.len));
}

static void
check_json(const Model *m)
{
	OutboxBytes arg = next_arg();
	Jsonb	   *json;
	JsonbValue *v;

	if (queue.format == OUTBOX_FORMAT_RAW)
	{
		check(same(arg, m->payload.data, m->payload.len));
		return;
	}
	check(memchr(arg.data, '\n', arg.len) == NULL);
	json = parse_utf8(arg);
	check(JB_ROOT_COUNT(json) == 2 + (m->msg.type != NULL) + (m->msg.key != NULL) +
		  (m->msg.headers != NULL) + (queue.fields & OUTBOX_FIELD_ENQUEUED_AT ? 1 : 0) +
		  (queue.fields & OUTBOX_FIELD_QUEUE ? 1 : 0));
	check(is_string(json_member(json, "id"), m->id, 36));
	v = json_member(json, "type");
	check((v != NULL) == (m->msg.type != NULL));
	check(v == NULL || is_string(v, m->type.server.data, m->type.server.len));
	v = json_member(json, "key");
	check((v != NULL) == (m->msg.key != NULL));
	check(v == NULL || is_string(v, m->key.server.data, m->key.server.len));
	check_fields(json, m);
	if (m->msg.headers != NULL)
	{
		v = json_member(json, "headers");
		check(v != NULL && v->type == jbvBinary);
		check(compareJsonbContainers(v->val.binary.data, &((Jsonb *)
			  PG_DETOAST_DATUM(PointerGetDatum(m->msg.headers)))->root) == 0);
	}
	if (m->msg.kind == OUTBOX_PAYLOAD_BYTEA)
		check_base64(json_member(json, "payload_base64"), m->payload);
	else
	{
		char	   *payload = pnstrdup(m->payload.data, m->payload.len);

		payload = pg_any_to_server(payload, m->payload.len, PG_UTF8);
		v = json_member(json, "payload");
		if (m->msg.kind == OUTBOX_PAYLOAD_TEXT)
			check(is_string(v, payload, strlen(payload)));
		else
		{
			JsonbValue	expected;

			check(JsonbExtractScalar(&parse_json(payload)->root, &expected));
			check(is_string(v, expected.val.string.val, expected.val.string.len));
		}
	}
}

/* functions */

static void
check_function(const Model *m)
{
	check(next_count() == 7);
	check(next_is(m->id));
	check(next_is_text(&m->type));
	check(next_is_text(&m->key));
	check(next_is_bytes(m->payload));
	check_headers_json(m, next_arg());
	check(next_is_number(UNIX_US(args.now) / 1000));
	check(next_is_number(m->msg.attempts + 1));
}

/*
 * A history with events of which the last one counts.
 */
static void
take_history(Input *in, Model *m)
{
	int			n = 1 + take(in, 1) % 3;
	StringInfoData json;

	initStringInfo(&json);
	for (int i = 0; i < n; i++)
	{
		m->error = take_text(in, "");
		appendStringInfoString(&json, i == 0 ? "[{\"error\":" : ",{\"error\":");
		append_json(&json, &m->error.server);
		appendStringInfoString(&json, ",\"at\":1}");
	}
	appendStringInfoChar(&json, ']');
	m->msg.history = make_jsonb(in, json.data);
}

/* messages, as a batch and one by one */

static void
fuzz_messages(Input *in, OutboxTarget target, bool counted, void (*check_one) (const Model *))
{
	Model	   *models[MAX_MESSAGES];
	int			n = 1 + take(in, 1) % MAX_MESSAGES;
	int			choice = 0;

	take_queue(in, target);
	if (target == OUTBOX_TARGET_STREAM || target == OUTBOX_TARGET_WATERMILL)
		queue.maxlen = take(in, 1) % 4 == 0 ? take_number(in, PG_INT64_MAX) : 0;
	if (target == OUTBOX_TARGET_STREAM || target == OUTBOX_TARGET_LIST)
		choice = take(in, 1);
	if (target == OUTBOX_TARGET_STREAM)
		queue.consumer_retry = choice % 4 == 0;
	if (target == OUTBOX_TARGET_LIST)
		queue.format = choice % 4 == 0 ? OUTBOX_FORMAT_RAW : OUTBOX_FORMAT_JSON;
	queue.fields = choice / 4 % 4;
	for (int i = 0; i < n; i++)
	{
		models[i] = take_message(in);
		if (target == OUTBOX_TARGET_ASYNQ)
			take_options(in, models[i]);
		if (queue.consumer_retry && take_bool(in))
			take_history(in, models[i]);
		outbox_target_encode(&args, &queue, &models[i]->msg);
	}
	decode();
	if (check_one == NULL)
		check_runs(models, n);
	for (int i = 0; i < n && check_one != NULL; i++)
		check_one(models[i]);
	check(next == ndecoded);

	resetStringInfo(&args.data);
	args.count = 0;
	for (int i = 0; i < n; i++)
		outbox_target_encode_alone(&args, &queue, &models[i]->msg);
	decode();
	for (int i = 0; i < n; i++)
	{
		if (!counted && check_one != NULL)
			check(next_count() == 1);
		if (check_one != NULL)
			check_one(models[i]);
		else
			check_entry(models[i], "g");
	}
	check(next == ndecoded);
}

void
fuzz_asynq(Input *in)
{
	fuzz_messages(in, OUTBOX_TARGET_ASYNQ, true, check_asynq);
}

void
fuzz_stream(Input *in)
{
	fuzz_messages(in, OUTBOX_TARGET_STREAM, false, NULL);
}

void
fuzz_watermill(Input *in)
{
	fuzz_messages(in, OUTBOX_TARGET_WATERMILL, false, NULL);
}

void
fuzz_json(Input *in)
{
	fuzz_messages(in, OUTBOX_TARGET_LIST, false, check_json);
}

void
fuzz_function(Input *in)
{
	fuzz_messages(in, OUTBOX_TARGET_FUNCTION, true, check_function);
}
