/*
 * latency.c
 *	  From COMMIT returning to the entry being visible to a blocked XREAD.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * usage: latency CONNINFO SOCKET STREAM MESSAGES GAP_MICROSECONDS STATEMENT
 *
 * One thread runs STATEMENT (prepared; one committing transaction each) over
 * one connection and notes the time when its answer is there; another sits in
 * XREAD BLOCK and notes the time when the entry is.  Both use CLOCK_MONOTONIC
 * of one process.  The next message is sent GAP (plus up to as much again, so
 * that no period of ours locks onto one of theirs) after both have happened:
 * this measures an idle system.
 *
 * Prints one line per message: microseconds, signed.  An entry can be visible
 * before its committer has been scheduled to read the answer; that is a
 * negative latency, not an error.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <hiredis/hiredis.h>
#include <libpq-fe.h>

typedef struct Reader
{
	redisContext *redis;
	const char *stream;
	long		messages;

	/* under lock */
	pthread_mutex_t lock;
	pthread_cond_t moved;
	long		seen;
	double	   *at;
} Reader;

static void
fail(const char *what, const char *why)
{
	fprintf(stderr, "latency: %s: %s\n", what, why);
	exit(1);
}

static double
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void
note_arrivals(Reader *r, double at, size_t entries)
{
	pthread_mutex_lock(&r->lock);
	while (entries-- > 0 && r->seen < r->messages)
		r->at[r->seen++] = at;
	pthread_cond_signal(&r->moved);
	pthread_mutex_unlock(&r->lock);
}

static void *
read_stream(void *arg)
{
	Reader	   *r = arg;
	char		last[64] = "0-0";

	while (r->seen < r->messages)
	{
		redisReply *reply = redisCommand(r->redis, "XREAD BLOCK 0 STREAMS %s %s",
										 r->stream, last);
		double		at = now_us();
		redisReply *entries;

		if (reply == NULL || reply->type != REDIS_REPLY_ARRAY)
			fail("XREAD", reply ? reply->str : r->redis->errstr);
		entries = reply->element[0]->element[1];
		snprintf(last, sizeof(last), "%s",
				 entries->element[entries->elements - 1]->element[0]->str);
		note_arrivals(r, at, entries->elements);
		freeReplyObject(reply);
	}
	return NULL;
}

static void
wait_arrival(Reader *r, long message)
{
	pthread_mutex_lock(&r->lock);
	while (r->seen <= message)
		pthread_cond_wait(&r->moved, &r->lock);
	pthread_mutex_unlock(&r->lock);
}

static void
pause_us(long us)
{
	struct timespec t = {us / 1000000, us % 1000000 * 1000};

	nanosleep(&t, NULL);
}

static double
commit_one(PGconn *pg)
{
	PGresult   *result = PQexecPrepared(pg, "send", 0, NULL, NULL, NULL, 0);
	double		at = now_us();

	if (PQresultStatus(result) != PGRES_TUPLES_OK &&
		PQresultStatus(result) != PGRES_COMMAND_OK)
		fail("postgres", PQerrorMessage(pg));
	PQclear(result);
	return at;
}

int
main(int argc, char **argv)
{
	Reader		r = {0};
	pthread_t	thread;
	PGconn	   *pg;
	PGresult   *result;
	long		gap;

	if (argc != 7)
		fail("usage", "latency CONNINFO SOCKET STREAM MESSAGES GAP_MICROSECONDS STATEMENT");
	r.stream = argv[3];
	r.messages = atol(argv[4]);
	r.at = calloc(r.messages, sizeof(double));
	if (r.at == NULL)
		fail("results", "out of memory");
	gap = atol(argv[5]);
	r.redis = redisConnectUnix(argv[2]);
	if (r.redis == NULL || r.redis->err)
		fail("redis", r.redis ? r.redis->errstr : "out of memory");
	pg = PQconnectdb(argv[1]);
	if (PQstatus(pg) != CONNECTION_OK)
		fail("postgres", PQerrorMessage(pg));
	result = PQprepare(pg, "send", argv[6], 0, NULL);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		fail("postgres", PQerrorMessage(pg));
	PQclear(result);

	pthread_mutex_init(&r.lock, NULL);
	pthread_cond_init(&r.moved, NULL);
	if (pthread_create(&thread, NULL, read_stream, &r) != 0)
		fail("thread", "cannot start");
	for (long i = 0; i < r.messages; i++)
	{
		double		committed;

		pause_us(gap + random() % gap);
		committed = commit_one(pg);
		wait_arrival(&r, i);
		printf("%.1f\n", r.at[i] - committed);
	}
	pthread_join(thread, NULL);
	PQfinish(pg);
	redisFree(r.redis);
	return 0;
}
