/*-------------------------------------------------------------------------
 *
 * registers.c
 *	  Numbers that outlive a relay.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Registers are numbers kept in sequences: setval() changes them in place, so
 * they leave no dead rows however often they are written.  "delivered" is the
 * number of messages delivered.  All rows of transactions below "applied" are
 * acknowledged: a relay that can't reach Redis after a restart counts waiting
 * messages from there on.  Registers are shown, and never decide what is sent.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/registers.h"

#include "relay/base/queues.h"
#include "relay/base/shown.h"
#include "relay/base/step.h"
#include "relay/deliver/cursor.h"
#include "relay/upkeep/backlog.h"
#include "store/query.h"
#include "utils/fmgrprotos.h"

static const StepLock to_read[] = {
	{OUTBOX_REL_DELIVERED, false},
	{OUTBOX_REL_APPLIED, false}
};
static const StepLock to_write[] = {
	{OUTBOX_REL_DELIVERED, true},
	{OUTBOX_REL_APPLIED, true}
};

static uint64 delivered_seen = 0;
static uint64 applied_written = 0;

static uint64
read_register(const char *sql)
{
	return outbox_query(sql, NULL, 0) == 1 ?
		(uint64) outbox_result_int64(0, 1) : 0;
}

bool
outbox_read_registers(Relay *relay)
{
	if (!outbox_take_locks(to_read, lengthof(to_read)))
		return false;
	SPI_connect();
	delivered_seen = read_register("SELECT last_value FROM outbox.delivered");
	applied_written = read_register("SELECT last_value FROM outbox.applied");
	SPI_finish();
	outbox_set_delivered(relay, delivered_seen);
	outbox_count_backlog_from(applied_written);
	return true;
}

static void
write_register(OutboxRelation which, uint64 value)
{
	DirectFunctionCall2(setval_oid, ObjectIdGetDatum(outbox_relid(which)),
						Int64GetDatum((int64) value));
}

/*
 * The least transaction id that may have rows which are not acknowledged; 0 if
 * that is not known.
 */
static uint64
applied_below(Relay *relay)
{
	uint64		below = PG_UINT64_MAX;
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);
		const OutboxSnap *settled = outbox_cursor_replicated_snapshot(queue);

		if (queue->listed->dropped)
			continue;
		if (settled == NULL)
			return 0;
		below = Min(below, settled->nxip > 0 ? settled->xip[0] : settled->xmax);
	}
	return below == PG_UINT64_MAX ? 0 : below;
}

/*
 * Written in the step that writes the totals: what the cursors have counted since
 * is added to both when they are read again.
 */
void
outbox_write_delivered(void)
{
	if (outbox_lock_relation(OUTBOX_REL_DELIVERED))
		write_register(OUTBOX_REL_DELIVERED, outbox_delivered());
}

/*
 * Written only when something was delivered, so that an idle server stays idle.
 */
void
outbox_write_registers(Relay *relay)
{
	uint64		applied = applied_below(relay);

	if (outbox_delivered() == delivered_seen || applied <= applied_written ||
		!outbox_begin_locked_step(to_write, lengthof(to_write)))
		return;
	write_register(OUTBOX_REL_APPLIED, applied);
	outbox_end_step();
	applied_written = applied;
	delivered_seen = outbox_delivered();
}
