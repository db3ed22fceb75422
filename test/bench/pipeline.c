/*
 * pipeline.c
 *	  The yardstick for delivery: commands pipelined by a plain hiredis client.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * usage: pipeline SOCKET COUNT PAYLOAD_BYTES single|idiom|full WORD...
 *
 * The words are a command; in each %id stands for 36 characters that are
 * others in each command, and a word that is %payload for so many bytes.  Three
 * ways to send them, because they differ, and one of them would flatter or
 * hurt:
 *
 * single	a command, its reply, the next: what a client without pipelining does
 * idiom	append 1000 commands, read 1000 replies, repeat: how pipelining with
 *			hiredis is usually written.  Client and server take turns in part.
 * full		non-blocking, up to 10000 commands unanswered at any time: the
 *			server never waits for its client.  The most that is possible here.
 *
 * Prints the seconds it took.  hiredis 0.14 has no call for the third way; the
 * fields of its context that are used here are the same up to 1.2.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <hiredis/hiredis.h>

#define IDIOM_BATCH		1000
#define FULL_WINDOW		10000
#define APPEND_AT_ONCE	256
#define ID_LENGTH		36
#define MAX_WORDS		16

typedef struct Entries
{
	redisContext *redis;
	int			argc;
	const char *argv[MAX_WORDS];
	size_t		length[MAX_WORDS];
	char	   *id[MAX_WORDS];	/* where it is in the word, or NULL */
	long		batch;
	long		appended;
	long		answered;
	long		wanted;
} Entries;

static void
fail(const char *what, const char *why)
{
	fprintf(stderr, "pipeline: %s: %s\n", what, why);
	exit(1);
}

static void
append_entry(Entries *e)
{
	char		id[ID_LENGTH + 1];

	snprintf(id, sizeof(id), "0198a5c4-7b1e-7000-8000-%012lx", e->appended);
	for (int i = 0; i < e->argc; i++)
		if (e->id[i] != NULL)
			memcpy(e->id[i], id, ID_LENGTH);
	redisAppendCommandArgv(e->redis, e->argc, e->argv, e->length);
	e->appended++;
}

static void
count_reply(Entries *e, redisReply *reply)
{
	if (reply->type == REDIS_REPLY_ERROR)
		fail(e->argv[0], reply->str);
	freeReplyObject(reply);
	e->answered++;
}

static void
send_idiom(Entries *e)
{
	while (e->answered < e->wanted)
	{
		redisReply *reply;

		while (e->appended < e->wanted &&
			   e->appended - e->answered < e->batch)
			append_entry(e);
		while (e->answered < e->appended)
		{
			if (redisGetReply(e->redis, (void **) &reply) != REDIS_OK)
				fail("read", e->redis->errstr);
			count_reply(e, reply);
		}
	}
}

static void
read_replies(Entries *e)
{
	redisReply *reply;

	if (redisBufferRead(e->redis) != REDIS_OK)
		fail("read", e->redis->errstr);
	for (;;)
	{
		if (redisGetReplyFromReader(e->redis, (void **) &reply) != REDIS_OK)
			fail("reply", e->redis->errstr);
		if (reply == NULL)
			break;
		count_reply(e, reply);
	}
}

static void
send_full(Entries *e)
{
	int			fd = e->redis->fd;
	int			flushed = 1;

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	e->redis->flags &= ~REDIS_BLOCK;
	while (e->answered < e->wanted)
	{
		struct pollfd p = {fd, POLLIN, 0};
		int			room = APPEND_AT_ONCE;

		while (flushed && room-- > 0 && e->appended < e->wanted &&
			   e->appended - e->answered < FULL_WINDOW)
			append_entry(e);
		if (redisBufferWrite(e->redis, &flushed) != REDIS_OK)
			fail("write", e->redis->errstr);
		if (!flushed || (e->appended < e->wanted &&
						 e->appended - e->answered < FULL_WINDOW))
			p.events |= POLLOUT;
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			fail("poll", strerror(errno));
		if (p.revents & (POLLIN | POLLHUP | POLLERR))
			read_replies(e);
	}
}

/*
 * A word with its id and payload in it.
 */
static void
add_word(Entries *e, const char *word, size_t payload_bytes)
{
	const char *id = strstr(word, "%id");
	size_t		length = strlen(word);
	char	   *copy = malloc(length + ID_LENGTH + payload_bytes);

	if (copy == NULL || e->argc == MAX_WORDS)
		fail("words", "too many");
	strcpy(copy, word);
	if (strcmp(word, "%payload") == 0)
	{
		memset(copy, 'x', payload_bytes);
		length = payload_bytes;
	}
	else if (id != NULL)
	{
		e->id[e->argc] = copy + (id - word);
		strcpy(copy + (id - word) + ID_LENGTH, id + 3);
		length += ID_LENGTH - 3;
	}
	e->argv[e->argc] = copy;
	e->length[e->argc++] = length;
}

int
main(int argc, char **argv)
{
	Entries		e = {0};
	struct timespec begin;
	struct timespec end;

	if (argc < 6)
		fail("usage", "pipeline SOCKET COUNT PAYLOAD_BYTES single|idiom|full WORD...");
	e.redis = redisConnectUnix(argv[1]);
	if (e.redis == NULL || e.redis->err)
		fail("connect", e.redis ? e.redis->errstr : "out of memory");
	e.wanted = atol(argv[2]);
	e.batch = strcmp(argv[4], "single") == 0 ? 1 : IDIOM_BATCH;
	for (int i = 5; i < argc; i++)
		add_word(&e, argv[i], strtoul(argv[3], NULL, 10));

	clock_gettime(CLOCK_MONOTONIC, &begin);
	if (strcmp(argv[4], "full") == 0)
		send_full(&e);
	else
		send_idiom(&e);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%.6f\n", (end.tv_sec - begin.tv_sec) + (end.tv_nsec - begin.tv_nsec) / 1e9);
	redisFree(e.redis);
	return 0;
}
