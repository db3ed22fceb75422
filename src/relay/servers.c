/*-------------------------------------------------------------------------
 *
 * servers.c
 *	  To which Redis the links connect.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A change of a server, of a user mapping, or of who is a superuser arrives as an
 * invalidation, at the latest when the relay's next transaction begins, which is
 * once a second.  A commit that enqueued begins one, too.  So what was planned with
 * the servers as they were is not sent before they are read again (relay.c): a
 * message that is enqueued after CREATE SERVER was committed goes to that server.
 *
 * A file with a password changes without notice.  It is read again with the
 * server's settings, and when Redis has refused who we are.
 *
 * All links connect to the one server there is, outbox_default.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/servers.h"

#include "catalog.h"
#include "redis_server.h"
#include "relay/base/hold.h"
#include "relay/base/link.h"
#include "relay/base/step.h"
#include "relay/link_life.h"
#include "utils/inval.h"
#include "utils/syscache.h"

static OutboxRedisServer *current = NULL;

/* how often something has changed; and when servers were read */
static uint64 changes = 1;
static uint64 changes_read = 0;
static uint64 epoch_read = 0;
static uint64 refusals_read = 0;

static void
syscache_callback(Datum arg, int cache, uint32 hash)
{
	changes++;
}

void
outbox_servers_init(void)
{
	static const int caches[] = {FOREIGNSERVEROID, USERMAPPINGOID, AUTHOID};

	for (int i = 0; i < lengthof(caches); i++)
		CacheRegisterSyscacheCallback(caches[i], syscache_callback, (Datum) 0);
}

void
outbox_servers_may_have_changed(void)
{
	changes++;
}

/*
 * How often Redis has refused who we are, of all links.
 */
static uint64
refusals(const Relay *relay)
{
	uint64		n = 0;
	ListCell   *lc;

	foreach(lc, relay->links)
		n += ((Link *) lfirst(lc))->life->refusals;
	return n;
}

bool
outbox_servers_are_stale(const Relay *relay)
{
	return changes != changes_read || epoch_read != outbox_catalog_epoch() ||
		refusals(relay) != refusals_read;
}

/*
 * Show where messages go.
 */
static void
show(Relay *relay)
{
	OutboxSlot *slot = relay->slot;

	outbox_hold_destination(outbox_describe_server(current));
	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	strlcpy(slot->server, current->name != NULL ? current->name : "",
			sizeof(slot->server));
	strlcpy(slot->address, current->address, sizeof(slot->address));
	LWLockRelease(outbox_shared->lock);
}

static void
use(Relay *relay, OutboxRedisServer *fresh)
{
	OutboxRedisServer *old = current;
	ListCell   *lc;

	current = fresh;
	foreach(lc, relay->links)
	{
		Link	   *link = lfirst(lc);

		if (old != NULL)
			outbox_link_has_moved(relay, link);
		outbox_link_use(link, fresh);
	}
	if (old != NULL)
	{
		ereport(LOG, (errmsg("outbox delivers to %s from now on",
							 outbox_describe_server(fresh))));
		outbox_forget_server(old);
	}
	show(relay);
}

bool
outbox_read_servers(Relay *relay)
{
	OutboxRedisServer *fresh = NULL;
	uint64		seen;
	uint64		epoch;
	uint64		refused = refusals(relay);

	outbox_begin_step();
	seen = changes;
	if (outbox_catalog_load())
		fresh = outbox_resolve_server(relay->context, OUTBOX_DEFAULT_SERVER,
									  true);
	epoch = outbox_catalog_epoch();
	outbox_end_step();
	if (fresh == NULL)
		return false;
	changes_read = seen;
	epoch_read = epoch;
	refusals_read = refused;
	if (current != NULL && outbox_same_server(current, fresh))
		outbox_forget_server(fresh);
	else
		use(relay, fresh);
	return true;
}
