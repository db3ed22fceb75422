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
 * hiredis connects, reads and parses, and never blocks; the relay waits on its
 * latch and on this socket together.  Only what hiredis 0.14 and 1.x have in
 * common is used.  There is one exception to "never": hiredis looks host names
 * up with getaddrinfo(), which blocks.  Where name servers may hang, configure
 * the address of Redis and not its name.
 *
 * While a connect is under way its socket is not writable; when it becomes
 * writable, SO_ERROR says how the connect ended.
 *
 * A socket that takes nothing any more may have something to say: Redis closes
 * a connection on which it was sent what it will not read, and says so before.
 * So what has arrived is read to its end before the connection has failed.
 *
 * Commands are written into a buffer of ours and sent from there: hiredis's
 * buffer moves the rest to its beginning after each write.  A command can be
 * written in every state of the connection; if the connection has failed, that
 * is noticed when bytes are to be moved.
 *
 *-------------------------------------------------------------------------
 */
#include "redis/connection.h"

#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "redis/errors.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/memutils.h"

/* an empty buffer that is larger than this is given back */
#define BUFFER_KEEP		(1024 * 1024)

/* longer error texts are cut */
#define ERROR_SIZE		256

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
	redisContext *context;		/* NULL when closed */
	MemoryContext memory;		/* of this struct and the buffer */
	StringInfoData out;			/* commands */
	int			sent;			/* how many bytes of out have been sent */
	bool		is_cut;			/* while open: the socket takes nothing more */
	uint64		received;		/* bytes */
	OutboxReplyGuard *guard;	/* of the replies */
	uint64		number;			/* see outbox_connection_number() */
	char		error[ERROR_SIZE];
};

RedisConnection *
outbox_connection_make(void)
{
	RedisConnection *conn = palloc0(sizeof(RedisConnection));

	conn->memory = CurrentMemoryContext;
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
	outbox_clean_error(conn->error, error, sizeof(conn->error));
	conn->state = CONNECTION_FAILED;
	return false;
}

void
outbox_connection_close(RedisConnection *conn)
{
	empty_buffer(conn);
	conn->state = CONNECTION_CLOSED;
	conn->is_cut = false;
	conn->received = 0;
	if (conn->context == NULL)
		return;
	redisFree(conn->context);
	conn->context = NULL;
	conn->number++;
	ReleaseExternalFD();
}

bool
outbox_connection_open(RedisConnection *conn, const OutboxRedisUrl *url)
{
	redisContext *context;

	outbox_connection_close(conn);
	if (!AcquireExternalFD())
		return fail(conn, "too many open files");
	if (url->path != NULL)
		context = redisConnectUnixNonBlock(url->path);
	else
		context = redisConnectNonBlock(url->host, url->port);
	if (context == NULL)
	{
		ReleaseExternalFD();
		return fail(conn, "out of memory");
	}
	conn->context = context;
	conn->number++;
	if (context->err)
		return fail(conn, context->errstr);
	conn->state = CONNECTION_CONNECTING;
	outbox_guard_reader(conn->guard, context->reader);
	if (url->path == NULL)
	{
		int			on = 1;

		(void) setsockopt(context->fd, IPPROTO_TCP, TCP_NODELAY, &on,
						  sizeof(on));
		(void) redisEnableKeepAlive(context);
	}
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
	return conn->error;
}

pgsocket
outbox_connection_socket(const RedisConnection *conn)
{
	return conn->context != NULL ? conn->context->fd : PGINVALID_SOCKET;
}

int
outbox_connection_events(const RedisConnection *conn)
{
	if (conn->state == CONNECTION_CONNECTING)
		return WL_SOCKET_CONNECTED;
	return WL_SOCKET_READABLE |
		(outbox_connection_unsent(conn) > 0 && !conn->is_cut ?
		 WL_SOCKET_WRITEABLE : 0);
}

uint64
outbox_connection_number(const RedisConnection *conn)
{
	return conn->number;
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

static bool
finish_connect(RedisConnection *conn)
{
	struct sockaddr_storage peer;
	socklen_t	peer_len = sizeof(peer);
	int			error = 0;
	socklen_t	len = sizeof(error);

	if (getsockopt(conn->context->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error != 0)
		return fail(conn, strerror(error));
	if (getpeername(conn->context->fd, (struct sockaddr *) &peer, &peer_len) == 0)
	{
		conn->state = CONNECTION_OPEN;
		conn->context->flags |= REDIS_CONNECTED;
	}
	return true;				/* or not yet */
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
		ssize_t		n = send(conn->context->fd, conn->out.data + conn->sent,
							 conn->out.len - conn->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		{
			drop_sent(conn);
			return true;
		}
		if (n < 0)
		{
			outbox_clean_error(conn->error, strerror(errno),
							   sizeof(conn->error));
			conn->is_cut = true;
			return false;
		}
		conn->sent += n;
	}
	empty_buffer(conn);
	return true;
}

bool
outbox_connection_io(RedisConnection *conn)
{
	size_t		had;
	size_t		got;

	if (conn->state == CONNECTION_CONNECTING && !finish_connect(conn))
		return false;
	if (conn->state != CONNECTION_OPEN)
		return conn->state == CONNECTION_CONNECTING;
	(void) outbox_connection_flush(conn);

	/* one read a call; the socket stays readable while there is more */
	had = conn->context->reader->len;
	if (redisBufferRead(conn->context) != REDIS_OK)
		return fail(conn, conn->is_cut ? conn->error : conn->context->errstr);
	got = conn->context->reader->len - had;
	conn->received += got;
	if (conn->is_cut && got == 0)
		return fail(conn, conn->error);
	return true;
}

bool
outbox_connection_reply(RedisConnection *conn, const OutboxReplyLimits *limits,
						OutboxReply **reply)
{
	redisReader *reader;
	const char *complaint;
	void	   *r = NULL;
	bool		ok;

	*reply = NULL;
	if (conn->state != CONNECTION_OPEN)
		return false;
	reader = conn->context->reader;
	outbox_guard_limits(conn->guard, limits);
	ok = redisGetReplyFromReader(conn->context, &r) == REDIS_OK;
	*reply = r;
	if (r != NULL)
	{
		outbox_guard_next(conn->guard);
		return true;
	}
	complaint = outbox_guard_complaint(conn->guard, reader);
	if (complaint != NULL)
		return fail(conn, complaint);
	return ok || fail(conn, conn->context->errstr);
}
