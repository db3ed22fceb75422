/*-------------------------------------------------------------------------
 *
 * commands.c
 *	  A queue's own commands, with placeholders for a message's parts.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A queue of target "commands" has in its options an array of commands, each
 * an array of arguments.  An argument may have placeholders, for a part of the
 * message or for the time at which the message is sent to Redis:
 *
 *		{id} {type} {key} {payload}
 *		{headers}					as JSON; {} if there are none
 *		{header.NAME}				one header
 *		{queue} {redis_key}			the queue's
 *		{attempt}					1 for the first
 *		{now_s} {now_ms} {now_ns}	since 1970
 *		{now_iso}					2026-01-31T23:59:59.000000Z
 *
 * A part that the message does not have is empty.  {{ and }} are braces.  All
 * other text is literal.  What is filled in is not read again: a payload is one
 * argument, or part of one, whatever is in it.
 *
 * The commands of a message run in one script, in their order, until one of
 * them fails.  The commands before it are not undone, and run again when the
 * message is tried again.  So the command that makes the message visible should
 * come last, and running the others twice should do no harm.
 *
 * A message's commands can be much larger than the message.  If they get too
 * large to be sent, the script refuses the message, so that the queue's policy
 * applies.
 *
 * Which commands there are is up to the server, see server_commands.c.  Refused
 * here are those that scripts may call and that act on more than the keys that
 * they name, since the cursor would not be where the script has put it; and an
 * argument that is a cursor's name, whatever part of the message it came from.
 *
 *-------------------------------------------------------------------------
 */
#include "targets/commands.h"

#include "convert.h"
#include "queue/partition.h"
#include "datatype/timestamp.h"
#include "targets/iso_time.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

/* well below what a script can pass to one command */
#define MAX_ARGUMENTS	1000
#define MAX_COMMANDS	100

/* of a message's commands in all; Redis takes no longer argument */
#define MAX_BYTES		(512 * 1024 * 1024)

typedef enum PieceKind
{
	PIECE_LITERAL,
	PIECE_ID,
	PIECE_TYPE,
	PIECE_KEY,
	PIECE_PAYLOAD,
	PIECE_HEADERS,
	PIECE_QUEUE,
	PIECE_REDIS_KEY,
	PIECE_ATTEMPT,
	PIECE_NOW_S,
	PIECE_NOW_MS,
	PIECE_NOW_NS,
	PIECE_NOW_ISO,
	PIECE_HEADER				/* its name is in the piece's text */
} PieceKind;

static const char *const piece_names[] = {
	[PIECE_ID] = "id",
	[PIECE_TYPE] = "type",
	[PIECE_KEY] = "key",
	[PIECE_PAYLOAD] = "payload",
	[PIECE_HEADERS] = "headers",
	[PIECE_QUEUE] = "queue",
	[PIECE_REDIS_KEY] = "redis_key",
	[PIECE_ATTEMPT] = "attempt",
	[PIECE_NOW_S] = "now_s",
	[PIECE_NOW_MS] = "now_ms",
	[PIECE_NOW_NS] = "now_ns",
	[PIECE_NOW_ISO] = "now_iso"
};

#define HEADER_PREFIX "header."

typedef struct Piece
{
	PieceKind	kind;
	OutboxBytes text;			/* literal in UTF-8, or a header's name */
} Piece;

typedef struct Argument
{
	int			npieces;
	Piece	   *pieces;
} Argument;

typedef struct Command
{
	const char *name;
	int			nargs;			/* with the name */
	Argument   *args;
} Command;

struct OutboxTemplate
{
	int			ncommands;
	Command		commands[FLEXIBLE_ARRAY_MEMBER];
};

/* the same in function.lua */
static const char *const forbidden[] = {
	"SELECT", "SWAPDB", "FLUSHDB", "FLUSHALL", "CLUSTER", "TRIMSLOTS"
};

/* why a message's commands are not sent; the numbers are one_message.lua's */
typedef enum Refusal
{
	NOT_REFUSED = 1,
	TOO_LARGE = 0,
	NAMES_CURSOR = -1
} Refusal;

/* why commands cannot be compiled */
typedef struct Fault
{
	const char *error;
	const char *hint;
} Fault;

static bool
fault(Fault *f, const char *error, const char *hint)
{
	f->error = error;
	f->hint = hint;
	return false;
}

static Piece *
add_piece(Argument *arg, PieceKind kind, OutboxBytes text)
{
	Piece	   *piece;

	arg->pieces = arg->npieces == 0 ? palloc(sizeof(Piece)) :
		repalloc(arg->pieces, (arg->npieces + 1) * sizeof(Piece));
	piece = &arg->pieces[arg->npieces++];
	piece->kind = kind;
	piece->text = text;
	return piece;
}

static bool
add_placeholder(Argument *arg, const char *name, size_t len, Fault *f)
{
	size_t		prefix = strlen(HEADER_PREFIX);

	if (len > prefix && memcmp(name, HEADER_PREFIX, prefix) == 0)
	{
		add_piece(arg, PIECE_HEADER,
				  (OutboxBytes) {pnstrdup(name + prefix, len - prefix), len - prefix});
		return true;
	}
	for (int i = PIECE_ID; i < lengthof(piece_names); i++)
		if (strlen(piece_names[i]) == len && memcmp(piece_names[i], name, len) == 0)
		{
			add_piece(arg, i, (OutboxBytes) {NULL, 0});
			return true;
		}
	return fault(f, psprintf("unknown placeholder \"{%s}\" in commands", pnstrdup(name, len)),
				 "Placeholders are {id}, {type}, {key}, {payload}, {headers}, {header.NAME}, {queue}, {redis_key}, {attempt}, {now_s}, {now_ms}, {now_ns} and {now_iso}; {{ and }} are braces.");
}

/*
 * Split an argument into literals and placeholders.
 */
static bool
compile_argument(Argument *arg, const char *text, size_t len, Fault *f)
{
	const char *end = text + len;
	StringInfoData literal;

	initStringInfo(&literal);
	while (text < end)
	{
		const char *close;

		if ((*text != '{' && *text != '}') ||
			(text + 1 < end && text[1] == text[0]))
		{
			appendStringInfoChar(&literal, *text);
			text += (*text == '{' || *text == '}') ? 2 : 1;
			continue;
		}
		close = *text == '{' ? memchr(text, '}', end - text) : NULL;
		if (close == NULL)
			return fault(f, "unmatched brace in commands", "{{ and }} are braces.");
		if (literal.len > 0)
			add_piece(arg, PIECE_LITERAL,
					  outbox_utf8_bytes(pnstrdup(literal.data, literal.len), literal.len));
		resetStringInfo(&literal);
		if (!add_placeholder(arg, text + 1, close - text - 1, f))
			return false;
		text = close + 1;
	}
	if (literal.len > 0)
		add_piece(arg, PIECE_LITERAL, outbox_utf8_bytes(literal.data, literal.len));
	return true;
}

/*
 * Is there a name, and may it be called?
 */
static bool
check_command(Command *command, Fault *f)
{
	const Argument *first = &command->args[0];
	const char *name;

	if (command->nargs == 0 || first->npieces != 1 ||
		first->pieces[0].kind != PIECE_LITERAL)
		return fault(f, "each of the commands must begin with its name",
					 "For example [\"LPUSH\", \"{redis_key}\", \"{payload}\"].");
	name = pnstrdup(first->pieces[0].text.data, first->pieces[0].text.len);
	if ((name[0] >= '0' && name[0] <= '9') ||
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			   "0123456789._-") < first->pieces[0].text.len)
		return fault(f, psprintf("\"%s\" is not the name of a command", name),
					 "Each argument is an element of its own, for example [\"SET\", \"{id}\", \"{payload}\"].");
	for (int i = 0; i < lengthof(forbidden); i++)
		if (pg_strcasecmp(forbidden[i], name) == 0)
			return fault(f, psprintf("command \"%s\" cannot be one of a queue's commands", name),
						 "Commands of a queue act on the keys that they name.");
	command->name = name;
	return true;
}

static bool
compile_value(Argument *arg, const JsonbValue *v, Fault *f)
{
	char	   *number;

	if (v->type == jbvString)
		return compile_argument(arg, v->val.string.val, v->val.string.len, f);
	if (v->type != jbvNumeric)
		return fault(f, "arguments of commands must be strings or numbers", NULL);
	number = DatumGetCString(DirectFunctionCall1(numeric_out,
												 NumericGetDatum(v->val.numeric)));
	return compile_argument(arg, number, strlen(number), f);
}

static bool
compile_command(Command *command, const JsonbValue *array, Fault *f)
{
	JsonbContainer *c = array->type == jbvBinary ? array->val.binary.data : NULL;

	if (c == NULL || !JsonContainerIsArray(c) || JsonContainerIsScalar(c))
		return fault(f, "commands must be an array of arrays",
					 "For example [[\"LPUSH\", \"{redis_key}\", \"{payload}\"]].");
	if (JsonContainerSize(c) > MAX_ARGUMENTS)
		return fault(f, psprintf("a command has more than %d arguments", MAX_ARGUMENTS), NULL);
	command->nargs = JsonContainerSize(c);
	command->args = palloc0((command->nargs + 1) * sizeof(Argument));
	for (int i = 0; i < command->nargs; i++)
		if (!compile_value(&command->args[i], getIthJsonbValueFromContainer(c, i), f))
			return false;
	return check_command(command, f);
}

OutboxTemplate *
outbox_template_compile(const struct varlena *options, const char **error,
						const char **hint)
{
	Jsonb	   *jsonb = options == NULL ? NULL :
	(Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(options));
	JsonbValue	key = {.type = jbvString,.val.string = {8, "commands"}};
	JsonbValue *v = jsonb == NULL ? NULL :
	findJsonbValueFromContainer(&jsonb->root, JB_FOBJECT, &key);
	JsonbContainer *c = v != NULL && v->type == jbvBinary ? v->val.binary.data : NULL;
	OutboxTemplate *template;
	Fault		f = {NULL, NULL};
	int			n;

	n = c != NULL && JsonContainerIsArray(c) && !JsonContainerIsScalar(c) ?
		JsonContainerSize(c) : 0;
	if (n == 0 || n > MAX_COMMANDS)
		fault(&f, psprintf("commands must be an array of 1 to %d arrays", MAX_COMMANDS),
			  "For example [[\"LPUSH\", \"{redis_key}\", \"{payload}\"]].");
	template = palloc(offsetof(OutboxTemplate, commands) + n * sizeof(Command));
	template->ncommands = n;
	for (int i = 0; i < n && f.error == NULL; i++)
		(void) compile_command(&template->commands[i],
							   getIthJsonbValueFromContainer(c, i), &f);
	*error = f.error;
	*hint = f.hint;
	return f.error == NULL ? template : NULL;
}

int
outbox_template_length(const OutboxTemplate *template)
{
	return template->ncommands;
}

const char *
outbox_template_command(const OutboxTemplate *template, int n, int *nargs)
{
	*nargs = template->commands[n].nargs;
	return template->commands[n].name;
}

/*
 * What is before the first piece that depends on the message may have a hash tag
 * already.
 */
int
outbox_template_slot(const OutboxTemplate *template, int n, int arg,
					 const OutboxQueue *queue)
{
	const Argument *argument = &template->commands[n].args[arg];
	StringInfoData text;
	const char *tag;
	int			len;
	bool		whole = true;

	initStringInfo(&text);
	for (int i = 0; i < argument->npieces && whole; i++)
	{
		const Piece *piece = &argument->pieces[i];

		if (piece->kind == PIECE_LITERAL)
			appendBinaryStringInfo(&text, piece->text.data, piece->text.len);
		else if (piece->kind == PIECE_REDIS_KEY)
			appendStringInfoString(&text, queue->redis_key);
		else
			whole = false;
	}
	return whole || outbox_find_tag(text.data, &tag, &len) ?
		outbox_slot_of_bytes(text.data) : -1;
}

static void
append_now(StringInfo out, PieceKind kind, TimestampTz now)
{
	int64		us = outbox_unix_us(now);

	switch (kind)
	{
		case PIECE_NOW_S:
			appendStringInfo(out, INT64_FORMAT, us / USECS_PER_SEC);
			break;
		case PIECE_NOW_MS:
			appendStringInfo(out, INT64_FORMAT, us / 1000);
			break;
		case PIECE_NOW_NS:
			appendStringInfo(out, INT64_FORMAT "000", us);
			break;
		default:
			outbox_append_iso_time(out, us);
			appendStringInfoChar(out, 'Z');
			break;
	}
}

static void
append_bytes(StringInfo out, OutboxBytes bytes)
{
	appendBinaryStringInfo(out, bytes.data, bytes.len);
}

static void
append_piece(StringInfo out, const Piece *piece, const OutboxArgs *args,
			 const OutboxQueue *queue, const OutboxMessage *msg)
{
	char		id[OUTBOX_UUID_TEXT_LEN + 1];

	switch (piece->kind)
	{
		case PIECE_LITERAL:
			append_bytes(out, piece->text);
			break;
		case PIECE_ID:
			outbox_uuid_text(&msg->id, id);
			appendStringInfoString(out, id);
			break;
		case PIECE_TYPE:
			if (msg->type != NULL)
				append_bytes(out, outbox_text_bytes(msg->type));
			break;
		case PIECE_KEY:
			if (msg->key != NULL)
				append_bytes(out, outbox_text_bytes(msg->key));
			break;
		case PIECE_PAYLOAD:
			appendBinaryStringInfo(out, VARDATA_ANY(msg->payload),
								   VARSIZE_ANY_EXHDR(msg->payload));
			break;
		case PIECE_HEADERS:
			append_bytes(out, outbox_headers_json(msg));
			break;
		case PIECE_HEADER:
			{
				OutboxBytes value = outbox_header(msg, piece->text);

				if (value.data != NULL)
					append_bytes(out, outbox_utf8_bytes(value.data, value.len));
				break;
			}
		case PIECE_QUEUE:
			append_bytes(out, outbox_utf8_bytes(queue->name, strlen(queue->name)));
			break;
		case PIECE_REDIS_KEY:
			appendStringInfoString(out, queue->redis_key);
			break;
		case PIECE_ATTEMPT:
			appendStringInfo(out, "%d", msg->attempts + 1);
			break;
		default:
			append_now(out, piece->kind, args->now);
			break;
	}
}

/*
 * Is this the name of a cursor, ours or another database's?  It ends in
 * :outbox:SOURCE:NUMBER.
 */
static bool
is_cursor_key(const char *key, int len)
{
	static const char prefix[] = ":outbox:";
	int			digits = 0;
	const char *source;

	while (digits < len && key[len - 1 - digits] >= '0' && key[len - 1 - digits] <= '9')
		digits++;
	len -= digits + 1 + OUTBOX_UUID_TEXT_LEN;
	if (digits == 0 || len < (int) strlen(prefix) ||
		memcmp(key + len - strlen(prefix), prefix, strlen(prefix)) != 0)
		return false;
	source = key + len;
	for (int i = 0; i < OUTBOX_UUID_TEXT_LEN; i++)
		if ((i == 8 || i == 13 || i == 18 || i == 23) ?
			source[i] != '-' : outbox_hex_digit(source[i]) < 0)
			return false;
	return source[OUTBOX_UUID_TEXT_LEN] == ':';
}

/*
 * Append one argument.  Returns why the message's commands cannot be sent.
 */
static Refusal
expand_argument(OutboxArgs *args, StringInfo value, int start,
				const Argument *arg, const OutboxQueue *queue,
				const OutboxMessage *msg)
{
	resetStringInfo(value);
	for (int i = 0; i < arg->npieces; i++)
	{
		append_piece(value, &arg->pieces[i], args, queue, msg);
		if (value->len + args->data.len - start > MAX_BYTES)
			return TOO_LARGE;
	}
	if (is_cursor_key(value->data, value->len))
		return NAMES_CURSOR;
	outbox_add_arg(args, value->data, value->len);
	return NOT_REFUSED;
}

/*
 * A single number in place of the commands is the reason why they are refused,
 * for one_message.lua.
 */
void
outbox_template_expand(OutboxArgs *args, const OutboxQueue *queue,
					   const OutboxMessage *msg)
{
	const OutboxTemplate *template = queue->template;
	int			start = args->data.len;
	int			count = args->count;
	Refusal		refusal = NOT_REFUSED;
	StringInfoData value;

	initStringInfo(&value);
	for (int i = 0; i < template->ncommands && refusal == NOT_REFUSED; i++)
	{
		const Command *command = &template->commands[i];

		outbox_add_number(args, command->nargs);
		for (int j = 0; j < command->nargs && refusal == NOT_REFUSED; j++)
			refusal = expand_argument(args, &value, start, &command->args[j],
									  queue, msg);
	}
	pfree(value.data);
	if (refusal != NOT_REFUSED)
	{
		args->data.len = start;
		args->count = count;
		outbox_add_number(args, refusal);
	}
}
