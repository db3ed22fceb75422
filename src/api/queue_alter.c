/*-------------------------------------------------------------------------
 *
 * queue_alter.c
 *	  Alter queues.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * outbox_alter_queue() leaves settings alone for which null is given.  So
 * "none" has other values: 0 for expires_after and maxlen, {} for options.  With
 * another target or format, what belongs to it (format, maxlen, options,
 * payload_type, fields) and is not given is what a new queue has.
 *
 * Most settings are in force for the next message that is sent.  A queue that has
 * another name, target, format or key in Redis from now on is another one to Redis
 * and to consumers, and gets a new id (queue_taken.c).  Nothing may be left of it
 * then: what waits would be sent as nobody has asked for when it was enqueued, or
 * not at all, and what is retained could not be sent again if Redis loses it.
 *
 *-------------------------------------------------------------------------
 */
#include "api/queue_taken.h"

#include "api/args.h"
#include "api/cluster_checks.h"
#include "api/queue_checks.h"
#include "api/queue_move.h"
#include "api/queue_policy.h"
#include "api/settings.h"
#include "api/triggers.h"
#include "miscadmin.h"
#include "store/query.h"
#include "targets/jobs.h"
#include "utils/guc.h"

/* arguments of outbox_alter_queue() */
enum
{
	ALTER_QUEUE,
	ALTER_POLICY,
	ALTER_MAXLEN = ALTER_POLICY + POLICY_ARGS,
	ALTER_OPTIONS,
	ALTER_CONSUMER_RETRY,
	ALTER_SETTINGS
};

/* what the queue is to be */
typedef struct Altered
{
	const char *name;
	const char *redis_key;
	const OutboxTargetInfo *target;
	const char *format;			/* NULL: the target has none */
	const char *payload_type;	/* NULL: as it is */
	bool		has_fields;		/* else they are as they are */
	int			fields;

	const char *server;			/* NULL: the default one */

	bool		renamed;
	bool		elsewhere;		/* another key in Redis */
	bool		retargeted;
	bool		moves;			/* to another server */
	bool		renewed;		/* one of these, or another format */
} Altered;

PG_FUNCTION_INFO_V1(outbox_alter_queue);

static const char *
format_of(const OutboxQueue *queue)
{
	return queue->format == OUTBOX_FORMAT_RAW ? "raw" :
		queue->format == OUTBOX_FORMAT_JSON ? "json" : NULL;
}

/*
 * With another number, messages of a key would go to another partition, while
 * those before them wait in the one that they went to so far.
 */
static void
check_partitions(const OutboxQueue *queue, const OutboxSettings *settings, const Altered *altered)
{
	if (settings->partitions != 0 && settings->partitions != queue->partitions)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot change the number of partitions of queue \"%s\"", queue->name),
				 errdetail("It is %d, and messages with the same key would get into another order.",
						   queue->partitions),
				 errhint("Drop the queue when its consumers have got everything, and create it with the new number; or create another queue.")));
	outbox_check_partitions(altered->target, queue->partitions, altered->redis_key);
}

static Altered
what_is_altered(const OutboxQueue *queue, const OutboxSettings *settings)
{
	Altered		altered = {.name = queue->name,.redis_key = queue->redis_key};
	bool		raw;
	bool		reformatted;

	if (settings->name != NULL)
	{
		outbox_check_name("queue name", settings->name);
		altered.name = settings->name;
	}
	if (settings->redis_key != NULL)
	{
		outbox_check_redis_key(settings->redis_key);
		altered.redis_key = settings->redis_key;
	}
	altered.target = outbox_check_target(settings->target != NULL ? settings->target :
										 outbox_targets[queue->target].name,
										 settings->format);
	altered.retargeted = altered.target->target != queue->target;
	altered.format = settings->format != NULL ? settings->format :
		!altered.target->formats ? NULL :
		altered.retargeted ? "json" : format_of(queue);
	raw = altered.format != NULL && strcmp(altered.format, "raw") == 0;
	reformatted = altered.retargeted || raw != (queue->format == OUTBOX_FORMAT_RAW);

	outbox_check_payload_type(altered.target, settings->payload_type);
	altered.payload_type = settings->payload_type != NULL ? settings->payload_type :
		!reformatted ? NULL : raw ? "bytea" : altered.target->payload_type;
	outbox_check_fields(altered.target, raw, settings->fields);
	altered.has_fields = settings->has_fields || reformatted;
	altered.fields = settings->fields;

	altered.renamed = strcmp(altered.name, queue->name) != 0;
	altered.elsewhere = strcmp(altered.redis_key, queue->redis_key) != 0;
	altered.renewed = altered.renamed || altered.elsewhere || reformatted;
	return altered;
}

/*
 * What is in the arguments must fit the queue as it will be.
 */
static void
check_args(FunctionCallInfo fcinfo, const OutboxQueue *queue, const Altered *altered)
{
	char	   *on_failure = outbox_text_arg(fcinfo, ALTER_POLICY + POLICY_ON_FAILURE);

	outbox_check_policy(fcinfo, ALTER_POLICY);
	if (!PG_ARGISNULL(ALTER_MAXLEN) && PG_GETARG_INT64(ALTER_MAXLEN) != 0)
		outbox_check_maxlen(altered->target, PG_GETARG_INT64(ALTER_MAXLEN));
	if (!PG_ARGISNULL(ALTER_OPTIONS) || altered->retargeted)
		outbox_check_new_options(altered->target->target,
								 outbox_jsonb_arg(fcinfo, ALTER_OPTIONS),
								 altered->server);
	if (queue->consumer_retry && (altered->elsewhere || altered->retargeted))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("consumers return messages of queue \"%s\"", queue->name),
				 errdetail("They do so in streams that have its redis_key in their names."),
				 errhint("Call outbox_alter_queue() with consumer_retry => false first, when no consumer returns anything any more.")));
	if (PG_ARGISNULL(ALTER_CONSUMER_RETRY) ? queue->consumer_retry :
		PG_GETARG_BOOL(ALTER_CONSUMER_RETRY))
		outbox_check_consumer_retry(queue->name, altered->target, altered->redis_key,
									queue->partitions,
									on_failure == NULL ? queue->on_failure == OUTBOX_BLOCK :
									strcmp(on_failure, "block") == 0);
}

/*
 * Can the queue as it will be, be on its server?  If nothing of that is altered, it
 * may also be paused or get another policy.
 */
static void
check_cluster(FunctionCallInfo fcinfo, const OutboxQueue *queue, const Altered *altered)
{
	OutboxQueue fresh = *queue;

	fresh.name = unconstify(char *, altered->name);
	fresh.target = altered->target->target;
	fresh.redis_key = unconstify(char *, altered->redis_key);
	fresh.server = unconstify(char *, altered->server);
	if (!PG_ARGISNULL(ALTER_OPTIONS) || altered->retargeted)
		fresh.options = outbox_jsonb_arg(fcinfo, ALTER_OPTIONS);
	if (!PG_ARGISNULL(ALTER_CONSUMER_RETRY))
		fresh.consumer_retry = PG_GETARG_BOOL(ALTER_CONSUMER_RETRY);
	if (altered->renewed || altered->moves || !PG_ARGISNULL(ALTER_OPTIONS) ||
		fresh.consumer_retry != queue->consumer_retry)
		outbox_check_cluster(&fresh);
}

/*
 * Something of the queue is left, and so it can't be renewed.
 */
static void
is_left(const OutboxQueue *queue, const char *what, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("queue \"%s\" has %s", queue->name, what),
			 errdetail("Its name, target, format and redis_key can be altered while it has none. %s",
					   detail),
			 errhint("%s", hint)));
}

/*
 * SPI is connected.
 */
static void
check_nothing_is_left(const OutboxQueue *queue)
{
	char	   *purge = psprintf("outbox_purge_queue(%s, force => true)",
								 quote_literal_cstr(queue->name));
	int64		deferred = outbox_count_of_queue(queue, "SELECT count(*) FROM outbox.deferred"
												 " WHERE queue BETWEEN $queue AND $last AND reason <> 'applied'");
	int64		dead = outbox_count_of_queue(queue, "SELECT count(*) FROM outbox.dead_letter"
											 " WHERE queue BETWEEN $queue AND $last AND gone_at IS NULL");
	bool		staged = outbox_queue_is_staged(queue);
	bool		held;
	int64		waiting;

	if (outbox_queue_has_own(queue))
		is_left(queue, "messages waiting", "This transaction has enqueued to it.",
				"Alter it in another transaction.");
	if (deferred > 0)
		is_left(queue, "messages waiting",
				psprintf("Deferred are %lld.", (long long) deferred),
				psprintf("Wait until they are delivered, or give them up with %s.", purge));
	if (dead > 0)
		is_left(queue, "dead letters", psprintf("There are %lld.", (long long) dead),
				"Replay them with outbox_replay_queue(), or discard them with outbox_discard_queue().");
	waiting = staged ? outbox_ask_waiting(queue, &held) : 0;
	if (waiting != 0)
		is_left(queue, "messages waiting", waiting < 0 ?
				"The relay could not say how many; messages are staged." :
				psprintf("Not delivered are %lld.", (long long) waiting),
				psprintf("Wait until they are delivered, or give them up with %s.", purge));
	if (staged ||
		outbox_count_of_queue(queue, "SELECT count(*) FROM ("
							  "SELECT queue FROM outbox.deferred UNION ALL"
							  " SELECT queue FROM outbox.dead_letter) AS r"
							  " WHERE queue BETWEEN $queue AND $last") > 0)
		is_left(queue, "delivered messages that are retained",
				"They would be sent again if Redis lost them.",
				psprintf("Wait: they are kept for \"outbox.retention\", and while there are few, for ten minutes more. Or give them up with %s.",
						 purge));
}

static void
check_renewal(const OutboxQueue *queue, const Altered *altered, Oid function)
{
	OutboxCaller caller;

	if (altered->renamed && outbox_queue_find(altered->name) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("queue \"%s\" already exists", altered->name)));
	if (altered->renamed)
		outbox_check_captures(queue, outbox_tables_with_trigger(function, queue->name),
							  "In one transaction, call outbox_uncapture() for each of them, outbox_alter_queue(), and outbox_capture() with the new name.");
	if (outbox_has_jobs(altered->target->target))
		outbox_check_captures(queue, outbox_tables_with_trigger(function, queue->name),
							  "A captured row describes no job: call outbox_uncapture() for each of them first.");
	outbox_connect(&caller);
	check_nothing_is_left(queue);
	outbox_finish(&caller);
}

static OutboxParam
text_param(const char *name, const char *value)
{
	return (OutboxParam)
	{
		name, TEXTOID, value == NULL ? (Datum) 0 : CStringGetTextDatum(value),
			value == NULL
	};
}

static OutboxParam
arg_param(FunctionCallInfo fcinfo, int n, const char *name, Oid type)
{
	return (OutboxParam)
	{
		name, type, PG_GETARG_DATUM(n), PG_ARGISNULL(n)
	};
}

/*
 * Update the row with this id.  SPI is connected.  Returns the number of rows.
 */
static uint64
update(FunctionCallInfo fcinfo, int32 id, const Altered *altered)
{
	const char *sql = "UPDATE outbox.queue SET"
	" name = $name, target = $target, redis_key = $redis_key, format = $format,"
	" on_failure = coalesce($on_failure, on_failure),"
	" max_attempts = coalesce($max_attempts, max_attempts),"
	" retry_delay = coalesce($retry_delay, retry_delay),"
	" retry_backoff = coalesce($retry_backoff, retry_backoff),"
	" retry_max_delay = coalesce($retry_max_delay, retry_max_delay),"
	" expires_after = nullif(coalesce($expires_after, expires_after), '0'),"
	" maxlen = nullif(coalesce($maxlen, CASE WHEN NOT $retargeted THEN maxlen END), 0),"
	" options = nullif(coalesce($options, CASE WHEN NOT $retargeted THEN options END), '{}'),"
	" consumer_retry = coalesce($consumer_retry, consumer_retry),"
	" payload_type = coalesce($payload_type, payload_type),"
	" fields = CASE WHEN $has_fields THEN $fields ELSE fields END"
	" WHERE id = $id";
	OutboxParam params[] = {
		{"id", INT4OID, Int32GetDatum(id)},
		text_param("name", altered->name),
		text_param("target", altered->target->name),
		text_param("redis_key", altered->redis_key),
		text_param("format", altered->format),
		text_param("payload_type", altered->payload_type),
		{"has_fields", BOOLOID, BoolGetDatum(altered->has_fields)},
		{"fields", TEXTARRAYOID, outbox_fields_array(altered->fields), altered->fields == 0},
		{"retargeted", BOOLOID, BoolGetDatum(altered->retargeted)},
		arg_param(fcinfo, ALTER_MAXLEN, "maxlen", INT8OID),
		arg_param(fcinfo, ALTER_OPTIONS, "options", JSONBOID),
		arg_param(fcinfo, ALTER_CONSUMER_RETRY, "consumer_retry", BOOLOID),
		/* and the policy's */
		{0}, {0}, {0}, {0}, {0}, {0}
	};
	int			n = lengthof(params);

	for (int i = 0; i < POLICY_ARGS; i++)
		params[n - POLICY_ARGS + i] =
			arg_param(fcinfo, ALTER_POLICY + i, outbox_policy_names[i],
					  outbox_policy_types[i]);
	return altered->renewed ? outbox_query_latest(sql, params, n) :
		outbox_query(sql, params, n);
}

/*
 * outbox_alter_queue(queue, on_failure, max_attempts, retry_delay,
 * retry_backoff, retry_max_delay, expires_after, maxlen, options,
 * consumer_retry, settings)
 */
Datum
outbox_alter_queue(PG_FUNCTION_ARGS)
{
	char	   *name = outbox_needed_text_arg(fcinfo, ALTER_QUEUE, "queue");
	OutboxSettings settings = outbox_read_settings(outbox_jsonb_arg(fcinfo, ALTER_SETTINGS), true);
	Oid			function = outbox_trigger_function(fcinfo, "outbox_capture_row");
	OutboxQueue queue;
	Altered		altered;
	QueueMove	move;
	OutboxCaller caller;
	int32		id;
	int			level = NewGUCNestLevel();

	PreventCommandIfReadOnly("outbox_alter_queue()");
	queue = *outbox_queue_find_or_error(name);
	altered = what_is_altered(&queue, &settings);
	if (altered.renewed)
	{
		/* it may have been altered since, until it was taken */
		(void) outbox_take_queue(name, &queue);
		altered = what_is_altered(&queue, &settings);
	}
	check_partitions(&queue, &settings, &altered);
	queue.name = name;
	queue.server = queue.server == NULL ? NULL : pstrdup(queue.server);
	queue.moving_from = queue.moving_from == NULL ? NULL : pstrdup(queue.moving_from);
	queue.options = queue.options == NULL ? NULL :
		PG_DETOAST_DATUM_COPY(PointerGetDatum(queue.options));
	move = outbox_check_move(&queue, &settings);
	altered.server = move.server;
	altered.moves = move.moves;
	altered.name = pstrdup(altered.name);
	altered.redis_key = pstrdup(altered.redis_key);
	check_args(fcinfo, &queue, &altered);
	check_cluster(fcinfo, &queue, &altered);
	if (altered.renewed)
		check_renewal(&queue, &altered, function);

	outbox_connect(&caller);
	id = altered.renewed ? outbox_renew_id(&queue, false) : queue.id;
	if (update(fcinfo, id, &altered) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("queue \"%s\" does not exist", name)));
	outbox_move_queue(&queue, id, &move);
	outbox_finish(&caller);
	AtEOXact_GUC(true, level);
	PG_RETURN_VOID();
}
