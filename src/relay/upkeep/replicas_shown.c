/*-------------------------------------------------------------------------
 *
 * replicas_shown.c
 *	  That replicas of Redis have not what they should have: status and log.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * It is shown since it began, with what is wrong now, until a round has ended well.
 * With several servers the slot has the first one on which something is wrong.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/replicas_shown.h"

#include "redis/errors.h"
#include "redis_server.h"
#include "utils/timestamp.h"

static LinkReplicas *
mine(const Link *link)
{
	return link->replicas;
}

static void
publish(Relay *relay)
{
	const Link *behind = NULL;
	ListCell   *lc;

	foreach(lc, relay->links)
	{
		const Link *link = lfirst(lc);

		if (behind == NULL && link->replicas != NULL &&
			link->replicas->trouble[0] != '\0')
			behind = link;
	}
	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	strlcpy(relay->slot->replicas_behind,
			behind != NULL ? behind->replicas->trouble : "", OUTBOX_TEXT_SIZE);
	relay->slot->replicas_behind_since =
		behind != NULL ? behind->replicas->behind_since : 0;
	LWLockRelease(outbox_shared->lock);
}

void
outbox_replicas_are_well(Relay *relay, Link *link)
{
	LinkReplicas *replicas = mine(link);

	if (replicas->logged[0] != '\0')
		ereport(LOG, (errmsg("replicas have again what Redis has")));
	replicas->logged[0] = '\0';
	replicas->behind_since = 0;
	if (replicas->trouble[0] == '\0')
		return;
	replicas->trouble[0] = '\0';
	publish(relay);
}

/*
 * Show that something is wrong, and log it if that is news.  error is what Redis has
 * said, or "".
 */
void
outbox_show_replicas_trouble(Relay *relay, Link *link, const char *what, const char *error,
							 OutboxTime now)
{
	LinkReplicas *replicas = mine(link);
	bool		refused = outbox_classify_error(error) == OUTBOX_ERROR_QUEUE;

	if (replicas->behind_since == 0)
		replicas->behind_since = GetCurrentTimestamp();
	if (strcmp(replicas->logged, what) != 0)
		ereport(!outbox_may_log(&replicas->allowance, now) ? DEBUG1 :
				refused ? WARNING : LOG,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("outbox waits for replicas of Redis: %s", what),
				 errdetail("Messages are delivered to Redis and kept in staging until %d replica%s them.",
						   link->server->wait_replicas,
						   link->server->wait_replicas == 1 ? " has" : "s have"),
				 refused ?
				 errhint("\"wait_replicas\" needs SET, GETEX and WAIT.") : 0));
	strlcpy(replicas->logged, what, sizeof(replicas->logged));
	snprintf(replicas->trouble, sizeof(replicas->trouble), "%.300s, since %s",
			 what, timestamptz_to_str(replicas->behind_since));
	publish(relay);
}

void
outbox_show_replicas_behind(Relay *relay, Link *link, OutboxTime now)
{
	LinkReplicas *replicas = mine(link);
	int			wanted = link->server->wait_replicas;
	StringInfoData what;

	initStringInfo(&what);
	appendStringInfo(&what, "%d replica%s wanted, %d ha%s confirmed", wanted,
					 wanted == 1 ? " is" : "s are", replicas->confirmed,
					 replicas->confirmed == 1 ? "s" : "ve");
	if (replicas->existing >= 0 && replicas->existing < wanted)
		appendStringInfo(&what, ", and Redis has %d", replicas->existing);
	outbox_show_replicas_trouble(relay, link, what.data, "", now);
}

const char *
outbox_replicas_trouble(const Relay *relay)
{
	ListCell   *lc;

	foreach(lc, relay->links)
	{
		const Link *link = lfirst(lc);

		if (link->replicas != NULL && link->replicas->trouble[0] != '\0')
			return link->replicas->trouble;
	}
	return "";
}
