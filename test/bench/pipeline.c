/*
 * pipeline.c
 *	  The yardstick for delivery: commands pipelined by a plain hiredis client.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * usage: pipeline SERVER COUNT PAYLOAD_BYTES single|idiom|full WORD...
 *
 * SERVER is a socket's path, HOST:PORT, or HOST:PORT/CAFILE for TLS.  The words
 * are a command; in each %id stands for 36 characters that are others in each
 * command, and a word that is %payload for so many bytes.  Three ways to send
 * them, because they differ, and one of them would flatter or hurt:
 *
 * single	a command, its reply, the next: what a client without pipelining does
 * idiom	1000 commands, their replies, the next 1000: how pipelining is usually
 *			written.  Client and server take turns in part.
 * full		up to 10000 commands unanswered at any time: the server never waits
 *			for its client.  The most that is possible here.
 *
 * Prints the seconds it took, and this process's CPU seconds.
 *
 * hiredis makes the commands and reads the replies; the bytes in between go
 * through the few calls below, the same for all of the transports, as hiredis
 * 0.14 knows no TLS.  With TLS a write is 16 kB at most, one record.
 */
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <hiredis/hiredis.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#define IDIOM_BATCH		1000
#define FULL_WINDOW		10000
#define FULL_LOW		(FULL_WINDOW - 256)
#define OUT_BYTES		(256 * 1024)	/* no more is formatted ahead of the socket */
#define IN_BYTES		(64 * 1024)
#define ID_LENGTH		36
#define MAX_WORDS		16

typedef struct Entries
{
	redisContext *redis;		/* the connection; its buffers aren't used */
	redisReader *reader;
	SSL		   *ssl;			/* or NULL */

	int			argc;
	const char *argv[MAX_WORDS];
	size_t		length[MAX_WORDS];
	char	   *id[MAX_WORDS];	/* where it is in the word, or NULL */

	long		window;			/* so many may be unanswered; */
	long		low;			/* more are sent when so few are */
	long		appended;
	long		answered;
	long		wanted;

	char	   *out;
	size_t		out_size;
	size_t		out_used;
	size_t		out_sent;
} Entries;

static void
append_entry(Entries *e)
{
	char		id[ID_LENGTH + 1];
	char	   *command;
	int			length;

	snprintf(id, sizeof(id), "0198a5c4-7b1e-7000-8000-%012lx", e->appended);
	for (int i = 0; i < e->argc; i++)
		if (e->id[i] != NULL)
			memcpy(e->id[i], id, ID_LENGTH);
	length = redisFormatCommandArgv(&command, e->argc, e->argv, e->length);
	if (length < 0)
		fail("command", "out of memory");
	if (e->out_used + length > e->out_size)
	{
		e->out_size = 2 * (e->out_used + length);
		e->out = realloc(e->out, e->out_size);
		if (e->out == NULL)
			fail("buffer", "out of memory");
	}
	memcpy(e->out + e->out_used, command, length);
	e->out_used += length;
	redisFreeCommand(command);
	e->appended++;
}

/*
 * What a call that would have to wait returns is 0; an end or an error ends us.
 */
static size_t
ssl_result(Entries *e, int n)
{
	int			why;

	if (n > 0)
		return n;
	why = SSL_get_error(e->ssl, n);
	if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
		fail("TLS", "the connection has ended");
	return 0;
}

static size_t
socket_result(ssize_t n)
{
	if (n > 0)
		return n;
	if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
		fail("socket", n == 0 ? "the connection has ended" : strerror(errno));
	return 0;
}

static size_t
send_some(Entries *e, const char *data, size_t length)
{
	ERR_clear_error();
	if (e->ssl)
		return ssl_result(e, SSL_write(e->ssl, data, length));
	return socket_result(write(e->redis->fd, data, length));
}

static size_t
receive_some(Entries *e, char *data, size_t length)
{
	ERR_clear_error();
	if (e->ssl)
		return ssl_result(e, SSL_read(e->ssl, data, length));
	return socket_result(read(e->redis->fd, data, length));
}

static void
flush(Entries *e)
{
	size_t		n;

	while (e->out_sent < e->out_used &&
		   (n = send_some(e, e->out + e->out_sent, e->out_used - e->out_sent)) > 0)
		e->out_sent += n;
	if (e->out_sent == e->out_used)
		e->out_sent = e->out_used = 0;
}

static void
read_replies(Entries *e)
{
	static char data[IN_BYTES];
	size_t		n;

	while ((n = receive_some(e, data, sizeof(data))) > 0)
	{
		redisReply *reply;

		redisReaderFeed(e->reader, data, n);
		for (;;)
		{
			if (redisReaderGetReply(e->reader, (void **) &reply) != REDIS_OK)
				fail("reply", e->reader->errstr);
			if (reply == NULL)
				break;
			if (reply->type == REDIS_REPLY_ERROR)
				fail(e->argv[0], reply->str);
			freeReplyObject(reply);
			e->answered++;
		}
	}
}

static void
send_all(Entries *e)
{
	bool		filling = true;

	while (e->answered < e->wanted)
	{
		struct pollfd p = {e->redis->fd, POLLIN, 0};

		/* filled up to the window, then not before the low mark */
		if (e->appended - e->answered <= e->low)
			filling = true;
		while (filling && e->out_used - e->out_sent < OUT_BYTES)
		{
			if (e->appended == e->wanted || e->appended - e->answered == e->window)
				filling = false;
			else
				append_entry(e);
		}
		flush(e);
		if (e->out_used > 0)
			p.events |= POLLOUT;
		if (!filling || e->out_used > 0)
			if (poll(&p, 1, -1) < 0 && errno != EINTR)
				fail("poll", strerror(errno));
		if (p.revents & (POLLIN | POLLHUP | POLLERR))
			read_replies(e);
	}
}

static SSL *
start_tls(int fd, const char *ca_file)
{
	SSL_CTX    *context = SSL_CTX_new(TLS_client_method());
	SSL		   *ssl;

	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
					 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	if (SSL_CTX_load_verify_locations(context, ca_file, NULL) != 1)
		fail(ca_file, "cannot be read");
	ssl = SSL_new(context);
	if (SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1)
		fail("TLS", ERR_error_string(ERR_get_error(), NULL));
	return ssl;
}

static void
open_connection(Entries *e, const char *server)
{
	char	   *host = strdup(server);
	char	   *port = strrchr(host, ':');
	char	   *ca_file;

	if (server[0] == '/')
		e->redis = redisConnectUnix(server);
	else
	{
		if (port == NULL)
			fail("usage", "a path, HOST:PORT or HOST:PORT/CAFILE");
		*port++ = '\0';
		e->redis = redisConnect(host, atoi(port));
	}
	if (e->redis == NULL || e->redis->err)
		fail("connect", e->redis ? e->redis->errstr : "out of memory");
	e->reader = redisReaderCreate();
	if (server[0] != '/' && (ca_file = strchr(port, '/')) != NULL)
		e->ssl = start_tls(e->redis->fd, ca_file);
	fcntl(e->redis->fd, F_SETFL, fcntl(e->redis->fd, F_GETFL) | O_NONBLOCK);
	free(host);
}

static void
set_way(Entries *e, const char *way)
{
	e->window = strcmp(way, "single") == 0 ? 1 :
		strcmp(way, "idiom") == 0 ? IDIOM_BATCH : FULL_WINDOW;
	e->low = strcmp(way, "full") == 0 ? FULL_LOW : 0;
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
	struct rusage used;

	if (argc < 6)
		fail("usage", "pipeline SERVER COUNT PAYLOAD_BYTES single|idiom|full WORD...");
	open_connection(&e, argv[1]);
	e.wanted = atol(argv[2]);
	set_way(&e, argv[4]);
	for (int i = 5; i < argc; i++)
		add_word(&e, argv[i], strtoul(argv[3], NULL, 10));

	clock_gettime(CLOCK_MONOTONIC, &begin);
	send_all(&e);
	clock_gettime(CLOCK_MONOTONIC, &end);
	getrusage(RUSAGE_SELF, &used);
	printf("%.6f %.6f\n",
		   (end.tv_sec - begin.tv_sec) + (end.tv_nsec - begin.tv_nsec) / 1e9,
		   used.ru_utime.tv_sec + used.ru_stime.tv_sec +
		   (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
	redisFree(e.redis);
	return 0;
}
