/*-------------------------------------------------------------------------
 *
 * obstacle.c
 *	  Show what is in the way of the relay, and who holds it.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Steps that can't have a lock or meet an error are left for later.  What is
 * left for some seconds is shown as the reason in outbox.status, with the
 * processes that hold the lock.  It is logged once.
 *
 * Holders are looked for in pg_locks, about once a second and only while
 * something is in the way.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/obstacle.h"

#include "lock.h"
#include "relay/base/mishap.h"
#include "relay/base/step.h"
#include "storage/lock.h"
#include "store/query.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* what lasts longer is shown */
#define LASTS_MS	3000

static char shown[OUTBOX_TEXT_SIZE];

/*
 * The modes that conflict with this one, as pg_locks names them.
 */
static Datum
conflicting_modes(LOCKMODE mode)
{
	Datum		modes[MaxLockMode];
	int			n = 0;

	for (LOCKMODE other = AccessShareLock; other <= MaxLockMode; other++)
		if (DoLockModesConflict(mode, other))
			modes[n++] = CStringGetTextDatum(GetLockmodeName(DEFAULT_LOCKMETHOD, other));
	return PointerGetDatum(construct_array(modes, n, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/* a relation's indexes and what toast has of it */
#define FAMILY \
	"(SELECT c.oid FROM pg_class AS c WHERE c.oid IN ($relation, (SELECT" \
	" reltoastrelid FROM pg_class WHERE oid = $relation)) UNION ALL" \
	" SELECT indexrelid FROM pg_index WHERE indrelid IN ($relation, (SELECT" \
	" reltoastrelid FROM pg_class WHERE oid = $relation)))"

/*
 * Who holds what can't be had: processes, or the names of prepared
 * transactions.  NULL if it has been let go, and not been tried again yet.
 */
static char *
find_holders(const OutboxObstacle *obstacle)
{
	OutboxParam params[] = {
		{"relation", OIDOID, ObjectIdGetDatum(outbox_relid(obstacle->relation))},
		{"queue", INT4OID, Int32GetDatum(obstacle->queue)},
		{"modes", TEXTARRAYOID, conflicting_modes(obstacle->mode)}
	};
	char	   *holders = NULL;

	if (outbox_query("SELECT string_agg(DISTINCT coalesce('process ' || l.pid,"
					 " 'prepared transaction \"' || p.gid || '\"',"
					 " 'a prepared transaction'), ', ')"
					 " FROM pg_locks AS l LEFT JOIN pg_locks AS x"
					 " ON l.pid IS NULL AND x.pid IS NULL"
					 " AND x.locktype = 'transactionid'"
					 " AND x.virtualtransaction = l.virtualtransaction"
					 " LEFT JOIN pg_prepared_xacts AS p ON p.transaction = x.transactionid"
					 " WHERE l.granted AND l.mode = ANY ($modes)"
					 " AND l.pid IS DISTINCT FROM pg_backend_pid()"
					 " AND l.database = (SELECT oid FROM pg_database"
					 " WHERE datname = current_database())"
					 " AND CASE WHEN $queue = 0 THEN"
					 " l.locktype = 'relation' AND l.relation IN " FAMILY
					 " ELSE l.locktype = 'object' AND l.classid = $relation"
					 " AND l.objid = $queue::oid END",
					 params, lengthof(params)) == 1)
		holders = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	return holders;
}

static void
describe_lock(const OutboxObstacle *obstacle, StringInfo text)
{
	char	   *holders = find_holders(obstacle);

	if (holders == NULL)
		return;
	if (obstacle->queue != 0)
		appendStringInfo(text, "queue %d is being dropped or altered by %s",
						 obstacle->queue, holders);
	else
		appendStringInfo(text, "%s.%s is locked by %s", OUTBOX_SCHEMA,
						 outbox_relation_text(obstacle->relation), holders);
}

static bool
lasts(OutboxTime since, OutboxTime now)
{
	return now >= outbox_in_ms(since, LASTS_MS);
}

/*
 * The longer of both comes first.
 */
static void
describe(OutboxTime now, StringInfo text)
{
	const OutboxObstacle *obstacle = outbox_oldest_obstacle();
	const Mishap *mishap = outbox_oldest_mishap();

	if (obstacle != NULL && obstacle->fault[0] != '\0')
		appendStringInfoString(text, obstacle->fault);
	else if (obstacle != NULL && lasts(obstacle->since, now))
	{
		outbox_begin_step();
		SPI_connect();
		describe_lock(obstacle, text);
		SPI_finish();
		outbox_end_step();
	}
	if (mishap != NULL && lasts(mishap->since, now))
		appendStringInfo(text, "%scannot %s: %s", text->len > 0 ? "; " : "",
						 mishap->what, mishap->text);
}

static void
show(OutboxSlot *slot, const char *text)
{
	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	if (slot->state == OUTBOX_RUNNING || slot->state == OUTBOX_STARTING)
		strlcpy(slot->why, text, OUTBOX_TEXT_SIZE);
	LWLockRelease(outbox_shared->lock);
}

void
outbox_publish_obstacle(Relay *relay, OutboxTime now)
{
	StringInfoData text;

	initStringInfo(&text);
	describe(now, &text);
	if (text.len > 0 || shown[0] != '\0')
		show(relay->slot, text.data);
	if (text.len > 0 && strncmp(text.data, shown, sizeof(shown) - 1) != 0)
		ereport(LOG,
				(errmsg("outbox is held up: %s", text.data),
				 errdetail("Whatever does not need it goes on.")));
	strlcpy(shown, text.data, sizeof(shown));
}

const char *
outbox_shown_obstacle(void)
{
	return shown;
}
