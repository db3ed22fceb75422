/*-------------------------------------------------------------------------
 *
 * queue_move.c
 *	  A queue gets another server.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The relay moves the cursor (relay/deliver/move.c).  Until it has, the row says from
 * where the queue moves; the queue is delivered to its old server while the new one
 * does not answer.  Another move has to wait for that.
 *
 * With server_force nothing is asked of the old server: the queue goes on with what
 * the new one knows of it, which is mostly nothing.  To the relay that is a server
 * that has lost all: what is retained is sent, and what of it was delivered already
 * comes twice.
 *
 * A queue that gets a new id in the same call has no cursor yet.
 *
 *-------------------------------------------------------------------------
 */
#include "api/queue_move.h"

#include "api/queue_server.h"
#include "api/queue_taken.h"
#include "api/server_status.h"
#include "redis_server.h"
#include "store/query.h"
#include "utils/builtins.h"

static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static const char *
name_of(const char *server)
{
	return server != NULL ? server : OUTBOX_DEFAULT_SERVER;
}

static void
check_old_server(const OutboxQueue *queue)
{
	if (queue->moving_from != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("queue \"%s\" is being moved to server \"%s\"",
						queue->name, name_of(queue->server)),
				 errhint("Wait until outbox.queue_settings.moving_from is null, or do without its cursor with \"server_force\": true.")));
	/* one of which nothing is known yet is waited for */
	if (outbox_server_state(queue->server) == OUTBOX_WAITING_FOR_REDIS)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the cursor of queue \"%s\" cannot be read from server \"%s\" now",
						queue->name, name_of(queue->server)),
				 errdetail("It says which messages have been delivered. See outbox.server_status."),
				 errhint("Wait until the server answers. If it never will, add \"server_force\": true: the queue begins anew, and messages that are retained come twice.")));
}

QueueMove
outbox_check_move(const OutboxQueue *queue, const OutboxSettings *settings)
{
	QueueMove	move = {.server = queue->server};

	if (!settings->has_server)
	{
		if (settings->server_force)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("setting \"server_force\" needs setting \"server\"")));
		return move;
	}
	move.server = outbox_check_server(settings->server);
	move.forced = settings->server_force &&
		(queue->moving_from != NULL || !same(move.server, queue->server));
	move.moves = move.forced || !same(move.server, queue->server);
	if (move.moves && queue->consumer_retry)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("consumers return messages of queue \"%s\"", queue->name),
				 errdetail("They do so in streams on the server that the queue has."),
				 errhint("Call outbox_alter_queue() with consumer_retry => false first, when no consumer returns anything any more.")));
	if (move.moves && !move.forced)
		check_old_server(queue);
	return move;
}

/*
 * How many messages may have been delivered and be delivered again: those that are
 * kept and do not wait.
 */
static int64
count_again(const OutboxQueue *queue)
{
	bool		held;
	int64		waiting = Max(outbox_ask_waiting(queue, &held), 0);
	int64		kept = outbox_count_of_queue(queue, "SELECT count(*) FROM ("
											 "SELECT queue FROM outbox.staging_1 UNION ALL"
											 " SELECT queue FROM outbox.staging_2 UNION ALL"
											 " SELECT queue FROM outbox.deferred"
											 " WHERE reason <> 'delayed') AS r"
											 " WHERE queue = $queue");

	return Max(kept - waiting, 0);
}

void
outbox_move_queue(const OutboxQueue *queue, int32 id, const QueueMove *move)
{
	bool		anew = id != queue->id;
	const char *from = anew ? NULL : move->forced ? "" : name_of(queue->server);
	OutboxParam params[] = {
		{"id", INT4OID, Int32GetDatum(id)},
		{"server", TEXTOID, move->server == NULL ? (Datum) 0 :
		CStringGetTextDatum(move->server), move->server == NULL},
		{"moving_from", TEXTOID, from == NULL ? (Datum) 0 :
		CStringGetTextDatum(from), from == NULL},
		{"was", TEXTOID, queue->server == NULL ? (Datum) 0 :
		CStringGetTextDatum(queue->server), queue->server == NULL},
		{"was_from", TEXTOID, queue->moving_from == NULL ? (Datum) 0 :
		CStringGetTextDatum(queue->moving_from), queue->moving_from == NULL}
	};

	if (!move->moves)
		return;
	if (outbox_query_latest("UPDATE outbox.queue SET server = $server,"
							" moving_from = $moving_from WHERE id = $id"
							" AND server IS NOT DISTINCT FROM $was"
							" AND moving_from IS NOT DISTINCT FROM $was_from",
							params, lengthof(params)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("queue \"%s\" has just been altered by another transaction",
						queue->name),
				 errhint("Try again.")));
	if (move->forced && !anew)
		ereport(NOTICE,
				(errmsg("queue \"%s\" goes on without its cursor on server \"%s\": up to %lld messages may come twice",
						queue->name, name_of(queue->server),
						(long long) count_again(queue)),
				 errdetail("They have been delivered, and are retained.")));
}
