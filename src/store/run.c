/*-------------------------------------------------------------------------
 *
 * run.c
 *	  The runs of servers that a database's history consists of.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * outbox.run is a table like any other: standbys, base backups, volume copies,
 * pg_upgrade and crashes carry it.  So two servers that descend from one have the
 * same runs up to where they parted.
 *
 * A cursor names the last runs of the history of the server that moved it,
 *
 *		id,system,timeline,start id,system,timeline,start ...
 *
 * oldest first, so that a server that is not in that history finds the newest run
 * that both have in common (relay/deliver/judge.c).
 *
 *-------------------------------------------------------------------------
 */
#include "store/run.h"

#include "catalog/pg_type.h"
#include "store/query.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"

/* more than these are of no use to anybody */
#define KEPT_RUNS	"1000"

void
outbox_record_run(const OutboxRun *run)
{
	OutboxParam params[] = {
		{"id", TEXTOID, CStringGetTextDatum(run->id)},
		{"system", INT8OID, Int64GetDatum((int64) run->system)},
		{"timeline", INT8OID, Int64GetDatum((int64) run->timeline)},
		{"start", LSNOID, LSNGetDatum(run->start)},
		{"place", TEXTOID, CStringGetTextDatum(run->place)},
		{"version", INT4OID, Int32GetDatum(PG_VERSION_NUM)}
	};

	if (outbox_query("INSERT INTO outbox.run (number, id, system, timeline,"
					 " start, place, server_version)"
					 " SELECT coalesce((SELECT max(number) FROM outbox.run), 0) + 1,"
					 " $id, $system, $timeline, $start, $place, $version"
					 " WHERE NOT EXISTS (SELECT FROM outbox.run WHERE id = $id)",
					 params, lengthof(params)) > 0)
		outbox_query("DELETE FROM outbox.run WHERE number <="
					 " (SELECT max(number) FROM outbox.run) - " KEPT_RUNS,
					 NULL, 0);
}

OutboxHistory *
outbox_read_history(MemoryContext context)
{
	OutboxHistory *history = MemoryContextAllocZero(context,
													sizeof(OutboxHistory));
	uint64		n = outbox_query("SELECT id, system, timeline, start, place"
								 " FROM outbox.run ORDER BY number", NULL, 0);

	history->runs = MemoryContextAllocZero(context,
										   (n + 1) * sizeof(OutboxRun));
	for (uint64 i = 0; i < n; i++)
	{
		OutboxRun  *run = &history->runs[history->n++];
		HeapTuple	row = SPI_tuptable->vals[i];
		bool		isnull;

		strlcpy(run->id, SPI_getvalue(row, SPI_tuptable->tupdesc, 1),
				sizeof(run->id));
		run->system = (uint64) outbox_result_int64(i, 2);
		run->timeline = (TimeLineID) outbox_result_int64(i, 3);
		run->start = DatumGetLSN(outbox_result(i, 4, &isnull));
		strlcpy(run->place, SPI_getvalue(row, SPI_tuptable->tupdesc, 5),
				sizeof(run->place));
	}
	return history;
}

bool
outbox_has_run_before(const char *id)
{
	OutboxParam params[] = {{"id", TEXTOID, CStringGetTextDatum(id)}};

	return outbox_query("SELECT FROM outbox.run WHERE id <> $id LIMIT 1",
						params, lengthof(params)) > 0;
}

void
outbox_line_print(StringInfo out, const OutboxHistory *history)
{
	for (int i = Max(history->n - OUTBOX_LINE_RUNS, 0); i < history->n; i++)
	{
		const OutboxRun *run = &history->runs[i];

		if (out->len > 0)
			appendStringInfoChar(out, ' ');
		appendStringInfo(out, "%s," UINT64_FORMAT ",%u,%X/%X", run->id,
						 run->system, run->timeline,
						 LSN_FORMAT_ARGS(run->start));
	}
}

/*
 * Read one run.  False if this is none; else *end is behind it.
 */
static bool
parse_run(const char *text, OutboxRun *run, const char **end)
{
	size_t		len = strspn(text, "0123456789abcdef");
	uint32		hi;
	uint32		lo;
	int			used = 0;

	if (len != sizeof(run->id) - 1 || text[len] != ',')
		return false;
	memset(run, 0, sizeof(OutboxRun));
	memcpy(run->id, text, len);
	if (sscanf(text + len, "," UINT64_FORMAT ",%u,%X/%X%n", &run->system,
			   &run->timeline, &hi, &lo, &used) != 4 || used == 0)
		return false;
	run->start = ((uint64) hi) << 32 | lo;
	*end = text + len + used;
	return true;
}

bool
outbox_line_parse(const char *text, OutboxHistory *line)
{
	line->n = 0;
	line->runs = palloc(OUTBOX_LINE_RUNS * sizeof(OutboxRun));
	while (line->n < OUTBOX_LINE_RUNS)
	{
		if (!parse_run(text, &line->runs[line->n++], &text))
			return false;
		if (*text == '\0')
			return true;
		if (*text++ != ' ')
			return false;
	}
	return false;
}
