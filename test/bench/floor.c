/*
 * floor.c
 *	  What no relay can be faster than: a signal, one XADD, a blocked XREAD.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * usage: floor SOCKET STREAM MESSAGES GAP_MICROSECONDS
 *
 * The parent notes the time and signals its child, which sleeps as a PostgreSQL
 * process does (epoll on a signalfd); the child sends one XADD, reads the reply
 * and sleeps again; a thread of the parent sits in XREAD BLOCK and notes the time
 * when the entry is there.  Three wake-ups, as a message has that is committed:
 * of the relay, of Redis, and of who reads.  No PostgreSQL, no WAL, no cursor.
 *
 * Prints one line per message, microseconds from before kill() to the entry.
 */
#include "helper.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#define ENTRY			"XADD %s * id 0198a5c4-7b1e-7000-8000-000000000000 payload {\"n\":1}"

typedef struct Reader
{
	redisContext *redis;
	const char *stream;
	int			moved[2];		/* a pipe: the time of each arrival */
} Reader;

static redisContext *
connect_redis(const char *path)
{
	redisContext *redis = redisConnectUnix(path);

	if (redis == NULL || redis->err)
		fail("redis", redis ? redis->errstr : "out of memory");
	return redis;
}

/*
 * The child: what a relay does at the least.
 */
static void
relay(const char *path, const char *stream, const sigset_t *wake)
{
	redisContext *redis = connect_redis(path);
	int			signals = signalfd(-1, wake, SFD_NONBLOCK);
	int			waiter = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLIN};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	epoll_ctl(waiter, EPOLL_CTL_ADD, signals, &event);
	for (;;)
	{
		struct signalfd_siginfo info;
		redisReply *reply;

		if (epoll_wait(waiter, &event, 1, -1) < 1)
			continue;
		if (read(signals, &info, sizeof(info)) < 0)
			continue;
		reply = redisCommand(redis, ENTRY, stream);
		if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
			fail("XADD", reply ? reply->str : redis->errstr);
		freeReplyObject(reply);
	}
}

static void *
read_stream(void *arg)
{
	Reader	   *r = arg;
	char		last[64] = "0-0";

	for (;;)
	{
		redisReply *reply = redisCommand(r->redis, "XREAD BLOCK 0 STREAMS %s %s",
										 r->stream, last);
		double		at = now_us();
		redisReply *entries;

		if (reply == NULL || reply->type != REDIS_REPLY_ARRAY)
			fail("XREAD", reply ? "no entries" : r->redis->errstr);
		entries = reply->element[0]->element[1];
		snprintf(last, sizeof(last), "%s",
				 entries->element[entries->elements - 1]->element[0]->str);
		if (write(r->moved[1], &at, sizeof(at)) != sizeof(at))
			fail("pipe", strerror(errno));
		freeReplyObject(reply);
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	static Reader r;			/* the thread outlives main()'s stack */
	pthread_t	thread;
	sigset_t	wake;
	pid_t		child;
	long		gap;

	if (argc != 5)
		fail("usage", "floor SOCKET STREAM MESSAGES GAP_MICROSECONDS");
	sigemptyset(&wake);
	sigaddset(&wake, SIGURG);
	sigprocmask(SIG_BLOCK, &wake, NULL);
	child = fork();
	if (child == 0)
		relay(argv[1], argv[2], &wake);
	r.stream = argv[2];
	r.redis = connect_redis(argv[1]);
	if (pipe(r.moved) != 0 || pthread_create(&thread, NULL, read_stream, &r) != 0)
		fail("cannot start", strerror(errno));
	gap = atol(argv[4]);
	for (long i = 0; i < atol(argv[3]); i++)
	{
		long		us = gap + random() % gap;
		struct timespec pause = {us / 1000000, us % 1000000 * 1000};
		double		begin;
		double		at;

		nanosleep(&pause, NULL);
		begin = now_us();
		kill(child, SIGURG);
		if (read(r.moved[0], &at, sizeof(at)) != sizeof(at))
			fail("pipe", strerror(errno));
		printf("%.1f\n", at - begin);
	}
	kill(child, SIGKILL);
	return 0;
}
