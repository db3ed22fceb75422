/*-------------------------------------------------------------------------
 *
 * forward.c
 *	  The row trigger that does the work of Watermill's forwarder.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A Go service that publishes through forwarder.NewPublisher() over the SQL
 * publisher inserts an envelope into a topic table, in its own transaction; a
 * forwarder then polls that table.  With this trigger on the table no forwarder
 * is needed: the envelope is opened here, and its message is enqueued to the
 * queue that has the destination topic's name.  The row itself is not stored
 * (the publisher does not ask how many rows were), so the table does not grow.
 *
 * The right to enqueue to that queue is the table's owner's.  Who may write to the
 * table is up to the owner, and needs no right of ours.
 *
 * A row that is no envelope, or whose destination has no queue, could never be
 * delivered.  So it is refused, and its transaction fails.  If the trigger has
 * settings as its argument, they may say that the queue is made, see
 * topic_queues.c.
 *
 * Consumers know a message by its id, and get it as it was.  If it is a UUID as
 * PostgreSQL shows one, it is the id in outbox, too; a ULID, for example, goes
 * along as an option of the message.
 *
 * The JSON parser's errors quote the text, and payloads do not belong in logs.
 * The parser touches nothing but memory, so its errors can be caught here.
 *
 *-------------------------------------------------------------------------
 */
#include "api/enqueue.h"

#include "api/payload.h"
#include "api/topic_queues.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "queue/queue.h"
#include "queue/view.h"
#include "targets/options.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(outbox_forward_watermill_row);

static void
not_an_envelope(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("this is not an envelope of Watermill's forwarder"),
			 errdetail_internal("%s", detail),
			 errhint("Publish to this topic through forwarder.NewPublisher(), or call outbox_unforward_watermill().")));
}

/*
 * Returns text as jsonb, or NULL if it is no JSON.
 */
static Jsonb *
parse_jsonb(const char *json)
{
	MemoryContext context = CurrentMemoryContext;
	Jsonb	   *result = NULL;

	PG_TRY();
	{
		result = DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
													CStringGetDatum(json)));
	}
	PG_CATCH();
	{
		if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	return result;
}

static Jsonb *
to_jsonb_value(Datum value, Oid type)
{
	struct varlena *bytes;

	if (type == JSONBOID)
		return DatumGetJsonbP(value);
	bytes = PG_DETOAST_DATUM_PACKED(value);
	if (type == JSONOID)
		return parse_jsonb(text_to_cstring(bytes));
	return parse_jsonb(pg_any_to_server(text_to_cstring(bytes),
										VARSIZE_ANY_EXHDR(bytes), PG_UTF8));
}

/*
 * Returns the object in the column "payload".
 */
static Jsonb *
read_envelope(const TriggerData *data)
{
	TupleDesc	desc = RelationGetDescr(data->tg_relation);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Jsonb	   *result;
		Datum		value;
		bool		isnull;

		if (att->attisdropped || strcmp(NameStr(att->attname), "payload") != 0)
			continue;
		if (att->atttypid != JSONOID && att->atttypid != JSONBOID &&
			att->atttypid != BYTEAOID)
			break;
		value = heap_getattr(data->tg_trigtuple, i + 1, desc, &isnull);
		if (isnull)
			not_an_envelope("The payload is null.");
		result = to_jsonb_value(value, att->atttypid);
		if (result == NULL)
			not_an_envelope("The payload cannot be read as JSON.");
		if (!JB_ROOT_IS_OBJECT(result))
			not_an_envelope("The payload is not an object.");
		return result;
	}
	not_an_envelope("The table has no column \"payload\" of type json, jsonb or bytea.");
	return NULL;				/* keep compiler quiet */
}

/*
 * Returns a member of the envelope, or NULL if it is absent or null.
 */
static JsonbValue *
member(Jsonb *envelope, const char *name)
{
	JsonbValue *v = getKeyJsonValueFromContainer(&envelope->root, name,
												 strlen(name), NULL);

	return v == NULL || v->type == jbvNull ? NULL : v;
}

/*
 * The same for a member that must be a string.
 */
static char *
string_member(Jsonb *envelope, const char *name)
{
	JsonbValue *v = member(envelope, name);

	if (v == NULL)
		return NULL;
	if (v->type != jbvString)
		not_an_envelope(psprintf("\"%s\" is not a string.", name));
	return pnstrdup(v->val.string.val, v->val.string.len);
}

/*
 * Make a queue for the topic, if the trigger's settings say so.
 */
static bool
make_queue(FunctionCallInfo fcinfo, const char *topic)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	Trigger    *trigger = data->tg_trigger;
	Jsonb	   *settings = trigger->tgnargs == 0 ? NULL : parse_jsonb(trigger->tgargs[0]);

	return settings != NULL &&
		outbox_make_topic_queue(get_func_namespace(fcinfo->flinfo->fn_oid), settings,
								data->tg_relation->rd_rel->relowner, topic);
}

static const OutboxQueue *
destination(FunctionCallInfo fcinfo, Jsonb *envelope)
{
	char	   *topic = string_member(envelope, "destination_topic");

	if (topic == NULL || topic[0] == '\0')
		not_an_envelope("It has no \"destination_topic\".");
	if (outbox_queue_find(topic) == NULL && !make_queue(fcinfo, topic))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("destination topic \"%s\" has no queue", topic),
				 errhint("Create it with outbox_create_queue(%s, 'watermill'). The setting \"create_queues\" of outbox_forward_watermill() has queues made for new topics.",
						 quote_literal_cstr(topic))));
	return outbox_queue_use(topic);
}

/*
 * Is this a UUID as PostgreSQL shows it, in lower case?  The nil UUID is not
 * accepted, as it stands for no id.
 */
static bool
is_uuid(const char *s)
{
	static const char *const pattern = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (strlen(s) != strlen(pattern))
		return false;
	for (int i = 0; s[i] != '\0'; i++)
		if (pattern[i] == '-' ? s[i] != '-' :
			strchr("0123456789abcdef", s[i]) == NULL)
			return false;
	return strspn(s, "0-") < strlen(s);
}

static void
read_id(Jsonb *envelope, OutboxMessage *msg)
{
	char	   *uuid = string_member(envelope, "uuid");

	if (uuid == NULL)
		not_an_envelope("It has no \"uuid\".");
	if (uuid[0] == '\0')
		not_an_envelope("Its \"uuid\" is empty.");
	if (is_uuid(uuid))
		msg->id = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(uuid)));
	else
		msg->options = outbox_message_id_option(uuid);
}

static struct varlena *
read_payload(Jsonb *envelope)
{
	char	   *base64 = string_member(envelope, "payload");

	if (base64 == NULL)
		return cstring_to_text("");
	return DatumGetByteaPP(DirectFunctionCall2(binary_decode,
											   CStringGetTextDatum(base64),
											   CStringGetTextDatum("base64")));
}

/*
 * Returns the metadata, or NULL if there is none.
 */
static struct varlena *
read_metadata(Jsonb *envelope)
{
	JsonbValue *v = member(envelope, "metadata");
	Jsonb	   *metadata;

	if (v == NULL)
		return NULL;
	metadata = JsonbValueToJsonb(v);
	outbox_check_headers(metadata);
	return JB_ROOT_COUNT(metadata) > 0 ? (struct varlena *) metadata : NULL;
}

static void
check_called(FunctionCallInfo fcinfo)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BEFORE(data->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(data->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("outbox_forward_watermill_row() must be a BEFORE INSERT trigger"),
				 errhint("Use outbox_forward_watermill() to create it.")));
}

static void
say_where(void *arg)
{
	errcontext("forwarding of topic table \"%s\"",
			   RelationGetRelationName((Relation) arg));
}

/*
 * Trigger on a topic table: enqueue the message in the envelope, store no row.
 */
Datum
outbox_forward_watermill_row(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	ErrorContextCallback context = {
		.previous = error_context_stack,
		.callback = say_where
	};
	const OutboxQueue *queue;
	OutboxMessage msg = {0};
	Jsonb	   *envelope;

	check_called(fcinfo);
	context.arg = data->tg_relation;
	error_context_stack = &context;
	PreventCommandIfReadOnly("outbox_enqueue()");
	envelope = read_envelope(data);
	queue = destination(fcinfo, envelope);
	outbox_need_right(queue, data->tg_relation->rd_rel->relowner);
	msg.kind = queue->payload_type;
	read_id(envelope, &msg);
	msg.payload = outbox_payload_bytes(queue, BYTEAOID,
									   PointerGetDatum(read_payload(envelope)));
	msg.headers = read_metadata(envelope);
	outbox_enqueue_message(queue, &msg, 0);
	error_context_stack = context.previous;
	return PointerGetDatum(NULL);
}
