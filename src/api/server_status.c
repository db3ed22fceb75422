/*-------------------------------------------------------------------------
 *
 * server_status.c
 *	  The state of each server, from shared memory.
 *
 * Copyright (c) 2026, the outbox developers
 *
 *-------------------------------------------------------------------------
 */
#include "api/server_status.h"

#include "api/row.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "redis_server.h"
#include "utils/tuplestore.h"

/* columns of outbox.server_status, as server_stats() returns them */
enum
{
	SERVER_NAME,
	SERVER_ADDRESS,
	SERVER_STATE,
	SERVER_SINCE,
	SERVER_WHY,
	SERVER_LAST_ERROR,
	SERVER_LAST_ERROR_AT,
	SERVER_LAST_SUCCESS,
	SERVER_QUEUES,
	SERVER_WAITING,
	SERVER_DELIVERED,
	SERVER_COLUMNS
};

static const char *const state_names[] = {
	[OUTBOX_NOT_RUNNING] = "not running",
	[OUTBOX_STARTING] = "starting",
	[OUTBOX_RUNNING] = "running",
	[OUTBOX_WAITING_FOR_REDIS] = "waiting for redis",
	[OUTBOX_WAITING_FOR_STANDBY] = "waiting for standby",
	[OUTBOX_HELD] = "held",
	[OUTBOX_FENCED] = "fenced",
	[OUTBOX_DISABLED] = "disabled"
};

PG_FUNCTION_INFO_V1(outbox_server_stats);

const char *
outbox_state_name(OutboxRelayState state)
{
	return state_names[state];
}

OutboxShownServer *
outbox_copy_servers(int *n, int *more)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);
	OutboxShownServer *result = palloc(sizeof(slot->servers));

	*n = *more = 0;
	if (slot == NULL)
		return result;
	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	if (slot->pid != 0)
	{
		*n = Min(slot->nservers, OUTBOX_MAX_SERVERS);
		*more = slot->nservers - *n;
		memcpy(result, slot->servers, *n * sizeof(OutboxShownServer));
		for (int i = 0; i < *n; i++)
			if (slot->state == OUTBOX_HELD || slot->state == OUTBOX_FENCED ||
				slot->state == OUTBOX_DISABLED)
			{
				result[i].state = slot->state;
				result[i].since = slot->since;
				strlcpy(result[i].why, slot->why, sizeof(result[i].why));
			}
	}
	LWLockRelease(outbox_shared->lock);
	return result;
}

OutboxRelayState
outbox_server_state(const char *name)
{
	int			n;
	int			more;
	OutboxShownServer *servers = outbox_copy_servers(&n, &more);

	for (int i = 0; i < n; i++)
		if (strcmp(servers[i].name, name == NULL ? "" : name) == 0 ||
			(name == NULL && strcmp(servers[i].name, OUTBOX_DEFAULT_SERVER) == 0))
			return servers[i].state;
	return OUTBOX_NOT_RUNNING;
}

static void
fill_row(const OutboxShownServer *server, Datum *values, bool *nulls)
{
	outbox_set_text(values, nulls, SERVER_NAME, server->name);
	outbox_set_text(values, nulls, SERVER_ADDRESS, server->address);
	outbox_set_text(values, nulls, SERVER_STATE, outbox_state_name(server->state));
	outbox_set_time(values, nulls, SERVER_SINCE, server->since);
	outbox_set_text(values, nulls, SERVER_WHY, server->why);
	outbox_set_text(values, nulls, SERVER_LAST_ERROR, server->last_error);
	outbox_set_time(values, nulls, SERVER_LAST_ERROR_AT, server->last_error_at);
	outbox_set_time(values, nulls, SERVER_LAST_SUCCESS, server->last_success);
	values[SERVER_QUEUES] = Int32GetDatum(server->queues);
	values[SERVER_WAITING] = Int64GetDatum(server->waiting);
	values[SERVER_DELIVERED] = Int64GetDatum((int64) server->delivered);
}

/*
 * outbox.server_stats(): the servers that queues are delivered to
 */
Datum
outbox_server_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	OutboxShownServer *servers;
	int			n;
	int			more;

	InitMaterializedSRF(fcinfo, 0);
	servers = outbox_copy_servers(&n, &more);
	for (int i = 0; i < n; i++)
	{
		Datum		values[SERVER_COLUMNS] = {0};
		bool		nulls[SERVER_COLUMNS] = {0};

		fill_row(&servers[i], values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	PG_RETURN_NULL();
}
