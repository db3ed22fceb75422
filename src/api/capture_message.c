/*-------------------------------------------------------------------------
 *
 * capture_message.c
 *	  Enqueue a change of a captured table's row.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A value has changed if its bytes have.  A value that is stored out of line
 * and was not touched by an update has the same pointer, and is not fetched to
 * be compared.
 *
 * Values are written as to_json() writes them, and must not depend on who
 * changes the row: what a consumer gets would depend on the writer's settings, and
 * the key, thus the order, too.  So a row with a column whose form depends on
 * settings is written with settings of our own, which are in effect while it is
 * written and no longer: other triggers and functions run in between.  If writing
 * the row fails, the end of the subtransaction brings back the session's.
 *
 * A row that is too large is written again, shortened as the capture says.  If not
 * even the key fits, nothing of the row is sent, and a hash takes the place of a
 * key that is too large by itself, so that the row's messages keep their order.
 *
 *-------------------------------------------------------------------------
 */
#include "api/capture_message.h"

#include "access/htup_details.h"
#include "api/enqueue.h"
#include "common/hashfn.h"
#include "guc.h"
#include "miscadmin.h"
#include "queue/queue.h"
#include "queue/view.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

static const char *const operation_names[OUTBOX_OPERATIONS] = {
	[OUTBOX_INSERTED] = "insert",
	[OUTBOX_UPDATED] = "update",
	[OUTBOX_DELETED] = "delete",
	[OUTBOX_READ] = "read"
};

struct OutboxCaptureState
{
	char	   *queue;
	Oid			owner;			/* of the table, who has the right to enqueue */
	bool		has_right;		/* the owner was seen to have it */
	OutboxCapture *capture;
	bool	   *changed;		/* by column, for the current row */
	bool		needs_settings; /* of our own, to write a row */
	char	   *head[OUTBOX_OPERATIONS];	/* the payload's beginning */
	struct varlena *type[OUTBOX_OPERATIONS];
};

static bool
needs_settings(const OutboxCapture *capture)
{
	for (int i = 0; i < capture->ncolumns; i++)
		if (capture->columns[i].needs_settings)
			return true;
	return false;
}

static Oid
owner_of(Oid relid)
{
	HeapTuple	tup = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			result;

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	result = ((Form_pg_class) GETSTRUCT(tup))->relowner;
	ReleaseSysCache(tup);
	return result;
}

OutboxCaptureState *
outbox_capture_state(Relation rel, Oid named, const Trigger *trigger)
{
	OutboxCaptureState *state = palloc0(sizeof(OutboxCaptureState));
	char	   *args[OUTBOX_CAPTURE_ARGS] = {NULL};
	char	   *table = get_rel_name(named);
	char	   *schema = get_namespace_name(get_rel_namespace(named));

	if (trigger->tgnargs < 1 || trigger->tgnargs > OUTBOX_CAPTURE_ARGS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" has the wrong number of arguments",
						trigger->tgname),
				 errhint("Use outbox_capture() to create it.")));
	for (int i = 0; i < trigger->tgnargs; i++)
		args[i] = trigger->tgargs[i];

	state->queue = pstrdup(args[OUTBOX_CAPTURE_QUEUE]);
	state->owner = owner_of(named);
	state->capture = outbox_capture_resolve(rel, args);
	state->needs_settings = needs_settings(state->capture);
	state->changed = palloc(state->capture->ncolumns * sizeof(bool));
	for (int i = 0; i < OUTBOX_OPERATIONS; i++)
	{
		state->head[i] = outbox_change_head(operation_names[i], schema, table);
		state->type[i] = cstring_to_text(psprintf("%s.%s", table, operation_names[i]));
	}
	return state;
}

static bool
same_value(const OutboxJsonColumn *col, TupleTableSlot *a, TupleTableSlot *b)
{
	int			n = col->attnum - 1;
	Datum		va = a->tts_values[n];
	Datum		vb = b->tts_values[n];

	if (a->tts_isnull[n] || b->tts_isnull[n])
		return a->tts_isnull[n] == b->tts_isnull[n];
	if (col->typlen == -1 &&
		VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(va)) &&
		VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(vb)) &&
		memcmp(DatumGetPointer(va), DatumGetPointer(vb),
			   VARSIZE_EXTERNAL(DatumGetPointer(va))) == 0)
		return true;
	return datum_image_eq(va, vb, col->typbyval, col->typlen);
}

bool
outbox_find_changes(OutboxCaptureState *state, TupleTableSlot *old, TupleTableSlot *new)
{
	bool		any = false;

	for (int i = 0; i < state->capture->ncolumns; i++)
	{
		state->changed[i] = !same_value(&state->capture->columns[i], old, new);
		any |= state->changed[i];
	}
	return any;
}

/*
 * The settings are in effect until AtEOXact_GUC(), or the end of the
 * subtransaction.
 */
static int
set_settings(const OutboxCaptureState *state)
{
	return state->needs_settings ? outbox_json_set_settings() : 0;
}

static void
reset_settings(const OutboxCaptureState *state, int level)
{
	if (state->needs_settings)
		AtEOXact_GUC(true, level);
}

static size_t
key_size(const OutboxMessage *msg)
{
	return msg->key != NULL ? VARSIZE_ANY_EXHDR(msg->key) : 0;
}

/*
 * Is there so much room that nobody needs to ask how much?
 */
static bool
is_small(const OutboxMessage *msg, size_t limit)
{
	return msg->payload != NULL &&
		VARSIZE_ANY_EXHDR(msg->payload) + key_size(msg) < limit / 2;
}

static struct varlena *
hash_of(const struct varlena *key)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) VARDATA_ANY(key),
										   VARSIZE_ANY_EXHDR(key), 0);

	return cstring_to_text(psprintf("%016llx", (unsigned long long) hash));
}

/*
 * Fill in the payload of a change that is too large, and its key, if that is, too.
 */
static void
shorten(OutboxCaptureState *state, const OutboxChange *change, OutboxMessage *msg,
		size_t room)
{
	size_t		key = key_size(msg);
	int			level;

	msg->payload = NULL;
	if (key < room)
	{
		level = set_settings(state);
		msg->payload =
			outbox_change_shortened(state->capture, change, room - key,
									state->capture->settings.too_large == OUTBOX_TOO_LARGE_KEY);
		reset_settings(state, level);
	}
	if (msg->payload != NULL)
		return;
	msg->payload = outbox_change_bare(change);
	if (key + VARSIZE_ANY_EXHDR(msg->payload) > room)
		msg->key = hash_of(msg->key);
}

/*
 * Fill in payload and key.
 */
static void
write_message(OutboxCaptureState *state, const OutboxChange *change, OutboxMessage *msg)
{
	OutboxTooLarge too_large = state->capture->settings.too_large;
	size_t		limit = too_large == OUTBOX_TOO_LARGE_FAIL ? 0 : outbox_max_message_size;
	int			level = set_settings(state);
	size_t		room;

	msg->payload = outbox_change_payload(state->capture, change, limit);
	msg->key = outbox_change_key(state->capture, change);
	reset_settings(state, level);
	if (limit == 0 || is_small(msg, limit))
		return;
	room = outbox_message_room(outbox_queue_find_or_error(state->queue), msg);
	if (msg->payload == NULL || VARSIZE_ANY_EXHDR(msg->payload) + key_size(msg) > room)
		shorten(state, change, msg, room);
}

void
outbox_enqueue_change(OutboxCaptureState *state, OutboxOperation operation,
					  TupleTableSlot *old, TupleTableSlot *new)
{
	OutboxChange change = {
		.operation = operation,
		.head = state->head[operation],
		.old = old,
		.new = new,
		.changed = state->changed
	};
	const OutboxQueue *queue;
	OutboxMessage msg = {0};

	PreventCommandIfReadOnly("outbox_enqueue()");
	msg.type = state->type[operation];
	write_message(state, &change, &msg);
	queue = outbox_queue_use(state->queue);
	if (!state->has_right)
		outbox_need_right(queue, state->owner);
	state->has_right = true;
	msg.kind = queue->payload_type;
	outbox_enqueue_message(queue, &msg, 0);
}
