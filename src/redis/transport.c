/*-------------------------------------------------------------------------
 *
 * transport.c
 *	  Bytes to and from Redis, without waiting.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 *		closed ──► looking up ──► connecting ──► handshaking ──► open
 *		   ▲           │              │  ▲           │            │
 *		   │           │              ▼  │           │            │
 *		   │           │         next address        │            │
 *		   └───────────┴──────── failed ◄────────────┴────────────┘
 *
 * A name is looked up for each connection: where a failover is a change of DNS,
 * there is no other way to learn of it.  All its addresses are tried, one after the
 * other.  One that does not answer at all gets a part of the time only, if there
 * is another one; and the next connection begins with the address behind the one
 * that has failed, be it in the handshake.
 *
 * While a connect is under way its socket is not writable; when it becomes
 * writable, SO_ERROR says how the connect ended.
 *
 *-------------------------------------------------------------------------
 */
#include "redis/transport.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "redis/lookup.h"
#include "redis/tls.h"
#include "storage/fd.h"
#include "storage/latch.h"

/* an address that does not answer is left after this time, for another one */
#define ADDRESS_TIMEOUT_MS	2000

/* when a connection is idle the kernel looks whether the other end is there */
#define KEEPALIVE_IDLE_S	15
#define KEEPALIVE_INTERVAL_S	5
#define KEEPALIVE_COUNT		3

typedef enum TransportState
{
	TRANSPORT_CLOSED,
	TRANSPORT_LOOKUP,
	TRANSPORT_CONNECTING,
	TRANSPORT_HANDSHAKE,
	TRANSPORT_OPEN,
	TRANSPORT_FAILED
} TransportState;

struct RedisTransport
{
	TransportState state;
	pgsocket	sock;
	uint64		number;			/* see outbox_transport_number() */
	MemoryContext context;		/* of this struct */
	RedisLookup *lookup;		/* also of a closed one, see lookup.c */
	const struct addrinfo *address; /* tried now; part of the lookup */
	int			to_try;			/* addresses left, with this one */
	unsigned int first;			/* at which address to begin */
	OutboxTime	give_up_at;		/* this address, for the next one */
	RedisTls   *tls;			/* NULL: without */
	RedisTrouble trouble;
};

RedisTransport *
outbox_transport_make(void)
{
	RedisTransport *t = palloc0(sizeof(RedisTransport));

	t->context = CurrentMemoryContext;
	t->sock = PGINVALID_SOCKET;
	return t;
}

static bool
fail(RedisTransport *t, const char *text)
{
	return outbox_trouble(&t->trouble, text, NULL);
}

static void
close_socket(RedisTransport *t)
{
	if (t->sock == PGINVALID_SOCKET)
		return;
	closesocket(t->sock);
	t->sock = PGINVALID_SOCKET;
	t->number++;
	ReleaseExternalFD();
}

/*
 * A lookup that isn't done is kept for the next connection.
 */
void
outbox_transport_close(RedisTransport *t)
{
	if (t->tls != NULL)
		outbox_tls_free(t->tls);
	t->tls = NULL;
	close_socket(t);
	if (t->state == TRANSPORT_LOOKUP)
		t->number++;
	else if (t->state != TRANSPORT_CLOSED && t->lookup != NULL)
	{
		if (t->state != TRANSPORT_OPEN)
			t->first++;
		outbox_lookup_abandon(t->lookup);
		t->lookup = NULL;
	}
	t->address = NULL;
	t->state = TRANSPORT_CLOSED;
}

static void
set_options(pgsocket sock, int family)
{
	static const struct
	{
		int			level;
		int			name;
		int			value;
	}			options[] = {
		{IPPROTO_TCP, TCP_NODELAY, 1},
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
		{IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
		{IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT}
	};

	if (family == AF_UNIX)
		return;
	for (int i = 0; i < lengthof(options); i++)
		(void) setsockopt(sock, options[i].level, options[i].name,
						  &options[i].value, sizeof(options[i].value));
}

/*
 * Begin to connect to an address.
 */
static bool
begin(RedisTransport *t, const struct sockaddr *address, socklen_t len)
{
	int			result;

	if (!AcquireExternalFD())
		return fail(t, "too many open files");
	t->sock = socket(address->sa_family, SOCK_STREAM, 0);
	if (t->sock == PGINVALID_SOCKET)
	{
		ReleaseExternalFD();
		return fail(t, strerror(errno));
	}
	t->number++;
	(void) fcntl(t->sock, F_SETFD, FD_CLOEXEC);
	if (fcntl(t->sock, F_SETFL, O_NONBLOCK) < 0)
		return fail(t, strerror(errno));
	set_options(t->sock, address->sa_family);
	do
		result = connect(t->sock, address, len);
	while (result < 0 && errno == EINTR);
	if (result < 0 && errno != EINPROGRESS)
		return fail(t, strerror(errno));
	t->state = TRANSPORT_CONNECTING;
	t->give_up_at = t->to_try > 1 ?
		outbox_in_ms(outbox_now(), ADDRESS_TIMEOUT_MS) : OUTBOX_NEVER;
	return true;
}

/*
 * Begin with this address, or else with one behind it.
 */
static bool
begin_with(RedisTransport *t, const struct addrinfo *all)
{
	for (; t->to_try > 0; t->to_try--)
	{
		if (begin(t, t->address->ai_addr, t->address->ai_addrlen))
			return true;
		close_socket(t);
		t->address = t->address->ai_next != NULL ? t->address->ai_next : all;
		t->first++;
	}
	return false;
}

static bool
take_lookup(RedisTransport *t)
{
	const struct addrinfo *all = outbox_lookup_result(t->lookup, &t->trouble);
	int			n = 0;

	t->state = TRANSPORT_CONNECTING;
	t->number++;
	if (all == NULL)
		return false;
	for (const struct addrinfo *a = all; a != NULL; a = a->ai_next)
		n++;
	t->address = all;
	for (unsigned int i = t->first % n; i > 0; i--)
		t->address = t->address->ai_next;
	t->to_try = n;
	return begin_with(t, all);
}

/*
 * This address has failed, see t->trouble.  Go on with the next one.
 */
static bool
next_address(RedisTransport *t)
{
	const struct addrinfo *all;
	RedisTrouble ignored;

	close_socket(t);
	if (t->lookup == NULL || --t->to_try <= 0)
		return false;
	all = outbox_lookup_result(t->lookup, &ignored);
	t->address = t->address->ai_next != NULL ? t->address->ai_next : all;
	t->first++;
	return begin_with(t, all);
}

static bool
open_path(RedisTransport *t, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path))
		return fail(t, "the path of the socket is too long");
	strlcpy(address.sun_path, path, sizeof(address.sun_path));
	t->to_try = 1;
	return begin(t, (struct sockaddr *) &address, sizeof(address));
}

static bool
open_host(RedisTransport *t, const OutboxRedisHost *host)
{
	if (t->lookup != NULL &&
		!outbox_lookup_is_of(t->lookup, host->name, host->port))
	{
		outbox_lookup_abandon(t->lookup);
		t->lookup = NULL;
	}
	if (t->lookup == NULL)
		t->lookup = outbox_lookup_begin(host->name, host->port, &t->trouble);
	if (t->lookup == NULL)
		return false;
	t->state = TRANSPORT_LOOKUP;
	t->number++;
	return !outbox_lookup_is_done(t->lookup) || take_lookup(t);
}

bool
outbox_transport_open(RedisTransport *t, const OutboxRedisUrl *url,
					  const OutboxRedisHost *host)
{
	bool		ok = true;

	Assert(t->state == TRANSPORT_CLOSED);
	t->state = TRANSPORT_CONNECTING;
	if (url->tls)
	{
		t->tls = outbox_tls_make(url, host, t->context, &t->trouble);
		ok = t->tls != NULL;
	}
	ok = ok && (url->path != NULL ? open_path(t, url->path) :
				open_host(t, host));
	if (!ok)
		t->state = TRANSPORT_FAILED;
	return ok;
}

static bool
finish_connect(RedisTransport *t)
{
	struct sockaddr_storage peer;
	socklen_t	peer_len = sizeof(peer);
	int			error = 0;
	socklen_t	len = sizeof(error);

	if (getsockopt(t->sock, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error != 0)
	{
		fail(t, strerror(error));
		return next_address(t);
	}
	if (getpeername(t->sock, (struct sockaddr *) &peer, &peer_len) == 0)
	{
		if (t->tls != NULL && !outbox_tls_attach(t->tls, t->sock, &t->trouble))
			return false;
		t->state = t->tls != NULL ? TRANSPORT_HANDSHAKE : TRANSPORT_OPEN;
		return true;
	}
	if (outbox_now() < t->give_up_at)
		return true;			/* not yet */
	fail(t, strerror(ETIMEDOUT));
	return next_address(t);
}

bool
outbox_transport_connect(RedisTransport *t)
{
	bool		ok = true;
	bool		done;

	if (t->state == TRANSPORT_LOOKUP && outbox_lookup_is_done(t->lookup))
		ok = take_lookup(t);
	if (ok && t->state == TRANSPORT_CONNECTING)
		ok = finish_connect(t);
	if (ok && t->state == TRANSPORT_HANDSHAKE)
	{
		ok = outbox_tls_handshake(t->tls, &done, &t->trouble);
		if (ok && done)
			t->state = TRANSPORT_OPEN;
	}
	if (!ok)
		t->state = TRANSPORT_FAILED;
	return ok;
}

bool
outbox_transport_is_open(const RedisTransport *t)
{
	return t->state == TRANSPORT_OPEN;
}

const char *
outbox_transport_awaits(const RedisTransport *t, const char **hint)
{
	*hint = NULL;
	if (t->state == TRANSPORT_LOOKUP)
		return "answer of the name servers";
	if (t->state != TRANSPORT_HANDSHAKE)
		return "connection";
	*hint = OUTBOX_HINT_NO_TLS;
	return "TLS handshake";
}

long
outbox_transport_ms(const RedisTransport *t, OutboxTime now)
{
	return t->state == TRANSPORT_CONNECTING ?
		outbox_ms_until(now, t->give_up_at) : PG_INT32_MAX;
}

pgsocket
outbox_transport_socket(const RedisTransport *t)
{
	return t->state == TRANSPORT_LOOKUP ? outbox_lookup_socket(t->lookup) :
		t->sock;
}

int
outbox_transport_events(const RedisTransport *t, bool unsent)
{
	if (t->state == TRANSPORT_LOOKUP)
		return WL_SOCKET_READABLE;
	if (t->state == TRANSPORT_CONNECTING)
		return WL_SOCKET_CONNECTED;
	if (t->tls != NULL)
		return outbox_tls_events(t->tls,
								 unsent && t->state == TRANSPORT_OPEN);
	return WL_SOCKET_READABLE | (unsent ? WL_SOCKET_WRITEABLE : 0);
}

uint64
outbox_transport_number(const RedisTransport *t)
{
	return t->number;
}

ssize_t
outbox_transport_send(RedisTransport *t, const char *data, size_t len)
{
	ssize_t		n;

	if (t->tls != NULL)
		return outbox_tls_send(t->tls, data, len, &t->trouble);
	do
		n = send(t->sock, data, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (n < 0)
		fail(t, strerror(errno));
	return n;
}

ssize_t
outbox_transport_receive(RedisTransport *t, char *buf, size_t size)
{
	ssize_t		n;

	if (t->tls != NULL)
		return outbox_tls_receive(t->tls, buf, size, &t->trouble);
	do
		n = recv(t->sock, buf, size, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	fail(t, n < 0 ? strerror(errno) : "Server closed the connection");
	return -1;
}

bool
outbox_transport_has_more(const RedisTransport *t)
{
	return t->tls != NULL && outbox_tls_has_more(t->tls);
}

const RedisTrouble *
outbox_transport_trouble(const RedisTransport *t)
{
	return &t->trouble;
}
