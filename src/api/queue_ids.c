/*-------------------------------------------------------------------------
 *
 * queue_ids.c
 *	  Ids for a queue and its partitions.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The ids of a queue's partitions follow each other.  A sequence gives out ids one
 * at a time, and somebody else may draw some meanwhile: then others are drawn.  So
 * nobody has to wait for who creates a queue and has not committed.  That no two
 * queues share an id does not rest on this: a constraint of outbox.queue refuses it.
 *
 *-------------------------------------------------------------------------
 */
#include "api/queue_ids.h"

#include "miscadmin.h"
#include "store/query.h"

/* draws that others have come between; as many as that come from no others */
#define MAX_DRAWS 1000

int32
outbox_new_queue_ids(int partitions)
{
	OutboxParam params[] = {{"n", INT4OID, Int32GetDatum(partitions)}};

	for (int i = 0; i < MAX_DRAWS; i++)
	{
		CHECK_FOR_INTERRUPTS();
		outbox_query("SELECT min(id), max(id) FROM ("
					 "SELECT nextval('outbox.queue_id') AS id"
					 " FROM generate_series(1, $n)) AS s", params, 1);
		if (outbox_result_int64(0, 2) - outbox_result_int64(0, 1) == partitions - 1)
			return (int32) outbox_result_int64(0, 1);
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("sequence \"outbox.queue_id\" does not give out numbers one after the other"),
			 errhint("It must have INCREMENT BY 1.")));
}
