/*
 * latency.c
 *	  From COMMIT returning to the entry being visible to a blocked XREAD.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * usage: latency CONNINFO SOCKET STREAM MESSAGES GAP_MICROSECONDS STATEMENT [PID...]
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
 *
 * PIDs are those of the processes on the way: the relay, Redis, others.  With them
 * a line has three more numbers, of the time from before the commit to the entry, which
 * say what a slow one was slow from: microseconds for which these processes and
 * the reader could run and had no CPU; microseconds for which the first one ran; bytes
 * that the first one wrote to disk.
 */
#include "helper.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

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
	pid_t		tid;			/* 0: not running yet */
} Reader;

typedef struct Causes
{
	double		delay_us;
	double		busy_us;
	double		written;
} Causes;

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

	pthread_mutex_lock(&r->lock);
	r->tid = gettid();
	pthread_cond_signal(&r->moved);
	pthread_mutex_unlock(&r->lock);
	for (;;)
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

/*
 * Add what a process or thread has waited for a CPU; returns for how long it ran.
 */
static double
add_delay(Causes *causes, const char *path)
{
	FILE	   *file = fopen(path, "r");
	double		ran = 0;
	double		delayed = 0;

	if (file == NULL || fscanf(file, "%lf %lf", &ran, &delayed) != 2)
		fail("cannot read", path);
	fclose(file);
	causes->delay_us += delayed / 1000;
	return ran / 1000;
}

static double
bytes_written(const char *pid)
{
	char		path[64];
	char		line[128];
	double		written = 0;
	FILE	   *file;

	snprintf(path, sizeof(path), "/proc/%s/io", pid);
	file = fopen(path, "r");
	if (file == NULL)
		fail("cannot read", path);
	while (fgets(line, sizeof(line), file) != NULL)
		sscanf(line, "write_bytes: %lf", &written);
	fclose(file);
	return written;
}

static Causes
causes_until_now(const Reader *r, int npids, char **pids)
{
	Causes		causes = {0};
	char		path[64];

	for (int i = 0; i < npids; i++)
	{
		double		ran;

		snprintf(path, sizeof(path), "/proc/%s/schedstat", pids[i]);
		ran = add_delay(&causes, path);
		if (i == 0)
			causes.busy_us = ran;
	}
	if (npids > 0)
	{
		snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", r->tid);
		add_delay(&causes, path);
		causes.written = bytes_written(pids[0]);
	}
	return causes;
}

static void
start_reader(Reader *r)
{
	pthread_t	thread;

	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->moved, NULL);
	if (pthread_create(&thread, NULL, read_stream, r) != 0 ||
		pthread_detach(thread) != 0)
		fail("thread", "cannot start");
	pthread_mutex_lock(&r->lock);
	while (r->tid == 0)
		pthread_cond_wait(&r->moved, &r->lock);
	pthread_mutex_unlock(&r->lock);
}

int
main(int argc, char **argv)
{
	static Reader r;			/* the thread outlives main()'s stack */
	int			npids = argc - 7;
	char	  **pids = argv + 7;
	PGconn	   *pg;
	PGresult   *result;
	long		gap;

	if (argc < 7)
		fail("usage", "latency CONNINFO SOCKET STREAM MESSAGES GAP_MICROSECONDS STATEMENT [PID...]");
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

	start_reader(&r);
	for (long i = 0; i < r.messages; i++)
	{
		double		committed;
		Causes		before;
		Causes		after;

		pause_us(gap + random() % gap);
		before = causes_until_now(&r, npids, pids);
		committed = commit_one(pg);
		wait_arrival(&r, i);
		after = causes_until_now(&r, npids, pids);
		printf("%.1f %.1f %.1f %.0f\n", r.at[i] - committed,
			   after.delay_us - before.delay_us, after.busy_us - before.busy_us,
			   after.written - before.written);
	}
	PQfinish(pg);
	return 0;
}
