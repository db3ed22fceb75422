/*-------------------------------------------------------------------------
 *
 * queue_insert.c
 *	  The trigger of queues' views: what is inserted is enqueued.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The server has checked INSERT on the view, with its columns, and for the owner
 * of a view above it if there is one.  So nothing is checked here for the caller.
 * But the view must be the queue's: a view that was left over, or one that was
 * made by hand, has rights of its own, and they say nothing about this queue.
 *
 * The row that the statement returns has the message's id.
 *
 *-------------------------------------------------------------------------
 */
#include "api/enqueue.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "queue/queue.h"
#include "queue/view.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* columns of a view */
enum
{
	COLUMN_PAYLOAD,
	COLUMN_TYPE,
	COLUMN_KEY,
	COLUMN_HEADERS,
	COLUMN_ID,
	COLUMN_DELIVER_AT,
	COLUMN_OPTIONS,
	COLUMNS
};

/* their types; a payload's depends on the queue */
static const Oid types[COLUMNS] = {
	InvalidOid, TEXTOID, TEXTOID, JSONBOID, UUIDOID, TIMESTAMPTZOID, JSONBOID
};

PG_FUNCTION_INFO_V1(outbox_queue_insert);

static void
check_called(FunctionCallInfo fcinfo)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_INSTEAD(data->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(data->tg_event) ||
		data->tg_trigger->tgnargs != 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("outbox.queue_insert() must be the trigger of a queue's view")));
}

static bool
has_its_columns(TupleDesc desc)
{
	if (desc->natts != COLUMNS)
		return false;
	for (int i = COLUMN_TYPE; i < COLUMNS; i++)
		if (TupleDescAttr(desc, i)->atttypid != types[i])
			return false;
	return true;
}

static void
check_view(Relation rel, const OutboxQueue *queue)
{
	Oid			relid = RelationGetRelid(rel);

	if (queue->view != relid && outbox_view_find(queue->id, queue->name) != relid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"%s\" is not the view of queue \"%s\"",
						RelationGetRelationName(rel), queue->name),
				 errhint("Insert into %s.",
						 outbox_view_full_name(queue->id, queue->name))));
	if (!has_its_columns(RelationGetDescr(rel)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("view \"%s\" has been changed by hand",
						RelationGetRelationName(rel)),
				 errhint("Drop it, and have it made again with outbox_alter_queue().")));
}

/*
 * Returns the row with the message's id.
 */
static HeapTuple
enqueue_row(const OutboxQueue *queue, HeapTuple tup, TupleDesc desc)
{
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS];
	OutboxMessage msg = {0};
	TimestampTz due = 0;

	heap_deform_tuple(tup, desc, values, nulls);
	msg.kind = queue->payload_type;
	msg.payload = outbox_payload_or_null(queue, TupleDescAttr(desc, COLUMN_PAYLOAD)->atttypid,
										 values[COLUMN_PAYLOAD], nulls[COLUMN_PAYLOAD]);
	if (!nulls[COLUMN_TYPE])
		msg.type = outbox_utf8_text(values[COLUMN_TYPE]);
	if (!nulls[COLUMN_KEY])
		msg.key = outbox_utf8_text(values[COLUMN_KEY]);
	if (!nulls[COLUMN_HEADERS])
	{
		Jsonb	   *headers = DatumGetJsonbP(values[COLUMN_HEADERS]);

		outbox_check_headers(headers);
		msg.headers = (struct varlena *) headers;
	}
	if (!nulls[COLUMN_ID])
		msg.id = *DatumGetUUIDP(values[COLUMN_ID]);
	if (!nulls[COLUMN_DELIVER_AT])
		due = outbox_due_at(DatumGetTimestampTz(values[COLUMN_DELIVER_AT]));
	if (!nulls[COLUMN_OPTIONS])
		msg.options = (struct varlena *) DatumGetJsonbP(values[COLUMN_OPTIONS]);
	outbox_enqueue_message(queue, &msg, due);

	values[COLUMN_ID] = UUIDPGetDatum(&msg.id);
	nulls[COLUMN_ID] = false;
	return heap_form_tuple(desc, values, nulls);
}

/*
 * outbox.queue_insert(queue): INSTEAD OF INSERT trigger of a queue's view
 */
Datum
outbox_queue_insert(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	const OutboxQueue *queue;

	check_called(fcinfo);
	outbox_check_can_enqueue("INSERT");
	queue = outbox_queue_use(data->tg_trigger->tgargs[0]);
	check_view(data->tg_relation, queue);
	return PointerGetDatum(enqueue_row(queue, data->tg_trigtuple,
									   RelationGetDescr(data->tg_relation)));
}
