/*
 * plain_xadd.c
 *	  The yardstick for delivery: XADD pipelined by a plain hiredis client.
 *
 * usage: plain_xadd SOCKET STREAM ENTRIES PAYLOAD_BYTES idiom|full
 *
 * The entries have the fields that the relay sends for a message without type
 * and key: id (36 characters) and payload.  Two ways to pipeline, because they
 * differ by about a fifth and a single one would flatter or hurt:
 *
 * idiom	append 1000 commands, read 1000 replies, repeat: how pipelining with
 *			hiredis is usually written.  Client and server take turns in part.
 * full		non-blocking, up to 10000 commands unanswered at any time: the
 *			server never waits for its client.  The most that XADD can do here.
 *
 * The caller takes the time from the entries' ids, so nothing is printed.
 * hiredis 0.14 has no call for the second way; the fields of its context that
 * are used here are the same up to 1.2.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#define IDIOM_BATCH		1000
#define FULL_WINDOW		10000
#define APPEND_AT_ONCE	256
#define ID_LENGTH		36

typedef struct Entries
{
	redisContext *redis;
	const char *argv[7];
	size_t		length[7];
	char		id[ID_LENGTH + 1];
	long		appended;
	long		answered;
	long		wanted;
} Entries;

static void
fail(const char *what, const char *why)
{
	fprintf(stderr, "plain_xadd: %s: %s\n", what, why);
	exit(1);
}

static void
append_entry(Entries *e)
{
	snprintf(e->id, sizeof(e->id), "0198a5c4-7b1e-7000-8000-%012lx",
			 e->appended);
	redisAppendCommandArgv(e->redis, 7, e->argv, e->length);
	e->appended++;
}

static void
count_reply(Entries *e, redisReply *reply)
{
	if (reply->type != REDIS_REPLY_STRING)
		fail("XADD", reply->str ? reply->str : "unexpected reply");
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
			   e->appended - e->answered < IDIOM_BATCH)
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

int
main(int argc, char **argv)
{
	static const char *const words[] = {"XADD", "", "*", "id", "", "payload", ""};
	Entries		e = {0};
	size_t		payload_bytes;
	char	   *payload;

	if (argc != 6)
		fail("usage", "plain_xadd SOCKET STREAM ENTRIES PAYLOAD_BYTES idiom|full");
	e.redis = redisConnectUnix(argv[1]);
	if (e.redis == NULL || e.redis->err)
		fail("connect", e.redis ? e.redis->errstr : "out of memory");
	e.wanted = atol(argv[3]);
	payload_bytes = strtoul(argv[4], NULL, 10);
	payload = malloc(payload_bytes + 1);
	if (payload == NULL)
		fail("payload", "out of memory");
	memset(payload, 'x', payload_bytes);
	payload[payload_bytes] = '\0';

	for (int i = 0; i < 7; i++)
	{
		e.argv[i] = words[i];
		e.length[i] = strlen(words[i]);
	}
	e.argv[1] = argv[2];
	e.length[1] = strlen(argv[2]);
	e.argv[4] = e.id;
	e.length[4] = ID_LENGTH;
	e.argv[6] = payload;
	e.length[6] = payload_bytes;

	if (strcmp(argv[5], "full") == 0)
		send_full(&e);
	else
		send_idiom(&e);
	redisFree(e.redis);
	free(payload);
	return 0;
}
