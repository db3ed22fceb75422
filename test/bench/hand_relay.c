/*
 * hand_relay.c
 *	  The relay that people write by hand, as well as it can be written: the
 *	  other side of the latency, WAL and enqueue benchmarks.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * usage: hand_relay CONNINFO SOCKET STREAM notify|MILLISECONDS SELECT DELETE
 *
 * notify			LISTEN hand_outbox, and look as soon as a notice arrives.
 * MILLISECONDS		look every so often.
 *
 * A look: run SELECT (at most 1000 rows; its first column identifies the row),
 * send every row as one XADD whose fields are the columns (but one that is named
 * stream says where it goes, instead of STREAM), all pipelined, read
 * the replies, run DELETE with the array of first columns; again until nothing
 * is found.  Both statements are prepared.  The DELETE commits asynchronously,
 * which such a relay may do (it delivers at least once anyway) and which
 * favours it.  SIGTERM ends it.
 */
#include "helper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include <hiredis/hiredis.h>
#include <libpq-fe.h>

#define MAX_COLUMNS		8

typedef struct Relay
{
	PGconn	   *pg;
	redisContext *redis;
	const char *stream;
	char	   *done;			/* array literal of the rows sent */
	size_t		done_size;
} Relay;

static PGresult *
checked(PGconn *pg, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		fail("postgres", PQerrorMessage(pg));
	return result;
}

static void
append_row(Relay *r, PGresult *rows, int row)
{
	const char *argv[3 + 2 * MAX_COLUMNS] = {"XADD", r->stream, "*"};
	size_t		length[3 + 2 * MAX_COLUMNS] = {4, strlen(r->stream), 1};
	int			argc = 3;

	for (int i = 0; i < PQnfields(rows); i++)
	{
		if (strcmp(PQfname(rows, i), "stream") == 0)
		{
			argv[1] = PQgetvalue(rows, row, i);
			length[1] = PQgetlength(rows, row, i);
			continue;
		}
		argv[argc] = PQfname(rows, i);
		length[argc++] = strlen(PQfname(rows, i));
		argv[argc] = PQgetvalue(rows, row, i);
		length[argc++] = PQgetlength(rows, row, i);
	}
	redisAppendCommandArgv(r->redis, argc, argv, length);
}

static void
read_replies(Relay *r, int expected)
{
	for (int i = 0; i < expected; i++)
	{
		redisReply *reply;

		if (redisGetReply(r->redis, (void **) &reply) != REDIS_OK)
			fail("redis", r->redis->errstr);
		if (reply->type == REDIS_REPLY_ERROR)
			fail("redis", reply->str);
		freeReplyObject(reply);
	}
}

static void
delete_rows(Relay *r, PGresult *rows)
{
	size_t		need = 3;
	char	   *at;
	const char *value;

	for (int i = 0; i < PQntuples(rows); i++)
		need += PQgetlength(rows, i, 0) + 1;
	if (need > r->done_size)
	{
		r->done_size = 2 * need;
		r->done = realloc(r->done, r->done_size);
		if (r->done == NULL)
			fail("array", "out of memory");
	}
	at = r->done;
	for (int i = 0; i < PQntuples(rows); i++)
		at += sprintf(at, "%c%s", i == 0 ? '{' : ',', PQgetvalue(rows, i, 0));
	strcpy(at, "}");
	value = r->done;
	PQclear(checked(r->pg, PQexecPrepared(r->pg, "remove", 1, &value,
										  NULL, NULL, 0)));
}

/* Deliver everything there is; says whether there was anything. */
static bool
look(Relay *r)
{
	PGresult   *rows = checked(r->pg, PQexecPrepared(r->pg, "fetch", 0, NULL,
													 NULL, NULL, 0));
	int			count = PQntuples(rows);

	for (int i = 0; i < count; i++)
		append_row(r, rows, i);
	if (count > 0)
	{
		read_replies(r, count);
		delete_rows(r, rows);
	}
	PQclear(rows);
	return count > 0;
}

static void
drop_notices(PGconn *pg)
{
	PGnotify   *notice;

	if (!PQconsumeInput(pg))
		fail("postgres", PQerrorMessage(pg));
	while ((notice = PQnotifies(pg)) != NULL)
		PQfreemem(notice);
}

static void
wait_for_notice(PGconn *pg)
{
	struct pollfd p = {PQsocket(pg), POLLIN, 0};
	PGnotify   *notice;

	/* One that came with a query's answer is already in libpq's hands. */
	if ((notice = PQnotifies(pg)) != NULL)
		PQfreemem(notice);
	else if (poll(&p, 1, -1) < 0 && errno != EINTR)
		fail("poll", strerror(errno));
	drop_notices(pg);
}

static void
wait_for_time(long milliseconds)
{
	struct timespec t = {milliseconds / 1000, milliseconds % 1000 * 1000000L};

	nanosleep(&t, NULL);
}

int
main(int argc, char **argv)
{
	Relay		r = {0};
	bool		notify;

	if (argc != 7)
		fail("usage", "hand_relay CONNINFO SOCKET STREAM notify|MILLISECONDS SELECT DELETE");
	notify = strcmp(argv[4], "notify") == 0;
	r.stream = argv[3];
	r.redis = redisConnectUnix(argv[2]);
	if (r.redis == NULL || r.redis->err)
		fail("redis", r.redis ? r.redis->errstr : "out of memory");
	r.pg = PQconnectdb(argv[1]);
	if (PQstatus(r.pg) != CONNECTION_OK)
		fail("postgres", PQerrorMessage(r.pg));
	PQclear(checked(r.pg, PQexec(r.pg, "SET synchronous_commit = off")));
	PQclear(checked(r.pg, PQprepare(r.pg, "fetch", argv[5], 0, NULL)));
	PQclear(checked(r.pg, PQprepare(r.pg, "remove", argv[6], 0, NULL)));
	if (notify)
		PQclear(checked(r.pg, PQexec(r.pg, "LISTEN hand_outbox")));
	puts("ready");
	fflush(stdout);

	for (;;)
	{
		while (look(&r))
			;
		if (notify)
			wait_for_notice(r.pg);
		else
			wait_for_time(atol(argv[4]));
	}
}
