/*-------------------------------------------------------------------------
 *
 * enable.c
 *	  Turn the delivery of a database off and on.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * outbox.delivery has no row in a database in which nobody has called this, and
 * such a database delivers.  There can be one row only.  CREATE DATABASE ...
 * TEMPLATE copies it, so whatever is made from a template that is turned off is
 * turned off from its first moment.  A dump doesn't have it: messages out of a dump are held anyway
 * (restore.c), and where a dump is restored to decides by itself.
 *
 * The relay is told at commit.  It closes its connection then; what it had sent
 * before may still be delivered, and the cursors say what was.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox.h"

#include "api/args.h"
#include "miscadmin.h"
#include "store/query.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(outbox_enable);

/*
 * outbox_enable(enabled)
 */
Datum
outbox_enable(PG_FUNCTION_ARGS)
{
	OutboxCaller caller;
	OutboxParam params[] = {{"enabled", BOOLOID}};

	outbox_need_arg(fcinfo, 0, "enabled");
	PreventCommandIfReadOnly("outbox_enable()");
	params[0].value = PG_GETARG_DATUM(0);

	outbox_connect(&caller);
	/* the last caller sees what the others have committed */
	outbox_query("LOCK TABLE outbox.delivery IN SHARE ROW EXCLUSIVE MODE",
				 NULL, 0);
	outbox_query_latest("INSERT INTO outbox.delivery AS d (enabled) VALUES ($enabled)"
						" ON CONFLICT (one) DO UPDATE"
						" SET enabled = EXCLUDED.enabled, since = now()"
						" WHERE d.enabled <> EXCLUDED.enabled",
						params, lengthof(params));
	outbox_finish(&caller);
	outbox_tell_state_at_commit();
	PG_RETURN_VOID();
}
