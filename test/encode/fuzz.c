/*-------------------------------------------------------------------------
 *
 * fuzz.c
 *	  libFuzzer within a backend, for the encoders.
 *
 * Design notes
 *
 * The encoders use palloc, jsonb, elog and conversions of encodings, and so
 * need a backend.  This is a single-user one, see the script "fuzz": it loads
 * the encoders compiled with the fuzzer's counters, and libFuzzer, which is a
 * library here and never comes back.
 *
 * From the fuzzer's bytes each target makes a queue and messages, and knows
 * what ought to be sent, in UTF-8, without any code of src: text is made twice,
 * in the server's encoding and in UTF-8.  What the encoder wrote is decoded
 * (decode.c), or parsed by PostgreSQL if it is JSON, and compared.  Commands
 * are also made of any text, and understood by the slow and simple expand().
 *
 * Values have long headers or short ones, and end where a page begins that
 * nobody may read: who reads past them is seen.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox.h"

#include <sys/mman.h>
#include <unistd.h>

#include "catalog/pg_type.h"
#include "decode.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "options.h"
#include "queue.h"
#include "target.h"
#include "template.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(fuzz);

extern int	LLVMFuzzerRunDriver(int *argc, char ***argv,
								int (*callback) (const uint8_t *data, size_t size));

#define MAX_MESSAGES	6
#define MAX_HEADERS		300
#define LONGEST			INT64CONST(31622400000)
#define UNIX_US(t)		((t) + INT64CONST(946684800000000))

/* what the fuzzer says; zeros when it has no more to say */
typedef struct Input
{
	const uint8_t *at;
	const uint8_t *end;
} Input;

/* the same in the server's encoding and in UTF-8 */
typedef struct Text
{
	StringInfoData server;
	StringInfoData utf8;
} Text;

typedef struct Header
{
	Text		name;
	Text		value;
} Header;

/* a message, and what is expected to arrive of it */
typedef struct Model
{
	OutboxMessage msg;
	char		id[37];
	Text		type;
	Text		key;
	OutboxBytes payload;
	int			nheaders;
	Header	   *headers;
	/* options of asynq */
	int64		max_retry;
	int64		timeout;
	int64		deadline;
	int64		retention;
	int64		unique_ttl;
	int64		process_at;
	Text		unique_key;
	Text		group;
} Model;

static OutboxQueue queue;
static Text queue_name;
static Text redis_key;
static OutboxArgs args;
static OutboxBytes *decoded;
static int	ndecoded;
static int	next;				/* of the decoded arguments */

/* room for values, each with a page behind it that can't be read */
#define MAX_VALUES	64
#define MAX_VALUE	(1 << 20)

static char *values[MAX_VALUES];
static int	nvalues;

#define check(condition) \
	do { if (!(condition)) wrong(#condition, __LINE__); } while (0)

static void
wrong(const char *what, int line)
{
	fprintf(stderr, "fuzz.c:%d: not so: %s\n", line, what);
	abort();
}

static uint64
take(Input *in, int bytes)
{
	uint64		n = 0;

	while (bytes-- > 0)
		n = n << 8 | (in->at < in->end ? *in->at++ : 0);
	return n;
}

static bool
take_bool(Input *in)
{
	return take(in, 1) & 1;
}

/*
 * A number from 0 to max, often one at which something changes.
 */
static int64
take_number(Input *in, int64 max)
{
	static const int64 edges[] = {
		0, 1, 24, 25, 26, 127, 128, 1800, 16383, 16384, 2097151, 2097152,
		268435455, 268435456, PG_INT32_MAX, INT64CONST(2147483648),
		INT64CONST(34359738367), INT64CONST(34359738368)
	};
	int			how = take(in, 1);
	int64		n = how < lengthof(edges) ? edges[how] :
		how < 64 ? max - (how & 3) : (int64) (take(in, how < 160 ? 2 : 5));

	return Max(0, Min(n, max));
}

static size_t
take_length(Input *in)
{
	static const int edges[] = {
		15, 16, 17, 31, 32, 33, 127, 128, 255, 256, 257, 16383, 16384, 65535, 65536
	};
	int			n = take(in, 1);

	return n < 240 ? n % 24 : edges[n - 240 < lengthof(edges) ? n - 240 : 0];
}

static void
append_utf8(StringInfo out, uint32 c)
{
	unsigned char buf[4];

	unicode_to_utf8(c, buf);
	appendBinaryStringInfo(out, (char *) buf, pg_utf_mblen(buf));
}

/*
 * A character that the server's encoding has: no zero, no half of one.
 */
static void
append_character(Text *text, Input *in)
{
	uint32		c = take(in, 1);

	if (c == 0)
		c = 'x';
	if (c >= 0x80 && GetDatabaseEncoding() == PG_UTF8)
	{
		c = (c & 0x7f) << 8 | take(in, 1);
		c = c < 0x4000 ? c + 0x80 : 0x10000 + (c - 0x4000) * 64;
		append_utf8(&text->server, c);
	}
	else
		appendStringInfoChar(&text->server, (char) c);
	append_utf8(&text->utf8, c);
}

static void
append_text(Text *text, const char *ascii)
{
	appendStringInfoString(&text->server, ascii);
	appendStringInfoString(&text->utf8, ascii);
}

static void
init_text(Text *text)
{
	initStringInfo(&text->server);
	initStringInfo(&text->utf8);
}

/* text with just so many bytes in UTF-8, or up to three more */
static Text
take_text(Input *in, const char *prefix)
{
	size_t		length = take_length(in);
	Text		text;

	init_text(&text);
	append_text(&text, prefix);
	while (text.utf8.len < length && in->at < in->end)
		append_character(&text, in);
	while (text.utf8.len < length)
		append_text(&text, "y");
	return text;
}

/*
 * A value behind which there is nothing to be read.
 */
static struct varlena *
make_value(Input *in, const char *data, size_t len)
{
	bool		brief = len + VARHDRSZ_SHORT <= VARATT_SHORT_MAX && take_bool(in);
	size_t		size = len + (brief ? VARHDRSZ_SHORT : VARHDRSZ);
	struct varlena *value;

	check(nvalues < MAX_VALUES);
	if (size > MAX_VALUE)
		value = palloc(size);
	else
		value = (struct varlena *) (values[nvalues++] + MAX_VALUE -
									(brief ? size : INTALIGN(size)));
	if (brief)
		SET_VARSIZE_SHORT(value, size);
	else
		SET_VARSIZE(value, size);
	memcpy(VARDATA_ANY(value), data, len);
	return value;
}

static void
append_json(StringInfo out, const StringInfoData *s)
{
	appendStringInfoChar(out, '"');
	for (int i = 0; i < s->len; i++)
	{
		unsigned char c = s->data[i];

		if (c < 0x20 || c == '"' || c == '\\')
			appendStringInfo(out, "\\u%04x", c);
		else
			appendStringInfoChar(out, c);
	}
	appendStringInfoChar(out, '"');
}

static Jsonb *
parse_json(char *text)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

static struct varlena *
make_jsonb(Input *in, char *text)
{
	Jsonb	   *jsonb = parse_json(text);

	return make_value(in, VARDATA(jsonb), VARSIZE(jsonb) - VARHDRSZ);
}

/*
 * Headers; of those of one name the last one is kept.
 */
static void
take_headers(Input *in, Model *m)
{
	static const int edges[] = {15, 16, 17, 31, 32, 255, 256, MAX_HEADERS};
	int			n = take(in, 1);
	StringInfoData json;

	n = n < 248 ? n % 6 : edges[n - 248];
	m->headers = palloc((n + 1) * sizeof(Header));
	initStringInfo(&json);
	for (int i = 0; i < n; i++)
	{
		Header		header;
		int			j = 0;

		header.name = take_text(in, "");
		if (n > 6)
			append_text(&header.name, psprintf("%d", i));
		header.value = take_text(in, "");
		appendStringInfoChar(&json, i == 0 ? '{' : ',');
		append_json(&json, &header.name.server);
		appendStringInfoChar(&json, ':');
		append_json(&json, &header.value.server);
		while (j < m->nheaders && strcmp(m->headers[j].name.utf8.data,
										 header.name.utf8.data) != 0)
			j++;
		m->headers[j] = header;
		m->nheaders = Max(m->nheaders, j + 1);
	}
	appendStringInfoString(&json, n == 0 ? "{}" : "}");
	m->msg.headers = make_jsonb(in, json.data);
}

static void
take_payload(Input *in, Model *m)
{
	size_t		len = take_length(in);
	StringInfoData bytes;
	Text		text;

	initStringInfo(&bytes);
	switch (take(in, 1) % 3)
	{
		case 0:
			m->msg.kind = OUTBOX_KIND_BYTEA;
			for (size_t i = 0; i < len; i++)
				appendStringInfoChar(&bytes, (char) take(in, 1));
			break;
		case 1:
			m->msg.kind = OUTBOX_KIND_TEXT;
			text = take_text(in, "");
			bytes = text.utf8;
			break;
		default:
			m->msg.kind = OUTBOX_KIND_JSONB;
			text = take_text(in, "");
			append_json(&bytes, &text.utf8);
			break;
	}
	m->payload = (OutboxBytes) {bytes.data, bytes.len};
	m->msg.payload = make_value(in, bytes.data, bytes.len);
}

static Model *
take_message(Input *in)
{
	Model	   *m = palloc0(sizeof(Model));
	int			parts = take(in, 1);
	char	   *id = m->id;

	for (int i = 0; i < UUID_LEN; i++)
	{
		m->msg.id.data[i] = take(in, 1);
		id += sprintf(id, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
					  m->msg.id.data[i]);
	}
	m->msg.attempts = take(in, 2) & 0x7fff;
	take_payload(in, m);
	init_text(&m->type);
	init_text(&m->key);
	if (parts & 1)
	{
		m->type = take_text(in, "");
		m->msg.type = make_value(in, m->type.server.data, m->type.server.len);
	}
	if (parts & 2)
	{
		m->key = take_text(in, "");
		m->msg.key = make_value(in, m->key.server.data, m->key.server.len);
	}
	if (parts & 4)
		take_headers(in, m);
	return m;
}

static void
take_queue(Input *in, OutboxTarget target)
{
	memset(&queue, 0, sizeof(queue));
	memset(&args, 0, sizeof(args));
	initStringInfo(&args.data);
	args.now = take(in, 7) % INT64CONST(6300000000000000);
	queue.target = target;
	queue_name = take_text(in, "q");
	redis_key = take_text(in, "r");
	queue.name = queue_name.server.data;
	queue.redis_key = redis_key.utf8.data;
}

/* the next of the arguments */

static void
decode(void)
{
	decoded = decode_resp(args.data.data, args.data.len, &ndecoded);
	check(ndecoded == args.count);
	next = 0;
}

static OutboxBytes
next_arg(void)
{
	check(next < ndecoded);
	return decoded[next++];
}

static bool
same(OutboxBytes a, const char *data, size_t len)
{
	return a.len == len && memcmp(a.data, data, len) == 0;
}

static bool
equal_text(OutboxBytes a, const Text *text)
{
	return same(a, text->utf8.data, text->utf8.len);
}

static bool
next_is(const char *s)
{
	return same(next_arg(), s, strlen(s));
}

static bool
next_is_bytes(OutboxBytes bytes)
{
	return same(next_arg(), bytes.data, bytes.len);
}

static bool
next_is_text(const Text *text)
{
	return equal_text(next_arg(), text);
}

static bool
next_is_number(int64 n)
{
	return next_is(psprintf(INT64_FORMAT, n));
}

/* the count of what follows up to the end of a message, six digits */
static int
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
static void
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

static void
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
		  (m->msg.headers != NULL));
	check(is_string(json_member(json, "id"), m->id, 36));
	v = json_member(json, "type");
	check((v != NULL) == (m->msg.type != NULL));
	check(v == NULL || is_string(v, m->type.server.data, m->type.server.len));
	v = json_member(json, "key");
	check((v != NULL) == (m->msg.key != NULL));
	check(v == NULL || is_string(v, m->key.server.data, m->key.server.len));
	if (m->msg.headers != NULL)
	{
		v = json_member(json, "headers");
		check(v != NULL && v->type == jbvBinary);
		check(compareJsonbContainers(v->val.binary.data, &((Jsonb *)
			  PG_DETOAST_DATUM(PointerGetDatum(m->msg.headers)))->root) == 0);
	}
	if (m->msg.kind == OUTBOX_KIND_BYTEA)
		check_base64(json_member(json, "payload_base64"), m->payload);
	else
	{
		char	   *payload = pnstrdup(m->payload.data, m->payload.len);

		payload = pg_any_to_server(payload, m->payload.len, PG_UTF8);
		v = json_member(json, "payload");
		if (m->msg.kind == OUTBOX_KIND_TEXT)
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

/* commands */

static void
append_stringinfo(StringInfo out, const StringInfoData *s)
{
	appendBinaryStringInfo(out, s->data, s->len);
}

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

static void
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

/* all the others: messages are encoded, as a batch and one by one */

static void
fuzz_messages(Input *in, OutboxTarget target, bool counted, void (*check_one) (const Model *))
{
	Model	   *models[MAX_MESSAGES];
	int			n = 1 + take(in, 1) % MAX_MESSAGES;

	take_queue(in, target);
	if (target == OUTBOX_TARGET_STREAM || target == OUTBOX_TARGET_WATERMILL)
		queue.maxlen = take(in, 1) % 4 == 0 ? take_number(in, PG_INT64_MAX) : 0;
	if (target == OUTBOX_TARGET_LIST)
		queue.format = take(in, 1) % 4 == 0 ? OUTBOX_FORMAT_RAW : OUTBOX_FORMAT_JSON;
	for (int i = 0; i < n; i++)
	{
		models[i] = take_message(in);
		if (target == OUTBOX_TARGET_ASYNQ)
			take_options(in, models[i]);
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

static void
fuzz_asynq(Input *in)
{
	fuzz_messages(in, OUTBOX_TARGET_ASYNQ, true, check_asynq);
}

static void
fuzz_stream(Input *in)
{
	fuzz_messages(in, OUTBOX_TARGET_STREAM, false, NULL);
}

static void
fuzz_watermill(Input *in)
{
	fuzz_messages(in, OUTBOX_TARGET_WATERMILL, false, NULL);
}

static void
fuzz_json(Input *in)
{
	fuzz_messages(in, OUTBOX_TARGET_LIST, false, check_json);
}

static void
fuzz_function(Input *in)
{
	fuzz_messages(in, OUTBOX_TARGET_FUNCTION, true, check_function);
}

/*
 * Options, of any shape: refused in an orderly way, or taken, and then they
 * can be read and sent.
 */

static void
append_any(Input *in, StringInfo json, int depth)
{
	static const char *const samples[] = {
		"null", "true", "0", "1", "-1", "1.5", "1e9", "1e400", "25", "1800", "2147483647",
		"2147483648", "31622400000", "31622400001", "63244800000", "63244800001",
		"\"30 seconds\"", "\"1 mon 1 day\"", "\"-1 second\"", "\"0.000001 s\"",
		"\"2026-11-22 21:00:00+00\"", "\"1969-12-31 23:59:59+00\"", "\"infinity\"", "\"now\"",
		"\"1000 years\"", "\"1002 years\"", "\"294276-12-31\"", "\"\"", "\" \\t\"", "[]", "{}",
		"[[\"LPUSH\",\"{redis_key}\",\"{payload}\"]]", "\"LPUSH\"", "\"{id}\"", "\"{\""
	};
	int			n = take(in, 1);

	if (n < lengthof(samples))
		appendStringInfoString(json, samples[n]);
	else if (n < 64 || depth == 0)
	{
		Text		text = take_text(in, "");

		append_json(json, &text.server);
	}
	else if (n < 96)
		appendStringInfo(json, INT64_FORMAT, take_number(in, PG_INT64_MAX));
	else
	{
		int			members = n % 5;

		appendStringInfoChar(json, '[');
		while (members-- > 0)
		{
			append_any(in, json, depth - 1);
			appendStringInfoString(json, members > 0 ? "," : "");
		}
		appendStringInfoChar(json, ']');
	}
}

static struct varlena *
take_any_options(Input *in)
{
	static const char *const names[] = {
		"max_retry", "timeout", "deadline", "retention", "unique_ttl", "unique_key", "group",
		"process_at", "commands", "function", "other", ""
	};
	int			n = take(in, 1) % 8;
	StringInfoData json;

	initStringInfo(&json);
	if (n == 7)
		append_any(in, &json, 4);
	else
	{
		appendStringInfoChar(&json, '{');
		for (int i = 0; i < n; i++)
		{
			appendStringInfo(&json, "%s\"%s\":", i > 0 ? "," : "",
							 names[take(in, 1) % lengthof(names)]);
			append_any(in, &json, 4);
		}
		appendStringInfoChar(&json, '}');
	}
	return make_jsonb(in, json.data);
}

/*
 * Errors are for those who can mend it: of data, of limits.
 */
static bool
refused(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_DATA_EXCEPTION || category == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

static void
check_staged(Model *m)
{
	Task		task;

	m->msg.options = outbox_message_options(&queue, &m->msg, m->msg.options, 0);
	if (queue.target != OUTBOX_TARGET_ASYNQ)
	{
		check(m->msg.options == NULL);
		return;
	}
	outbox_target_encode(&args, &queue, &m->msg);
	decode();
	check(next_count() + next == ndecoded);
	next += 2;
	decode_task(next_arg(), &task);
	check(task.integers[5] >= 0 && task.integers[5] <= PG_INT32_MAX);
	check(task.integers[8] >= 0 && task.integers[8] <= LONGEST);
	check(task.integers[8] > 0 || task.integers[9] > 0);
	check(task.integers[12] >= 0 && task.integers[12] <= LONGEST);
	if (ndecoded > 6)
		check(decoded[6].len > 0 && decoded[6].len == task.texts[10].len && ndecoded == 8);
}

static void
fuzz_options(Input *in)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool staged = false;
	OutboxTarget target = take(in, 1) % (OUTBOX_TARGET_FUNCTION + 1);
	Model	   *m;

	take_queue(in, target);
	m = take_message(in);
	if (take_bool(in))
		queue.options = take_any_options(in);
	if (take_bool(in))
		m->msg.options = take_any_options(in);
	PG_TRY();
	{
		outbox_check_queue_options(target, queue.options);
		m->msg.options = outbox_message_options(&queue, &m->msg, m->msg.options,
												take_bool(in) ? args.now + 1 : 0);
		staged = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		if (!refused(error))
			fprintf(stderr, "%s\n", error->message);
		check(refused(error));
	}
	PG_END_TRY();
	if (!staged)
		return;
	/* what is staged is read without an error, and is complete */
	if (m->msg.options != NULL)
		check(target == OUTBOX_TARGET_ASYNQ);
	if (target == OUTBOX_TARGET_ASYNQ)
	{
		OutboxTaskOptions task;

		outbox_read_task_options(m->msg.options, &task);
		check(task.process_at == 0 ||
			  task.process_at == (UNIX_US(args.now) + USECS_PER_SEC) / USECS_PER_SEC);
		check((task.unique_ttl > 0) == (task.unique_key.len > 0));
		queue.options = NULL;
		if (task.process_at == 0)
			check_staged(m);
	}
}

static const struct
{
	const char *name;
	void		(*run) (Input *in);
}			targets[] =
{
	{"asynq", fuzz_asynq}, {"commands", fuzz_commands}, {"function", fuzz_function},
	{"json", fuzz_json}, {"options", fuzz_options}, {"stream", fuzz_stream},
	{"watermill", fuzz_watermill}
};

static MemoryContext scratch;
static void (*run_target) (Input *in);

static int
run(const uint8_t *data, size_t size)
{
	Input		in = {data, data + size};

	MemoryContextSwitchTo(scratch);
	PG_TRY();
	{
		run_target(&in);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(scratch);
		fprintf(stderr, "error: %s\n", CopyErrorData()->message);
		abort();
	}
	PG_END_TRY();
	nvalues = 0;
	MemoryContextReset(scratch);
	return 0;
}

static void
make_room(void)
{
	for (int i = 0; i < MAX_VALUES; i++)
	{
		values[i] = mmap(NULL, MAX_VALUE + getpagesize(), PROT_READ | PROT_WRITE,
						 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (values[i] == MAP_FAILED ||
			mprotect(values[i] + MAX_VALUE, getpagesize(), PROT_NONE) != 0)
			elog(ERROR, "no memory for values: %m");
	}
}

/*
 * fuzz(target, libFuzzer's arguments...)
 */
Datum
fuzz(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(1);
	Datum	   *arguments;
	int			argc;
	char	  **argv;

	deconstruct_array(array, ARR_ELEMTYPE(array), -1, false, TYPALIGN_INT, &arguments, NULL,
					  &argc);
	argv = palloc0((argc + 2) * sizeof(char *));
	argv[0] = name;
	for (int i = 0; i < argc; i++)
		argv[i + 1] = TextDatumGetCString(arguments[i]);
	argc++;
	for (int i = 0; i < lengthof(targets); i++)
		if (strcmp(targets[i].name, name) == 0)
			run_target = targets[i].run;
	if (run_target == NULL)
		elog(ERROR, "no target %s", name);
	scratch = AllocSetContextCreate(TopMemoryContext, "fuzz", ALLOCSET_DEFAULT_SIZES);
	make_room();
	LLVMFuzzerRunDriver(&argc, &argv, run);
	PG_RETURN_VOID();
}
