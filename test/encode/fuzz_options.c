/*-------------------------------------------------------------------------
 *
 * fuzz_options.c
 *	  Options, of any shape.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * They are refused in an orderly way, or taken, and then what is staged is read
 * without an error and can be sent.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "targets/options.h"
#include "targets/task_options.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

static void
append_any(Input *in, StringInfo json, int depth)
{
	static const char *const samples[] = {
		"null", "true", "0", "1", "-1", "1.5", "1e9", "1e400", "25", "1800", "2147483647",
		"2147483648", "31622400000", "31622400001", "63244800000", "63244800001",
		"\"30 seconds\"", "\"1 mon 1 day\"", "\"-1 second\"", "\"0.000001 s\"",
		"\"2026-11-22 21:00:00+00\"", "\"1969-12-31 23:59:59+00\"", "\"infinity\"", "\"now\"",
		"\"1000 years\"", "\"1100 years\"", "\"294276-12-31\"", "\"\"", "\" \\t\"", "[]", "{}",
		"[[\"LPUSH\",\"{redis_key}\",\"{payload}\"]]", "\"LPUSH\"", "\"{id}\"", "\"{\""
	};
	int			n = take(in, 1);

	if (n < 3 * lengthof(samples))
		appendStringInfoString(json, samples[n % lengthof(samples)]);
	else if (n < 144)
		appendStringInfo(json, "\"%d-01-01\"", (int) take(in, 2) * 4 + 1);
	else if (n < 176)
		appendStringInfo(json, "\"" INT64_FORMAT " seconds\"", take_number(in, 2 * LONGEST));
	else if (n < 192 || depth == 0)
	{
		Text		text = take_text(in, "");

		append_json(json, &text.server);
	}
	else if (n < 208)
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

void
fuzz_options(Input *in)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool staged = false;
	int			n = take(in, 1);
	OutboxTarget target = n < 128 ? OUTBOX_TARGET_ASYNQ : n % (OUTBOX_TARGET_DRAMATIQ + 1);
	Model	   *m;

	take_queue(in, target);
	m = take_message(in);
	if (m->msg.type == NULL)
		m->msg.type = make_value(in, "t", 1);
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
