/*-------------------------------------------------------------------------
 *
 * connection.c
 *	  A connection whose other end is played here.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Both ends are in one process, on a unix socket: so what has happened at one
 * end has happened when the other one is used.  Each step is a line of the
 * result.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "redis/connection.h"
#include "redis/resp.h"
#include "utils/builtins.h"

#define LARGE (8 * 1024 * 1024)

typedef struct Ends
{
	RedisConnection *conn;
	char		path[64];
	int			listener;
	int			peer;
	StringInfoData told;
} Ends;

static const OutboxReplyLimits small = {1, 10, 1000};

PG_FUNCTION_INFO_V1(connection_story);
PG_FUNCTION_INFO_V1(connection_hears);

static void
tell(Ends *ends, const char *what, bool ok)
{
	appendStringInfo(&ends->told, "%s: %s%s%s\n", what, ok ? "yes" : "no",
					 ok ? "" : ", ",
					 ok ? "" : outbox_connection_error(ends->conn));
}

static void
listen_there(Ends *ends)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(ends->path, sizeof(ends->path), "/tmp/outbox-connection-%d",
			 MyProcPid);
	strlcpy(address.sun_path, ends->path, sizeof(address.sun_path));
	ends->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(ends->listener, (struct sockaddr *) &address, sizeof(address)) != 0 ||
		listen(ends->listener, 1) != 0)
		elog(ERROR, "no socket to listen on: %m");
}

static void
connect_ends(Ends *ends)
{
	OutboxRedisUrl url = {.path = ends->path};

	tell(ends, "begins to connect", outbox_connection_open(ends->conn, &url, NULL));
	ends->peer = accept(ends->listener, NULL, NULL);
	tell(ends, "moves bytes", outbox_connection_io(ends->conn));
	tell(ends, "is open", outbox_connection_is_open(ends->conn));
}

static void
send_ping(Ends *ends)
{
	outbox_resp_command(outbox_connection_out(ends->conn), 1);
	outbox_resp_string(outbox_connection_out(ends->conn), "PING");
}

/*
 * More than the socket takes at once arrives whole and in order, whatever is
 * added meanwhile.
 */
static void
send_much(Ends *ends)
{
	StringInfo	out = outbox_connection_out(ends->conn);
	char	   *chunk = palloc(65536);
	size_t		got = 0;
	bool		same = true;

	for (int i = 0; i < LARGE / 2; i++)
		appendStringInfoChar(out, 'a' + i % 23);
	while (got < LARGE)
	{
		ssize_t		n;

		if (!outbox_connection_flush(ends->conn))
			break;
		n = recv(ends->peer, chunk, 65536, 0);
		for (ssize_t i = 0; i < n; i++)
			same &= chunk[i] == 'a' + (int) ((got + i) % (LARGE / 2)) % 23;
		if (got < LARGE / 4 && got + n >= LARGE / 4)
			for (int i = 0; i < LARGE / 2; i++)
				appendStringInfoChar(out, 'a' + i % 23);
		got += n;
	}
	tell(ends, "all has arrived", got == LARGE && same);
	tell(ends, "nothing is unsent", outbox_connection_unsent(ends->conn) == 0);
}

/*
 * The other end is gone.  Whoever doesn't know it yet goes on writing.
 */
static void
lose_peer(Ends *ends)
{
	OutboxReply *reply;

	close(ends->peer);
	send_ping(ends);
	tell(ends, "flushes", outbox_connection_flush(ends->conn));
	tell(ends, "is open", outbox_connection_is_open(ends->conn));
	send_ping(ends);
	tell(ends, "flushes again", outbox_connection_flush(ends->conn));
	tell(ends, "moves bytes", outbox_connection_io(ends->conn));
	tell(ends, "has a reply", outbox_connection_reply(ends->conn, &small, &reply));
	outbox_connection_close(ends->conn);
	send_ping(ends);
	tell(ends, "flushes when closed", outbox_connection_flush(ends->conn));
}

static void
answer_ping(Ends *ends)
{
	OutboxReply *reply = NULL;
	char		got[64] = "";
	ssize_t		n;

	send_ping(ends);
	tell(ends, "flushes", outbox_connection_flush(ends->conn));
	n = recv(ends->peer, got, sizeof(got) - 1, 0);
	tell(ends, "only this command has arrived",
		 n == 14 && strcmp(got, "*1\r\n$4\r\nPING\r\n") == 0);
	if (send(ends->peer, "+PONG\r\n", 7, 0) != 7)
		elog(ERROR, "no answer could be sent: %m");
	tell(ends, "moves bytes", outbox_connection_io(ends->conn));
	tell(ends, "has a reply", outbox_connection_reply(ends->conn, &small, &reply));
	appendStringInfo(&ends->told, "it is %s\n", outbox_reply_string(reply));
	outbox_reply_free(reply);
}

Datum
connection_story(PG_FUNCTION_ARGS)
{
	Ends		ends = {.conn = outbox_connection_make()};

	initStringInfo(&ends.told);
	listen_there(&ends);
	connect_ends(&ends);
	send_much(&ends);
	lose_peer(&ends);
	connect_ends(&ends);
	answer_ping(&ends);
	outbox_connection_close(ends.conn);
	close(ends.peer);
	close(ends.listener);
	unlink(ends.path);
	PG_RETURN_TEXT_P(cstring_to_text(ends.told.data));
}

/*
 * The other end says something, and says the rest of it for as long as somebody
 * listens.
 */
static void
say(Ends *ends, const char *begin, const char *rest, size_t *said)
{
	OutboxReply *reply = NULL;
	bool		ok = true;
	int			flags = MSG_DONTWAIT | MSG_NOSIGNAL;
	size_t		len = strlen(rest);

	*said = send(ends->peer, begin, strlen(begin), flags);
	while (ok && reply == NULL)
	{
		ssize_t		n = len > 0 ? send(ends->peer, rest, len, flags) : 0;

		if (n > 0)
			*said += n;
		ok = outbox_connection_io(ends->conn) &&
			outbox_connection_reply(ends->conn, &small, &reply);
		if (n == 0 && ok && reply == NULL)
			break;
	}
	tell(ends, reply != NULL ? "it is a reply" : ok ? "it waits" : "it is taken", ok);
	if (reply != NULL)
		outbox_reply_free(reply);
}

/*
 * What becomes of a reply that begins with the first argument and goes on with
 * the second one again and again; and whether its end came soon.
 */
Datum
connection_hears(PG_FUNCTION_ARGS)
{
	Ends		ends = {.conn = outbox_connection_make()};
	OutboxRedisUrl url;
	size_t		said;

	initStringInfo(&ends.told);
	listen_there(&ends);
	url = (OutboxRedisUrl) {.path = ends.path};
	(void) outbox_connection_open(ends.conn, &url, NULL);
	ends.peer = accept(ends.listener, NULL, NULL);
	say(&ends, text_to_cstring(PG_GETARG_TEXT_PP(0)),
		text_to_cstring(PG_GETARG_TEXT_PP(1)), &said);
	if (said > 1024 * 1024)
		appendStringInfoString(&ends.told, "after more than a megabyte\n");
	outbox_connection_close(ends.conn);
	close(ends.peer);
	close(ends.listener);
	unlink(ends.path);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(ends.told.data, ends.told.len - 1));
}
