/*-------------------------------------------------------------------------
 *
 * connection.c
 *	  One connection to Redis: connect, send, read, without waiting.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 *		closed ──► connecting ──► open
 *		   ▲            │           │
 *		   └── failed ◄─┴───────────┘
 *
 * transport.c moves the bytes; it is connecting as long as that is, until the
 * handshake of TLS is done.  hiredis parses what has arrived, and does nothing
 * else: it neither connects nor reads.  Only what hiredis 0.14 and 1.x have in
 * common is used.  The relay waits on its latch and on this socket together.
 *
 * Who speaks TLS says so with the first byte, which is none of Redis's, or says
 * nothing and closes the connection.
 *
 * A socket that takes nothing any more may have something to say: Redis closes
 * a connection on which it was sent what it will not read, and says so before.
 * So what has arrived is read to its end before the connection has failed.
 *
 * Commands are written into a buffer of ours and sent from there.  A command can be
 * written in every state of the connection; if the connection has failed, that
 * is noticed when bytes are to be moved.
 *
 *-------------------------------------------------------------------------
 */
#include "redis/connection.h"

#include <hiredis/hiredis.h>

#include "redis/transport.h"
#include "utils/memutils.h"

/* an empty buffer that is larger than this is given back */
#define BUFFER_KEEP		(1024 * 1024)

/* what is read at once */
#define READ_SIZE		(16 * 1024)

/* the first byte of an alert and of a handshake of TLS */
#define TLS_ALERT		0x15
#define TLS_HANDSHAKE	0x16

typedef enum ConnectionState
{
	CONNECTION_CLOSED,
	CONNECTION_CONNECTING,
	CONNECTION_OPEN,
	CONNECTION_FAILED
} ConnectionState;

struct RedisConnection
{
	ConnectionState state;
	RedisTransport *transport;
	redisReader *reader;		/* NULL when closed */
	bool		may_be_tls;		/* the other end, while this one is not */
	MemoryContext memory;		/* of this struct and the buffer */
	StringInfoData out;			/* commands */
	int			sent;			/* how many bytes of out have been sent */
	bool		is_cut;			/* while open: the socket takes nothing more */
	uint64		received;		/* bytes */
	OutboxReplyGuard *guard;	/* of the replies */
	RedisTrouble trouble;
};

RedisConnection *
outbox_connection_make(void)
{
	RedisConnection *conn = palloc0(sizeof(RedisConnection));

	conn->memory = CurrentMemoryContext;
	conn->transport = outbox_transport_make();
	initStringInfo(&conn->out);
	conn->guard = outbox_guard_make();
	return conn;
}

static void
empty_buffer(RedisConnection *conn)
{
	conn->sent = 0;
	resetStringInfo(&conn->out);
	if (conn->out.maxlen > BUFFER_KEEP)
	{
		MemoryContext old = MemoryContextSwitchTo(conn->memory);

		pfree(conn->out.data);
		initStringInfo(&conn->out);
		MemoryContextSwitchTo(old);
	}
}

/*
 * Move the unsent bytes to the beginning of the buffer when half of it has been
 * sent, and not before, so that each byte is moved once on average.
 */
static void
drop_sent(RedisConnection *conn)
{
	if (conn->sent < conn->out.len / 2)
		return;
	conn->out.len -= conn->sent;
	memmove(conn->out.data, conn->out.data + conn->sent, conn->out.len);
	conn->sent = 0;
}

static bool
fail(RedisConnection *conn, const char *error)
{
	conn->state = CONNECTION_FAILED;
	return outbox_trouble(&conn->trouble, error, NULL);
}

/*
 * Because of what has happened to the transport.
 */
static bool
transport_failed(RedisConnection *conn)
{
	conn->state = CONNECTION_FAILED;
	conn->trouble = *outbox_transport_trouble(conn->transport);
	return false;
}

void
outbox_connection_close(RedisConnection *conn)
{
	empty_buffer(conn);
	outbox_transport_close(conn->transport);
	conn->state = CONNECTION_CLOSED;
	conn->is_cut = false;
	conn->received = 0;
	if (conn->reader != NULL)
		redisReaderFree(conn->reader);
	conn->reader = NULL;
}

bool
outbox_connection_open(RedisConnection *conn, const OutboxRedisUrl *url,
					   const OutboxRedisHost *host)
{
	outbox_connection_close(conn);
	conn->reader = redisReaderCreate();
	if (conn->reader == NULL)
		return fail(conn, "out of memory");
	outbox_guard_reader(conn->guard, conn->reader);
	conn->may_be_tls = !url->tls && url->path == NULL;
	if (!outbox_transport_open(conn->transport, url, host))
		return transport_failed(conn);
	conn->state = CONNECTION_CONNECTING;
	return true;
}

bool
outbox_connection_is_open(const RedisConnection *conn)
{
	return conn->state == CONNECTION_OPEN;
}

const char *
outbox_connection_error(const RedisConnection *conn)
{
	return conn->trouble.text;
}

const char *
outbox_connection_hint(const RedisConnection *conn)
{
	return conn->trouble.hint;
}

void
outbox_connection_give_up(RedisConnection *conn, int seconds)
{
	char		text[OUTBOX_TROUBLE_SIZE];
	const char *hint;

	snprintf(text, sizeof(text), "no %s within %d s",
			 outbox_transport_awaits(conn->transport, &hint), seconds);
	fail(conn, text);
	conn->trouble.hint = hint;
}

long
outbox_connection_ms(const RedisConnection *conn, OutboxTime now)
{
	return outbox_transport_ms(conn->transport, now);
}

pgsocket
outbox_connection_socket(const RedisConnection *conn)
{
	return outbox_transport_socket(conn->transport);
}

int
outbox_connection_events(const RedisConnection *conn)
{
	return outbox_transport_events(conn->transport,
								   conn->state == CONNECTION_OPEN &&
								   !conn->is_cut &&
								   outbox_connection_unsent(conn) > 0);
}

uint64
outbox_connection_number(const RedisConnection *conn)
{
	return outbox_transport_number(conn->transport);
}

StringInfo
outbox_connection_out(RedisConnection *conn)
{
	return &conn->out;
}

size_t
outbox_connection_unsent(const RedisConnection *conn)
{
	return conn->out.len - conn->sent;
}

uint64
outbox_connection_received(const RedisConnection *conn)
{
	return conn->received;
}

bool
outbox_connection_flush(RedisConnection *conn)
{
	if (conn->state != CONNECTION_OPEN)
		return conn->state == CONNECTION_CONNECTING;
	if (conn->is_cut)
		return false;
	while (conn->sent < conn->out.len)
	{
		ssize_t		n = outbox_transport_send(conn->transport,
											  conn->out.data + conn->sent,
											  conn->out.len - conn->sent);

		if (n == 0)
		{
			drop_sent(conn);
			return true;
		}
		if (n < 0)
		{
			conn->trouble = *outbox_transport_trouble(conn->transport);
			conn->is_cut = true;
			return false;
		}
		conn->sent += n;
	}
	empty_buffer(conn);
	return true;
}

/*
 * Read once, and what is left of that beside the socket, which stays readable
 * while there is more.
 */
static bool
receive(RedisConnection *conn)
{
	char		buf[READ_SIZE];
	bool		got_some = false;

	do
	{
		ssize_t		n = outbox_transport_receive(conn->transport, buf,
												 sizeof(buf));

		if (n < 0 && (!conn->is_cut || outbox_transport_trouble(conn->transport)->hint != NULL))
		{
			(void) transport_failed(conn);
			if (conn->received == 0 && conn->may_be_tls)
				conn->trouble.hint = "If the port is one with TLS, use rediss://.";
			return false;
		}
		if (n <= 0)
			break;
		if (conn->received == 0 && conn->may_be_tls &&
			(buf[0] == TLS_ALERT || buf[0] == TLS_HANDSHAKE))
		{
			fail(conn, "the server speaks TLS");
			conn->trouble.hint = "Use rediss:// for a port with TLS.";
			return false;
		}
		got_some = true;
		conn->received += n;
		if (redisReaderFeed(conn->reader, buf, n) != REDIS_OK)
			return fail(conn, conn->reader->errstr);
	} while (outbox_transport_has_more(conn->transport));

	if (conn->is_cut && !got_some)
	{
		conn->state = CONNECTION_FAILED;
		return false;
	}
	return true;
}

bool
outbox_connection_io(RedisConnection *conn)
{
	if (conn->state == CONNECTION_CONNECTING)
	{
		if (!outbox_transport_connect(conn->transport))
			return transport_failed(conn);
		if (outbox_transport_is_open(conn->transport))
			conn->state = CONNECTION_OPEN;
	}
	if (conn->state != CONNECTION_OPEN)
		return conn->state == CONNECTION_CONNECTING;
	(void) outbox_connection_flush(conn);
	return receive(conn);
}

bool
outbox_connection_reply(RedisConnection *conn, const OutboxReplyLimits *limits,
						OutboxReply **reply)
{
	const char *complaint;
	void	   *r = NULL;
	bool		ok;

	*reply = NULL;
	if (conn->state != CONNECTION_OPEN)
		return false;
	outbox_guard_limits(conn->guard, limits);
	ok = redisReaderGetReply(conn->reader, &r) == REDIS_OK;
	*reply = r;
	if (r != NULL)
	{
		outbox_guard_next(conn->guard);
		return true;
	}
	complaint = outbox_guard_complaint(conn->guard, conn->reader);
	if (complaint != NULL)
		return fail(conn, complaint);
	return ok || fail(conn, conn->reader->errstr);
}
