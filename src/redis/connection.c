/*-------------------------------------------------------------------------
 *
 * connection.c
 *	  The connection to Redis; the only file that includes hiredis.
 *
 * Design notes
 *
 * hiredis is used for connecting, buffers and parsing, always without
 * blocking; the relay waits, on its latch and this socket together.  Only
 * what hiredis 0.14 and 1.x have in common is used.  One thing does block:
 * hiredis looks host names up with getaddrinfo().  Where name servers may
 * hang, name Redis by its address.
 *
 * A connect that is under way is a socket that becomes writable; SO_ERROR
 * then tells how it went.
 *
 * Error replies are classified by their whole first word.  Redis up to 6.2
 * wraps errors that a script meets into a text of its own, so the word is
 * looked for inside it too.  A word that isn't known means "the server cannot
 * now": waiting is always safe, and costs no message anything.
 *
 * Error texts go to logs and views.  "unknown command" quotes arguments and is
 * cut before them; everything else Redis says is about keys and states.
 *
 *-------------------------------------------------------------------------
 */
#include "redis/connection.h"

#include <hiredis/hiredis.h>
#include <hiredis/sds.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "storage/fd.h"
#include "storage/latch.h"

static redisContext *context = NULL;
static bool connecting = false;
static size_t unsent = 0;
static uint64 number = 0;		/* of connects and disconnects */
static char error_text[256];

void
outbox_redis_set_error(const char *error)
{
	outbox_clean_error(error_text, error, sizeof(error_text));
}

const char *
outbox_redis_error(void)
{
	return error_text;
}

void
outbox_redis_disconnect(void)
{
	if (context == NULL)
		return;
	redisFree(context);
	context = NULL;
	connecting = false;
	unsent = 0;
	number++;
	ReleaseExternalFD();
}

static bool
fail(const char *error)
{
	outbox_redis_set_error(error);
	outbox_redis_disconnect();
	return false;
}

/*
 * Begin to connect.
 */
bool
outbox_redis_connect(const OutboxRedisUrl *url)
{
	Assert(context == NULL);
	if (!AcquireExternalFD())
	{
		outbox_redis_set_error("too many open files");
		return false;
	}
	if (url->path != NULL)
		context = redisConnectUnixNonBlock(url->path);
	else
		context = redisConnectNonBlock(url->host, url->port);
	if (context == NULL)
	{
		ReleaseExternalFD();
		outbox_redis_set_error("out of memory");
		return false;
	}
	if (context->err)
		return fail(context->errstr);
	connecting = true;
	number++;
	if (url->path == NULL)
	{
		int			on = 1;

		(void) setsockopt(context->fd, IPPROTO_TCP, TCP_NODELAY, &on,
						  sizeof(on));
		(void) redisEnableKeepAlive(context);
	}
	return true;
}

/* connected, as far as is known */
bool
outbox_redis_connected(void)
{
	return context != NULL && !connecting;
}

pgsocket
outbox_redis_socket(void)
{
	return context != NULL ? context->fd : PGINVALID_SOCKET;
}

/*
 * What to wait for on the socket.
 */
int
outbox_redis_wait_events(void)
{
	if (connecting)
		return WL_SOCKET_CONNECTED;
	return WL_SOCKET_READABLE | (unsent > 0 ? WL_SOCKET_WRITEABLE : 0);
}

/*
 * Changes with every connection: a new socket may have the old one's number.
 */
uint64
outbox_redis_number(void)
{
	return number;
}

size_t
outbox_redis_unsent(void)
{
	return unsent;
}

static bool
finish_connect(void)
{
	struct sockaddr_storage peer;
	socklen_t	peer_len = sizeof(peer);
	int			error = 0;
	socklen_t	len = sizeof(error);

	if (getsockopt(context->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error != 0)
		return fail(strerror(error));
	if (getpeername(context->fd, (struct sockaddr *) &peer, &peer_len) == 0)
	{
		connecting = false;
		context->flags |= REDIS_CONNECTED;
	}
	return true;				/* or not yet */
}

/*
 * Write what is buffered, as far as it goes.  False if the connection is gone.
 */
bool
outbox_redis_flush(void)
{
	int			done = 0;

	if (context == NULL)
		return false;
	if (unsent == 0 || connecting)
		return true;
	if (redisBufferWrite(context, &done) != REDIS_OK)
		return fail(context->errstr);
	unsent = done ? 0 : sdslen(context->obuf);
	return true;
}

/*
 * Move bytes: finish connecting, write what is buffered, read what is there.
 * False if the connection is gone.
 */
bool
outbox_redis_io(void)
{
	if (context == NULL)
		return false;
	if (connecting)
	{
		if (!finish_connect() || connecting)
			return context != NULL;
	}

	if (!outbox_redis_flush())
		return false;

	/* one read a call; the socket stays readable while there is more */
	if (redisBufferRead(context) != REDIS_OK)
		return fail(context->errstr);
	return true;
}

/*
 * Queue bytes for sending.
 */
void
outbox_redis_append(const char *data, size_t len)
{
	if (redisAppendFormattedCommand(context, data, len) != REDIS_OK)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	unsent = sdslen(context->obuf);
}

/*
 * The next reply, or NULL if none is complete.  False if the connection is
 * gone because of what was read.
 */
bool
outbox_redis_reply(OutboxReply **reply)
{
	void	   *r = NULL;

	*reply = NULL;
	if (context == NULL)
		return false;
	if (redisGetReplyFromReader(context, &r) != REDIS_OK)
		return fail(context->errstr);
	*reply = r;
	return true;
}

bool
outbox_reply_is_error(const OutboxReply *reply)
{
	return reply->type == REDIS_REPLY_ERROR;
}

bool
outbox_reply_is_array(const OutboxReply *reply)
{
	return reply->type == REDIS_REPLY_ARRAY;
}

/* never NULL */
const char *
outbox_reply_string(const OutboxReply *reply)
{
	if (reply->type == REDIS_REPLY_STRING ||
		reply->type == REDIS_REPLY_STATUS ||
		reply->type == REDIS_REPLY_ERROR)
		return reply->str;
	return "";
}

/* of the string, which may have zero bytes */
size_t
outbox_reply_size(const OutboxReply *reply)
{
	return reply->type == REDIS_REPLY_STRING ? reply->len :
		strlen(outbox_reply_string(reply));
}

size_t
outbox_reply_length(const OutboxReply *reply)
{
	return reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
}

const OutboxReply *
outbox_reply_element(const OutboxReply *reply, size_t n)
{
	Assert(n < reply->elements);
	return reply->element[n];
}

void
outbox_reply_free(OutboxReply *reply)
{
	freeReplyObject(reply);
}

/*
 * Words and what they mean.  Sources: error strings of Redis 6.2 to 8.x and
 * Valkey.
 */
static const struct
{
	const char *word;
	OutboxErrorClass class;
}			error_words[] = {
	{"NOAUTH", OUTBOX_ERROR_OPERATOR},
	{"WRONGPASS", OUTBOX_ERROR_OPERATOR},
	{"DENIED", OUTBOX_ERROR_OPERATOR},
	{"NOPROTO", OUTBOX_ERROR_OPERATOR},
	{"MOVED", OUTBOX_ERROR_REDIRECT},
	{"ASK", OUTBOX_ERROR_REDIRECT},
	{"REDIRECT", OUTBOX_ERROR_REDIRECT},
	{"NOSCRIPT", OUTBOX_ERROR_NOSCRIPT},
	{"WRONGTYPE", OUTBOX_ERROR_QUEUE},
	{"NOPERM", OUTBOX_ERROR_QUEUE},
	{"CROSSSLOT", OUTBOX_ERROR_QUEUE},
};

/* beginnings of texts that follow the word ERR */
static const struct
{
	const char *text;
	OutboxErrorClass class;
}			err_texts[] = {
	{"max number of clients", OUTBOX_ERROR_SERVER},
	{"max clients", OUTBOX_ERROR_SERVER},
	{"DB index is out of range", OUTBOX_ERROR_OPERATOR},
	{"invalid DB index", OUTBOX_ERROR_OPERATOR},
	{"AUTH <password> called without", OUTBOX_ERROR_OPERATOR},
	{"Client sent AUTH", OUTBOX_ERROR_OPERATOR},
	{"unknown command", OUTBOX_ERROR_QUEUE},
	{"ACL failure in script", OUTBOX_ERROR_QUEUE},
	{"wrong number of arguments", OUTBOX_ERROR_QUEUE},
};

/* what Redis <= 6.2 wraps into a script's error, with a minus before it */
static const char *const wrapped_words[] = {
	"-OOM ", "-READONLY ", "-MISCONF ", "-NOREPLICAS ", "-LOADING ",
	"-MASTERDOWN ", "-CLUSTERDOWN ", "-BUSY ", "-TRYAGAIN "
};

OutboxErrorClass
outbox_classify_error(const char *error)
{
	size_t		len = strcspn(error, " ");

	for (int i = 0; i < lengthof(error_words); i++)
		if (strlen(error_words[i].word) == len &&
			strncmp(error, error_words[i].word, len) == 0)
			return error_words[i].class;

	for (int i = 0; i < lengthof(wrapped_words); i++)
		if (strstr(error, wrapped_words[i]) != NULL)
			return OUTBOX_ERROR_SERVER;
	if (strstr(error, "-NOPERM ") != NULL)
		return OUTBOX_ERROR_QUEUE;

	if (len != 3 || strncmp(error, "ERR", 3) != 0)
		return error[0] == '@' ? OUTBOX_ERROR_MESSAGE : OUTBOX_ERROR_SERVER;

	for (int i = 0; i < lengthof(err_texts); i++)
		if (strncmp(error + 4, err_texts[i].text,
					strlen(err_texts[i].text)) == 0)
			return err_texts[i].class;
	return OUTBOX_ERROR_MESSAGE;
}

bool
outbox_is_refusal(const char *error)
{
	OutboxErrorClass class = outbox_classify_error(error);

	return class == OUTBOX_ERROR_QUEUE || class == OUTBOX_ERROR_MESSAGE;
}

/*
 * An error text fit for logs: one line, printable, no arguments quoted.
 */
void
outbox_clean_error(char *dst, const char *error, size_t size)
{
	const char *end = strstr(error, ", with args beginning with");
	size_t		len = end != NULL ? (size_t) (end - error) : strlen(error);

	len = Min(len, size - 1);
	for (size_t i = 0; i < len; i++)
		dst[i] = (error[i] >= ' ' && error[i] < 0x7f) ? error[i] : '?';
	dst[len] = '\0';
}

/*
 * Commands in the protocol's own form: *argc, then $length and bytes of each.
 */
static void
append_prefix(StringInfo out, char prefix, size_t n)
{
	char		buf[24];
	char	   *p = buf + sizeof(buf);

	*--p = '\n';
	*--p = '\r';
	do
		*--p = '0' + n % 10;
	while ((n /= 10) != 0);
	*--p = prefix;
	appendBinaryStringInfoNT(out, p, buf + sizeof(buf) - p);
}

void
outbox_resp_command(StringInfo out, int argc)
{
	append_prefix(out, '*', argc);
}

void
outbox_resp_arg(StringInfo out, const char *data, size_t len)
{
	append_prefix(out, '$', len);
	appendBinaryStringInfoNT(out, data, len);
	appendBinaryStringInfoNT(out, "\r\n", 2);
}

void
outbox_resp_string(StringInfo out, const char *s)
{
	outbox_resp_arg(out, s, strlen(s));
}
