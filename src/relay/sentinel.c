/*-------------------------------------------------------------------------
 *
 * sentinel.c
 *	  Where a link's server is, if Sentinels know it.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Before a link connects, the Sentinels of its URL are asked in turn for the
 * master, and the first that names one is believed: as far as ROLE there says
 * "master".  This is done on a connection of its own, which the relay waits for
 * with all others, one Sentinel in each turn of the loop.  A Sentinel that hangs
 * costs its time and nothing else.  Who has led to a master is asked first the
 * next time; after one that has not, the next one is.
 *
 * A connection may go on while its server is no master any more: one that hangs
 * for as long as an answer may take, one that can't be reached by the Sentinels
 * and goes on taking writes which will vanish, one that has been replaced by
 * hand, which the Sentinels tell it only after some seconds.  So a Sentinel, each
 * time the next one, is asked every two seconds while the link is connected.
 * What one of them says may be outdated, and the link is left only if more than
 * half of them name another master, which can't be so for two masters.  But if
 * nothing moves on the link, any Sentinel that names another one will do: there
 * is nothing to lose then, and messages wait.
 *
 * Writes that a master has acknowledged and that the next one does not have are
 * found missing when cursors are read, as with any other loss of Redis.
 *
 * If the process dies here, the next one asks again.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/sentinel.h"

#include <limits.h>

#include "lib/stringinfo.h"
#include "redis/errors.h"
#include "redis/master.h"
#include "redis_server.h"
#include "relay/base/link_shown.h"
#include "relay/base/log_allowance.h"
#include "utils/memutils.h"

/* how long a Sentinel may take, from the first byte to its answer */
#define SENTINEL_TIMEOUT_MS	1000

/* how often one is asked while the link is connected */
#define CHECK_MS			2000

/* for how long nothing has moved where the server is doubted, see above */
#define DOUBT_MS			1000

/* longer answers are cut */
#define SAID_SIZE			96

typedef struct LinkSentinel
{
	/* the master as it was found */
	bool		is_known;
	OutboxMaster master;
	OutboxRedisHost host;		/* the same */
	int			named_by;		/* the number of a host in the URL */
	OutboxTime	found_at;
	OutboxMaster logged;
	LogAllowance allowance;

	/* who is asked */
	RedisConnection *connection;	/* or NULL */
	bool		is_asking;
	int			asked;			/* a host of the URL */
	int			answers;		/* how many it has yet to give */
	OutboxTime	give_up_at;
	int			tries;			/* of this round, that are over */
	int			first;			/* of the next round, before a link connects */

	OutboxTime	checked_at;		/* when one was last asked for a check */
	OutboxTime	check_at;		/* when one is asked again */
	bool		names_other[OUTBOX_MAX_HOSTS];
	char		said[OUTBOX_MAX_HOSTS][SAID_SIZE];	/* instead of a master */
} LinkSentinel;

static LinkSentinel *
mine(const Link *link)
{
	return link->sentinel;
}

void
outbox_link_sentinel_init(Link *link)
{
	link->sentinel = MemoryContextAllocZero(link->context,
											sizeof(LinkSentinel));
}

static const OutboxRedisUrl *
url_of(const Link *link)
{
	return link->server->url;
}

bool
outbox_has_sentinels(const Link *link)
{
	return link->server != NULL && link->server->fault == NULL &&
		url_of(link)->kind == OUTBOX_REDIS_SENTINEL;
}

static char *
host_and_port(const char *host, int port)
{
	bool		brackets = strchr(host, ':') != NULL;

	return psprintf("%s%s%s:%d", brackets ? "[" : "", host,
					brackets ? "]" : "", port);
}

static char *
name_of(const Link *link, int n)
{
	const OutboxRedisHost *host = &url_of(link)->hosts[n];

	return host_and_port(host->name, host->port);
}

static char *
name_of_master(const LinkSentinel *s)
{
	return host_and_port(s->master.host, s->master.port);
}

static bool
same_master(const OutboxMaster *a, const OutboxMaster *b)
{
	return a->port == b->port && strcmp(a->host, b->host) == 0;
}

static void
begin_to_ask(Link *link, int n, OutboxTime now)
{
	LinkSentinel *s = mine(link);
	const OutboxRedisUrl *url = url_of(link);

	if (s->connection == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(link->context);

		s->connection = outbox_connection_make();
		MemoryContextSwitchTo(old);
	}
	s->is_asking = true;
	s->asked = n;
	s->give_up_at = outbox_in_ms(now, SENTINEL_TIMEOUT_MS);
	/* if it fails at once, that is found when bytes are to be moved */
	if (outbox_connection_open(s->connection, url, &url->hosts[n]))
		s->answers = outbox_ask_sentinel(outbox_connection_out(s->connection),
										 url);
}

static void
end_asking(LinkSentinel *s)
{
	if (s->is_asking)
		outbox_connection_close(s->connection);
	s->is_asking = false;
}

/*
 * Move bytes and take answers.  Returns true if that is over: the Sentinel has
 * named a master, or *said is what is there instead.
 */
static bool
take_answers(LinkSentinel *s, OutboxTime now, OutboxMaster *named,
			 const char **said)
{
	RedisConnection *conn = s->connection;
	OutboxReply *reply = NULL;
	bool		ok = outbox_connection_io(conn);

	while (ok && s->answers > 0 && outbox_connection_is_open(conn))
	{
		ok = outbox_connection_reply(conn, &outbox_sentinel_limits, &reply);
		if (!ok || reply == NULL)
			break;
		s->answers--;
		*said = NULL;
		if (s->answers == 0 || outbox_reply_is_error(reply))
		{
			const char *complaint = outbox_read_master(reply, named);

			*said = complaint == NULL ? NULL : pstrdup(complaint);
			s->answers = 0;
		}
		outbox_reply_free(reply);
		if (s->answers == 0)
			return true;
	}
	if (!ok)
		*said = outbox_connection_error(conn);
	else if (now >= s->give_up_at)
		*said = "no answer within 1 s";
	else
		return false;
	return true;
}

/*
 * What all Sentinels have said.  If one of them does not let us in, that comes
 * first, with its own word: somebody has to act.
 */
static char *
describe(const Link *link)
{
	const LinkSentinel *s = mine(link);
	StringInfoData text;
	int			refused = -1;

	for (int i = url_of(link)->nhosts - 1; i >= 0; i--)
		if (outbox_classify_error(s->said[i]) == OUTBOX_ERROR_OPERATOR)
			refused = i;
	initStringInfo(&text);
	if (refused >= 0)
		appendStringInfo(&text, "%s (Sentinel %s)", s->said[refused],
						 name_of(link, refused));
	else
		appendStringInfo(&text, "no Sentinel names a master \"%s\"",
						 url_of(link)->master);
	for (int i = 0; i < url_of(link)->nhosts; i++)
		if (i != refused)
			appendStringInfo(&text, "%s %s: %s",
							 text.data[text.len - 1] == '"' ? ":" : ";",
							 name_of(link, i), s->said[i]);
	return text.data;
}

static void
is_found(Link *link, const OutboxMaster *named, OutboxTime now)
{
	LinkSentinel *s = mine(link);

	s->is_known = true;
	s->master = *named;
	s->host.name = s->master.host;
	s->host.port = s->master.port;
	s->named_by = s->first = s->asked;
	s->found_at = s->checked_at = now;
	s->check_at = outbox_in_ms(now, CHECK_MS);
	s->tries = 0;
	memset(s->names_other, 0, sizeof(s->names_other));
}

const OutboxRedisHost *
outbox_find_master(Link *link, OutboxTime now)
{
	LinkSentinel *s = mine(link);
	int			n = url_of(link)->nhosts;
	OutboxMaster named;
	const char *said;

	if (!outbox_has_sentinels(link))
		return &url_of(link)->hosts[0];
	if (link->state == LINK_DOWN)
	{
		outbox_link_asks(link);
		s->tries = 0;
	}
	if (!s->is_asking)
		begin_to_ask(link, (s->first + s->tries) % n, now);
	if (!take_answers(s, now, &named, &said))
		return NULL;
	if (said != NULL)
		outbox_clean_error(s->said[s->asked], said, SAID_SIZE);
	end_asking(s);
	if (said == NULL)
	{
		is_found(link, &named, now);
		return &s->host;
	}
	if (++s->tries == n)
		outbox_link_fail(link, describe(link));
	return NULL;
}

const OutboxRedisHost *
outbox_follow_master(Link *link, const Link *home)
{
	LinkSentinel *s = mine(link);

	if (!outbox_has_sentinels(home))
		return &url_of(home)->hosts[0];
	s->named_by = mine(home)->named_by;
	s->master = mine(home)->master;
	s->host.name = s->master.host;
	s->host.port = s->master.port;
	return &s->host;
}

bool
outbox_follows_master(const Link *link, const Link *home)
{
	return !outbox_has_sentinels(home) ||
		same_master(&mine(link)->master, &mine(home)->master);
}

void
outbox_send_role(Link *link)
{
	if (outbox_has_sentinels(link))
		outbox_send_command(link, REQUEST_ROLE, NULL, 1,
							(const char *const[]) {"ROLE"});
}

void
outbox_role_answer(Link *link, const OutboxReply *reply)
{
	LinkSentinel *s = mine(link);

	if (outbox_reply_is_error(reply))
		outbox_link_fail(link, outbox_reply_string(reply));
	else if (!outbox_role_is_master(reply))
		outbox_link_fail(link, psprintf("%s is no master, though Sentinel %s says so",
										name_of_master(s),
										name_of(link, s->named_by)));
	else if (!link->is_own && !same_master(&s->master, &s->logged))
	{
		ereport(outbox_may_log(&s->allowance, s->found_at) ? LOG : DEBUG1,
				(errmsg("outbox delivers to %s, master \"%s\" as Sentinel %s says",
						name_of_master(s), url_of(link)->master,
						name_of(link, s->named_by))));
		s->logged = s->master;
	}
}

/*
 * Since when has nothing moved that should?  0 if all is well.
 */
static OutboxTime
doubted_since(const Link *link)
{
	if (link->state == LINK_CONNECTING)
		return mine(link)->found_at;
	return link->inflight > 0 ? link->progress_at : 0;
}

/*
 * When a Sentinel is asked for a check.
 */
static OutboxTime
next_check(const Link *link)
{
	const LinkSentinel *s = mine(link);
	OutboxTime	since = doubted_since(link);

	if (since == 0)
		return s->check_at;
	return Min(s->check_at, outbox_in_ms(Max(since, s->checked_at), DOUBT_MS));
}

/*
 * Does what this Sentinel and others have said mean that the link must be left?
 */
static bool
is_left(Link *link, OutboxTime now)
{
	const LinkSentinel *s = mine(link);
	OutboxTime	since = doubted_since(link);
	int			n = 0;

	for (int i = 0; i < url_of(link)->nhosts; i++)
		n += s->names_other[i];
	return n > url_of(link)->nhosts / 2 ||
		(s->names_other[s->asked] && since != 0 &&
		 now >= outbox_in_ms(since, DOUBT_MS));
}

void
outbox_watch_master(Link *link, OutboxTime now)
{
	LinkSentinel *s = mine(link);
	int			n = url_of(link)->nhosts;
	OutboxMaster named;
	const char *said;
	bool		other;

	if (!outbox_has_sentinels(link) || link->state < LINK_CONNECTING)
		return;
	if (!s->is_asking)
	{
		if (now < next_check(link))
			return;
		begin_to_ask(link, (s->asked + 1) % n, now);
	}
	if (!take_answers(s, now, &named, &said))
		return;
	end_asking(s);
	other = said == NULL && !same_master(&named, &s->master);
	s->names_other[s->asked] = other;
	s->checked_at = now;
	if (is_left(link, now))
	{
		outbox_link_fail(link, psprintf("Sentinel %s names another master than %s",
										name_of(link, s->asked),
										name_of_master(s)));
		s->first = s->asked;
		s->named_by = -1;
		return;
	}
	/* who can't say, or has news, makes others be asked at once */
	if ((other || said != NULL) && ++s->tries < n)
	{
		s->check_at = now;
		return;
	}
	s->tries = 0;
	s->check_at = outbox_in_ms(now, CHECK_MS);
}

void
outbox_leave_master(Link *link)
{
	LinkSentinel *s = mine(link);

	end_asking(s);
	/* it was no master, or away: somebody else may know better */
	if (outbox_has_sentinels(link) && s->first == s->named_by &&
		link->state >= LINK_CONNECTING && link->state < LINK_READY)
		s->first = (s->first + 1) % url_of(link)->nhosts;
}

void
outbox_forget_master(Link *link)
{
	LinkSentinel *s = mine(link);
	RedisConnection *connection = s->connection;

	end_asking(s);
	memset(s, 0, sizeof(LinkSentinel));
	s->connection = connection;
}

long
outbox_ms_until_sentinel(const Link *link, OutboxTime now)
{
	const LinkSentinel *s = mine(link);

	if (s->is_asking)
		return outbox_ms_until(now, s->give_up_at);
	if (link->is_own || !outbox_has_sentinels(link) ||
		link->state == LINK_DOWN)
		return LONG_MAX;
	if (link->state == LINK_ASKING)
		return 0;
	return outbox_ms_until(now, next_check(link));
}

RedisConnection *
outbox_sentinel_connection(const Link *link)
{
	/* what is beside a link asks no Sentinel */
	return link->sentinel != NULL ? link->sentinel->connection : NULL;
}

char *
outbox_link_address(const Link *link)
{
	const LinkSentinel *s = mine(link);
	const OutboxRedisUrl *url = url_of(link);

	if (!outbox_has_sentinels(link) || link->state < LINK_READY)
		return pstrdup(link->server->address);
	return psprintf("%s%s/%d (master \"%s\" of Sentinel %s)",
					url->tls ? "rediss://" : "", name_of_master(s), url->db,
					url->master, name_of(link, s->named_by));
}

void
outbox_show_address(Relay *relay, const Link *link)
{
	char	   *address;

	if (!outbox_has_sentinels(link))
		return;
	address = outbox_link_address(link);
	outbox_show_link_address(link, address);
	if (link->name != NULL)
		return;
	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	strlcpy(relay->slot->address, address, sizeof(relay->slot->address));
	LWLockRelease(outbox_shared->lock);
}
