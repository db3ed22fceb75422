/*-------------------------------------------------------------------------
 *
 * make_link.c
 *	  A link with the parts that belong to it.
 *
 * Copyright (c) 2026, the outbox developers
 *
 *-------------------------------------------------------------------------
 */
#include "relay/make_link.h"

#include "relay/base/link_shown.h"
#include "relay/deliver/script.h"
#include "relay/link_life.h"
#include "relay/upkeep/replicas.h"
#include "relay/wait.h"
#include "utils/memutils.h"

Link *
outbox_make_link(Relay *relay, bool is_own)
{
	MemoryContext old = MemoryContextSwitchTo(relay->context);
	Link	   *link = outbox_link_make(relay->context, is_own);

	relay->links = lappend(relay->links, link);
	outbox_link_life_init(link);
	outbox_link_shown_init(link);
	outbox_link_wait_init(link);
	outbox_link_scripts_init(link);
	if (!is_own)
	{
		outbox_link_replicas_init(link);
		outbox_link_wait_init(link->replicas->other);
	}
	MemoryContextSwitchTo(old);
	return link;
}
