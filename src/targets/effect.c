/*-------------------------------------------------------------------------
 *
 * effect.c
 *	  The commands that one message is for Redis.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A message is encoded as the relay encodes it (target.c), and what the encoder
 * has written is read as the script reads it: here is in C what one_message.lua
 * does with the arguments of a message.  For most targets these are the command's
 * own.  Only a task of asynq is more than its arguments say, and its commands are
 * here and there in the same order; test/t/221_preview.pl compares both with what
 * Redis was asked to do.
 *
 * What only looks is left out: asynq's question whether the task is there
 * already, and all that is about the cursor.  A function of the queue's own is
 * executed in Redis, so of it there are the arguments only.
 *
 *-------------------------------------------------------------------------
 */
#include "targets/effect.h"

#include <limits.h>

#include "targets/commands.h"
#include "targets/target.h"

/* at most, of asynq's */
#define MAX_ARGS 8

/* the arguments that an encoder has written */
typedef struct Written
{
	int			n;
	OutboxBytes *args;
} Written;

/*
 * Read "$length", the bytes and what ends them, n times.
 */
static Written
read_args(const OutboxArgs *args)
{
	Written		written = {0, palloc((args->count + 1) * sizeof(OutboxBytes))};
	const char *s = args->data.data;

	for (; written.n < args->count; written.n++)
	{
		char	   *end;
		size_t		len = strtoul(s + 1, &end, 10);

		Assert(*s == '$');
		written.args[written.n] = (OutboxBytes) {end + 2, len};
		s = end + 2 + len + 2;
	}
	return written;
}

static OutboxBytes
bytes_of(const char *s)
{
	return (OutboxBytes) {s, strlen(s)};
}

/*
 * A command of some words, and of the arguments n of what was written.
 */
static OutboxCommand *
command_of(const char *const *words, int nwords, const OutboxBytes *args, int n)
{
	OutboxCommand *command = palloc(sizeof(OutboxCommand));

	command->nargs = nwords + n;
	command->args = palloc((nwords + n + 1) * sizeof(OutboxBytes));
	for (int i = 0; i < nwords; i++)
		command->args[i] = bytes_of(words[i]);
	if (n > 0)
		memcpy(command->args + nwords, args, n * sizeof(OutboxBytes));
	return command;
}

static int
number_of(OutboxBytes arg)
{
	return atoi(pnstrdup(arg.data, arg.len));
}

static void
is_refused(const OutboxQueue *queue, int why)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the message would be refused when it is delivered"),
			 errdetail("%s", why == 0 ? "Its commands have more than 512 MB." :
					   why == -1 ? "Its commands name a cursor." :
					   "Its payload describes no job."),
			 errhint("What happens then is up to the policy of queue \"%s\", see its on_failure.",
					 queue->name)));
}

/*
 * Commands one after the other: the number of arguments, then these.
 */
static List *
commands_of(const OutboxQueue *queue, const Written *written)
{
	List	   *result = NIL;
	int			n;

	for (int i = 1; i < written->n; i += n + 1)
	{
		n = number_of(written->args[i]);
		if (n <= 0)
			is_refused(queue, n);
		result = lappend(result, command_of(NULL, 0, &written->args[i + 1], n));
	}
	return result;
}

/*
 * Add a command, given as strings and bytes up to an argument without data.
 */
static List *
add(List *commands, const OutboxBytes *args)
{
	int			n = 0;

	while (args[n].data != NULL)
		n++;
	Assert(n <= MAX_ARGS);
	return lappend(commands, command_of(NULL, 0, args, n));
}

static OutboxBytes
join(const char *prefix, const char *name, OutboxBytes rest)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoString(&out, prefix);
	appendStringInfoString(&out, name);
	appendBinaryStringInfo(&out, rest.data, rest.len);
	return (OutboxBytes) {out.data, out.len};
}

/*
 * A task, as one_message.lua has it: state, id, msg, time, then group, lock and
 * how long the lock lives, if they are needed.
 */
static List *
task_of(const OutboxQueue *queue, const Written *written)
{
#define ARGS(...) ((const OutboxBytes[MAX_ARGS + 1]) {__VA_ARGS__})
#define TEXT(s) {s, sizeof(s) - 1}
	const OutboxBytes *a = written->args + 1;
	int			n = written->n - 1;
	OutboxBytes state = a[0],
				id = a[1],
				at = a[3];
	OutboxBytes none = {"", 0};
	bool		grouped = state.data[0] == 'a';
	bool		pending = state.data[0] == 'p';
	char	   *prefix = psprintf("asynq:{%s}:", queue->redis_key);
	OutboxBytes task = join(prefix, "t:", id);
	List	   *result = NIL;

	if (n > 5)
		result = add(result, ARGS(TEXT("SET"), a[5], id, TEXT("NX"), TEXT("EX"), a[6]));
	if (grouped || pending)
		result = add(result, ARGS(TEXT("HSET"), task, TEXT("msg"), a[2], TEXT("state"), state,
								  grouped ? bytes_of("group") : bytes_of("pending_since"),
								  grouped ? a[4] : at));
	else
		result = add(result, ARGS(TEXT("HSET"), task, TEXT("msg"), a[2], TEXT("state"), state));
	if (n > 5 && !grouped)
		result = add(result, ARGS(TEXT("HSET"), task, TEXT("unique_key"), a[5]));
	if (grouped)
	{
		result = add(result, ARGS(TEXT("SADD"), join(prefix, "groups", none), a[4]));
		return add(result, ARGS(TEXT("ZADD"), join(prefix, "g:", a[4]), at, id));
	}
	if (pending)
		return add(result, ARGS(TEXT("LPUSH"), join(prefix, "pending", none), id));
	return add(result, ARGS(TEXT("ZADD"), join(prefix, "scheduled", none), at, id));
#undef TEXT
#undef ARGS
}

static List *
command_to_key(const char *name, const OutboxQueue *queue, const Written *written)
{
	const char *words[] = {name, queue->redis_key};

	return list_make1(command_of(words, lengthof(words), written->args + 1,
								 written->n - 1));
}

/*
 * The queue as encoders want it: its key in UTF-8, its commands compiled.
 */
static OutboxQueue
prepare(const OutboxQueue *queue)
{
	OutboxQueue result = *queue;
	OutboxBytes key = outbox_utf8_bytes(queue->redis_key, strlen(queue->redis_key));
	const char *error = NULL;
	const char *hint;

	result.redis_key = pnstrdup(key.data, key.len);
	result.template = queue->target != OUTBOX_TARGET_COMMANDS ? NULL :
		outbox_template_compile(queue->options, &error, &hint);
	if (error != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s", error),
				 hint != NULL ? errhint("%s", hint) : 0));
	return result;
}

List *
outbox_target_effect(const OutboxQueue *settings, const OutboxMessage *msg,
					 TimestampTz now)
{
	OutboxQueue queue = prepare(settings);
	OutboxArgs	args = {.now = now};
	Written		written;

	initStringInfo(&args.data);
	outbox_target_encode_alone(&args, &queue, msg);
	written = read_args(&args);
	switch (queue.target)
	{
		case OUTBOX_TARGET_STREAM:
		case OUTBOX_TARGET_WATERMILL:
			return command_to_key("XADD", &queue, &written);
		case OUTBOX_TARGET_LIST:
			return command_to_key("RPUSH", &queue, &written);
		case OUTBOX_TARGET_PUBLISH:
			return command_to_key("PUBLISH", &queue, &written);
		case OUTBOX_TARGET_FUNCTION:
			return command_to_key("function", &queue, &written);
		case OUTBOX_TARGET_ASYNQ:
			return task_of(&queue, &written);
		case OUTBOX_TARGET_COMMANDS:
		case OUTBOX_TARGET_CELERY:
		case OUTBOX_TARGET_SIDEKIQ:
		case OUTBOX_TARGET_RQ:
		case OUTBOX_TARGET_DRAMATIQ:
			return commands_of(&queue, &written);
	}
	pg_unreachable();
}
