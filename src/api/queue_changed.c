/*-------------------------------------------------------------------------
 *
 * queue_changed.c
 *	  The trigger that tells everybody of a change of outbox.queue.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Sessions and relay cache queues.  A trigger, and not the functions that
 * change queues, tells them to read outbox.queue again, so that a restore or a
 * superuser's own UPDATE counts, too.  The relation cache invalidation makes
 * every cache look again, see catalog.c; the relay is also woken at commit.
 *
 * There is a trigger for statements, and one for rows, with which the queues'
 * views follow, see queue_view.c.
 *
 *-------------------------------------------------------------------------
 */
#include "api/queue_view.h"

#include "fmgr.h"
#include "utils/inval.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(outbox_queue_changed);

/*
 * outbox.queue_changed(): trigger on outbox.queue, of statements and of rows
 */
Datum
outbox_queue_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("outbox.queue_changed() must be called as a trigger")));
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		outbox_views_follow(trigger);
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		return PointerGetDatum(NULL);
	CacheInvalidateRelcache(trigger->tg_relation);
	outbox_tell_at_commit();
	PG_RETURN_POINTER(NULL);
}
